import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import { isObject, type Json, type JsonObject, withValueAt } from './json-object.js'

const secrets = z.registry<{ readonly isSecret: true }>()

/**
 * Marks a field of the schema of tenants' settings as secret: it is stored sealed, and never shown. Fields of objects only, not
 * of lists, records or unions.
 *
 * @example
 * createTenancy({ tenantSettings: z.object({ smtpPassword: secret(z.string().max(200)).optional() }) })
 */
export function secret<Schema extends z.ZodType>(schema: Schema): Schema {
  // A copy: the same schema may be used for a field that is no secret.
  const marked = schema.clone()
  secrets.add(marked, { isSecret: true })
  return marked
}

/** A path of names, and what its schema says. */
export interface SettingsSchema {
  /** Paths of secret fields. */
  readonly secrets: readonly (readonly string[])[]
  /** Lists the paths of fields that the schema does not have. */
  unknownFields(value: Json): string[][]
  /** Parses what is stored, without what the schema does not know. */
  parse(stored: JsonObject): { readonly settings: object } | { readonly problems: readonly SettingsProblem[] }
  /** Parses what is stored, with the defaults in the place of what does not fit. */
  parseWhatFits(stored: JsonObject): { readonly settings: object; readonly invalid: readonly string[] }
}

/** What is wrong with a field. */
export interface SettingsProblem {
  readonly path: readonly string[]
  readonly message: string
}

/**
 * Reads the schema of an application once.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: it is no object, `{}` does not fit it, or a secret is inside of a list
 */
export function readSettingsSchema(schema: z.ZodObject): SettingsSchema {
  if (!isObjectSchema(schema)) throw invalid('must be an object of zod 4: `z.object({ … })`')
  const found: string[][] = []
  findSecrets(schema, [], found)
  const isSecret = (path: readonly string[]) =>
    found.some((one) => one.length <= path.length && one.every((key, index) => key === path[index]))

  const parse: SettingsSchema['parse'] = (stored) => {
    const parsed = schema.safeParse(onlyKnown(schema, stored))
    if (parsed.success) return { settings: parsed.data }
    return {
      problems: parsed.error.issues.map((issue) => {
        const path = issue.path.map(String)
        // A message of the application's own may have the value.
        return { path, message: isSecret(path) ? 'is not valid' : issue.message }
      }),
    }
  }
  const empty = tryParse(() => parse({}))
  if (!('settings' in empty)) {
    const [problem] = empty.problems
    const where = problem?.path.join('.') ?? ''
    throw invalid(`must take {}, what a new tenant has: give ${where} a default, or make it optional`)
  }
  const defaults = empty.settings
  return {
    secrets: found,
    unknownFields: (value) => unknownIn(schema, value, []),
    parse,
    parseWhatFits(stored) {
      const bad = new Set<string>()
      let rest = stored
      // Each round takes away a value, or gives up: problems may come to light when others are gone.
      for (let round = 0; round < 50; round += 1) {
        const parsed = parse(rest)
        if ('settings' in parsed) return { settings: parsed.settings, invalid: [...bad] }
        const before = rest
        for (const { path } of parsed.problems) {
          bad.add(path.join('.'))
          rest = withValueAt(rest, objectPath(rest, path), undefined)
        }
        if (rest === before) break
      }
      return { settings: defaults, invalid: [...bad] }
    },
  }
}

/** The part of a path that goes through objects that are there: a bad entry of a list takes the list away. */
function objectPath(root: JsonObject, path: readonly string[]): readonly string[] {
  let value: Json | undefined = root
  for (const [index, key] of path.entries()) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return path.slice(0, Math.max(index, 1))
    value = value[key]
  }
  return path
}

function tryParse<Result>(parse: () => Result): Result {
  try {
    return parse()
  } catch (cause) {
    throw invalid('must be checked without waiting: no async refinements or transforms', cause)
  }
}

const invalid = (problem: string, cause?: unknown) =>
  new TenancyError('TENANCY_CONFIG_INVALID', `The option tenantSettings ${problem}`, { cause })

/** The parts of a definition that schemas of zod have inside. */
interface Definition {
  readonly type: string
  readonly shape?: Readonly<Record<string, z.ZodType>>
  readonly innerType?: z.ZodType
  readonly catchall?: z.ZodType
}
const definitionOf = (schema: z.ZodType) => schema.def as unknown as Definition
const kindOf = (schema: z.ZodType) => definitionOf(schema).type
const isObjectSchema = (value: unknown) =>
  typeof value === 'object' && value !== null && '_zod' in value && kindOf(value as z.ZodType) === 'object'

/** The schema inside of `optional()`, `default()`, `nullable()` and the like. */
function unwrap(schema: z.ZodType): z.ZodType {
  const { innerType } = definitionOf(schema)
  return innerType === undefined ? schema : unwrap(innerType)
}

function isMarked(schema: z.ZodType): boolean {
  if (secrets.get(schema) !== undefined) return true
  const { innerType } = definitionOf(schema)
  return innerType !== undefined && isMarked(innerType)
}

function findSecrets(schema: z.ZodType, path: readonly string[], found: string[][]): void {
  if (isMarked(schema)) {
    if (path.length === 0) throw invalid('cannot be secret as a whole: mark its fields')
    found.push([...path])
    return
  }
  const inner = unwrap(schema)
  const { shape } = definitionOf(inner)
  if (shape !== undefined) {
    for (const [key, field] of Object.entries(shape)) findSecrets(field, [...path, key], found)
  } else if (hasMarked(inner, new Set())) {
    throw invalid(`has a secret inside of ${path.join('.')}, which is no object: secrets are fields of objects only`)
  }
}

function hasMarked(value: unknown, seen: Set<unknown>): boolean {
  if (typeof value !== 'object' || value === null || seen.has(value)) return false
  seen.add(value)
  if (value instanceof Map || value instanceof Set) return false
  if ('_zod' in value) {
    const schema = value as z.ZodType
    if (secrets.get(schema) !== undefined) return true
    const definition = schema._zod.def as unknown as Record<string, unknown>
    const lazy = definition['getter']
    return hasMarked(typeof lazy === 'function' ? (lazy as () => unknown)() : definition, seen)
  }
  return Object.values(value).some((inner) => hasMarked(inner, seen))
}

function unknownIn(schema: z.ZodType, value: Json, path: readonly string[]): string[][] {
  const { shape, catchall } = definitionOf(unwrap(schema))
  if (shape === undefined || !isObject(value)) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const field = Object.hasOwn(shape, key) ? shape[key] : undefined
    if (field !== undefined) return unknownIn(field, inner, [...path, key])
    return isOpen(catchall) ? [] : [[...path, key]]
  })
}

/** `looseObject` and `catchall` take other fields, too. */
const isOpen = (catchall: z.ZodType | undefined) => catchall !== undefined && kindOf(catchall) !== 'never'

function onlyKnown(schema: z.ZodType, value: Json): Json {
  const { shape, catchall } = definitionOf(unwrap(schema))
  if (shape === undefined || !isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      const field = Object.hasOwn(shape, key) ? shape[key] : undefined
      if (field !== undefined) return [[key, onlyKnown(field, inner)]]
      return isOpen(catchall) ? [[key, inner]] : []
    }),
  )
}
