import { z } from 'zod'
import { TenancyError } from '../core/errors/errors.js'
import { cleanLine, isShownLine, shownLineProblem } from '../core/shown-line.js'
import { isStorable } from '../core/text.js'

/**
 * An id or slug, as callers name a tenant. Text that is neither names no tenant: the functions throw
 * TENANCY_TENANT_NOT_FOUND, as for a tenant that does not exist.
 */
export const tenantRef = z.string('must be the id or slug of a tenant, as text')
/** The id of a user. Text that is no UUID names no user: the functions answer as for a user who does not exist. */
export const userRef = z.string('must be the id of a user, as text')

/** A tenant whose access is changed or read: id or slug. */
export const tenant = tenantRef.min(1).max(200).refine(isStorable, 'cannot be stored')
/** A user whose access is changed or read: an id, converted to lower case. */
export const user = z.guid('is not the id of a user (a UUID)').transform((id) => id.toLowerCase())
/** The user who makes the change; see {@link ActorOption}. */
export const actor = user.nullish()
/** The name of something that exists. Its form was checked when it was created. */
export const name = z.string().min(1).max(200).refine(isStorable, 'holds a NUL or half of a surrogate pair')
export const description = z.string().max(1000).refine(isStorable, 'holds a NUL or half of a surrogate pair')

/** A line that others are shown, in its one spelling: see `cleanLine`. */
export const shownLine = (shortest: 0 | 1, longest: number) =>
  z
    .string('must be text')
    .transform(cleanLine)
    .pipe(
      z
        .string()
        .min(shortest, 'must not be empty')
        .max(longest, `must have at most ${longest} characters`)
        .refine(isShownLine, shownLineProblem),
    )

/**
 * Checks at compile time that a schema accepts exactly `Input`, no key more or less: callers read the interface, but the
 * schema decides. Returns the schema unchanged.
 *
 * @example
 * const userChangeInput = schemaOf<UserChangeInput>()(z.strictObject({ user: userRef, actor }))
 */
export function schemaOf<Input>() {
  return <Schema extends z.ZodType>(schema: Schema & Exactly<z.input<Schema>, Input>): Schema => schema
}

// Assignability in both directions is not enough: an optional key that only one side has is assignable as well. So the
// keys are compared, too.
type Exactly<Found, Wanted> = [Found, Wanted, KeysOf<Found>, KeysOf<Wanted>] extends [
  Wanted,
  Found,
  KeysOf<Wanted>,
  KeysOf<Found>,
]
  ? unknown
  : { readonly 'the schema takes': Found }

/** Keys of all members of a union. */
type KeysOf<Type> = Type extends unknown ? keyof Type : never

/**
 * Checks an input against its schema.
 *
 * @param subject name of the whole input, for messages
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID naming every problem
 */
export function parse<Output>(schema: z.ZodType<Output>, input: unknown, subject = 'input'): Output {
  requireObject(schema, input)
  const parsed = readable(() => schema.safeParse(input))
  if (parsed.success) return parsed.data
  throw invalid(
    parsed.error.issues.flatMap(closest).map(({ path, message }) => `${path.join('.') || subject}: ${message}`),
  )
}

/**
 * Copies the own properties of an input, because the caller may change the object while the change is made. Any value but
 * an object is returned as it is, for {@link parse} to refuse.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID: a getter or proxy throws
 */
export function snapshotOf<Input>(input: Input): Input {
  return isObject(input) ? readable(() => ({ ...input })) : input
}

function isObject(input: unknown): boolean {
  return readable(() => typeof input === 'object' && input !== null && !Array.isArray(input))
}

/** Runs `read` on an input of the caller's, whose getters and proxies may throw. */
function readable<Result>(read: () => Result): Result {
  try {
    return read()
  } catch {
    throw invalid(['input: a property cannot be read'])
  }
}

/**
 * Refuses a value that is no object where the schema takes one: the caller passed several values, or none.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID naming the properties of the object
 */
export function requireObject(schema: z.ZodType, input: unknown): void {
  if (isObject(input)) return
  const shape = shapeOf(schema)
  if (shape !== undefined) throw invalid([`expected one object ${shape}, received ${kindOf(input)}`])
}

const maxProblemLength = 500

function invalid(found: readonly string[]): TenancyError {
  // Keys are the caller's text, of any length.
  const problems = found.map((text) => (text.length > maxProblemLength ? `${text.slice(0, maxProblemLength)}…` : text))
  return new TenancyError('TENANCY_REQUEST_INVALID', `Invalid input: ${problems.join('; ')}`, { details: { problems } })
}

/** Lists the properties of an object's schema for a message: `{ tenant, user, actor? }`. Undefined for other schemas. */
function shapeOf(schema: z.ZodType): string | undefined {
  if (schema instanceof z.ZodUnion) return schema.options.map((option) => shapeOf(option as z.ZodType)).join(' or ')
  if (!(schema instanceof z.ZodObject)) return undefined
  const properties = Object.entries<z.ZodType>(schema.shape).map(
    ([key, property]) => `${key}${property.safeParse(undefined).success ? '?' : ''}`,
  )
  return `{ ${properties.join(', ')} }`
}

/** Returns the problems of the alternative with the fewest, when all alternatives fail. */
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
