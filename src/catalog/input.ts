import { z } from 'zod'
import { TenancyError } from '../core/errors/errors.js'
import { isStorable } from '../core/text.js'

/**
 * An id or slug, as callers name a tenant. Text that can be neither names no tenant: the functions answer
 * TENANCY_TENANT_NOT_FOUND, as for a tenant that does not exist.
 */
export const tenantRef = z.string('must be the id or slug of a tenant, as text')
/** The id of a user. Text that is no UUID names nobody: the functions answer as for a user who does not exist. */
export const userRef = z.string('must be the id of a user, as text')

/** A tenant whose access is changed or read: id or slug. */
export const tenant = tenantRef.min(1).max(200).refine(isStorable, 'cannot be stored')
/** A user whose access is changed or read: an id, which becomes lower case. */
export const user = z.guid('is not the id of a user (a UUID)').transform((id) => id.toLowerCase())
/** Who does it; see {@link ActorOption}. */
export const actor = user.nullish()
/** The name of something that exists. Whoever creates a name checks its form. */
export const name = z.string().min(1).max(200).refine(isStorable, 'holds a NUL or half of a surrogate pair')
export const description = z.string().max(1000).refine(isStorable, 'holds a NUL or half of a surrogate pair')

/**
 * Checks at compile time that a schema takes exactly `Input`, no key more or less: people read the interface, the schema
 * runs. Returns the schema as it is.
 *
 * @example
 * const userChangeInput = schemaOf<UserChangeInput>()(z.strictObject({ user: userRef, actor }))
 */
export function schemaOf<Input>() {
  return <Schema extends z.ZodType>(schema: Schema & Exactly<z.input<Schema>, Input>): Schema => schema
}

// Assignable in both directions, with the same keys: an optional key that only one side has is assignable as well.
type Exactly<Found, Wanted> = [Found, Wanted, KeysOf<Found>, KeysOf<Wanted>] extends [
  Wanted,
  Found,
  KeysOf<Wanted>,
  KeysOf<Found>,
]
  ? unknown
  : { readonly 'the schema takes': Found }

/** Keys of any member of a union. */
type KeysOf<Type> = Type extends unknown ? keyof Type : never

/**
 * Checks an input against its schema.
 *
 * @param subject what the whole input is, in messages
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID naming every problem
 */
export function parse<Output>(schema: z.ZodType<Output>, input: unknown, subject = 'input'): Output {
  requireObject(schema, input)
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  throw invalid(
    parsed.error.issues.flatMap(closest).map(({ path, message }) => `${path.join('.') || subject}: ${message}`),
  )
}

/**
 * Refuses what is no object where the schema takes one: somebody passed several values, or none.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID naming the properties of the object
 */
export function requireObject(schema: z.ZodType, input: unknown): void {
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return
  const shape = shapeOf(schema)
  if (shape !== undefined) throw invalid([`expected one object ${shape}, received ${kindOf(input)}`])
}

function invalid(problems: readonly string[]): TenancyError {
  return new TenancyError('TENANCY_REQUEST_INVALID', `Invalid input: ${problems.join('; ')}`, { details: { problems } })
}

/** The properties of an object's schema, for people: `{ tenant, user, actor? }`; undefined for anything else. */
function shapeOf(schema: z.ZodType): string | undefined {
  if (schema instanceof z.ZodUnion) return schema.options.map((option) => shapeOf(option as z.ZodType)).join(' or ')
  if (!(schema instanceof z.ZodObject)) return undefined
  const properties = Object.entries<z.ZodType>(schema.shape).map(
    ([key, property]) => `${key}${property.safeParse(undefined).success ? '?' : ''}`,
  )
  return `{ ${properties.join(', ')} }`
}

/** Of alternatives that all fail, the problems of the one with the fewest. */
function closest(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const [first, ...others] = issue.errors
  if (first === undefined) return [issue]
  return others.reduce((best, other) => (other.length < best.length ? other : best), first).flatMap(closest)
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}
