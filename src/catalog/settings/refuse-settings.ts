import { TenancyError } from '../../core/errors/errors.js'
import { pointerTo } from '../../core/errors/pointer-to.js'
import { isStorable } from '../../core/text.js'
import type { Json, JsonObject } from './json-object.js'
import type { SettingsProblem, SettingsSchema } from './settings-schema.js'

const maxBytes = 64 * 1024
const maxDepth = 20
const maxProblems = 200
const maxNameLength = 200

/** Reads a patch as JSON. @throws TENANCY_REQUEST_INVALID: it is none, or so large or deep that no field is looked at */
export function readChanges(given: Readonly<Record<string, unknown>>): JsonObject {
  let text: string
  let changes: JsonObject
  try {
    text = JSON.stringify(given)
    changes = JSON.parse(text) as JsonObject
  } catch {
    throw refuse([whole('must be JSON')])
  }
  if (Buffer.byteLength(text) > 2 * maxBytes) throw refuse([whole(`must have at most ${maxBytes} bytes of JSON`)])
  if (isDeeper(changes, maxDepth)) throw refuse([whole(`must be at most ${maxDepth} levels deep`)])
  return changes
}

/** Lists what of a change cannot be stored or has no place, whatever is stored. */
export function faultsOf(changes: JsonObject, schema: SettingsSchema): readonly SettingsProblem[] {
  const unknown = schema.unknownFields(changes).map((path) => ({ path, message: 'is no field of the settings' }))
  return [...unstorableIn(changes, []), ...unknown]
}

/**
 * Checks a change and the settings that it would give.
 * @param faults of the change: see {@link faultsOf}
 * @throws TENANCY_REQUEST_INVALID, which names every problem: what is changed does not fit; TENANCY_SETTINGS_OUTDATED: what is
 *   stored and not changed does not
 */
export function requireFit(
  schema: SettingsSchema,
  later: JsonObject,
  changes: JsonObject,
  faults: readonly SettingsProblem[],
): void {
  const parsed = schema.parse(later)
  const ofFields = 'settings' in parsed ? [] : parsed.problems
  const isLong = Buffer.byteLength(JSON.stringify(later)) > maxBytes
  const size = isLong ? [whole(`the settings would have more than ${maxBytes} bytes of JSON`)] : []
  const all = [...ofFields, ...size, ...faults]
  if (all.length === 0) return
  const isOfChange = ofFields.some(({ path: [key] }) => key === undefined || Object.hasOwn(changes, key))
  if (isOfChange || all.length > ofFields.length) throw refuse(all)
  const details = detailsOf(all, [])
  const list = details.problems.join('; ')
  throw new TenancyError('TENANCY_SETTINGS_OUTDATED', `Stored settings do not fit the schema: ${list}`, { details })
}

const whole = (message: string): SettingsProblem => ({ path: [], message })

function refuse(found: readonly SettingsProblem[]): TenancyError {
  const details = detailsOf(found, ['changes'])
  return new TenancyError('TENANCY_REQUEST_INVALID', `Invalid input: ${details.problems.join('; ')}`, { details })
}

/** @param prefix where the settings are, for the texts; pointers are those of the patch, which is the body of a request */
function detailsOf(found: readonly SettingsProblem[], prefix: readonly string[]) {
  const left = found.length - maxProblems
  const shown = left > 0 ? [...found.slice(0, maxProblems), whole(`${left} more problems are not listed`)] : found
  return {
    problems: shown.map(({ path, message }) => `${[...prefix, ...path.map(cut)].join('.')}: ${message}`),
    errors: shown.map(({ path, message }) => ({ pointer: pointerTo(path.map(cut)), detail: message })),
  }
}

/** Names are the caller's text, of any length. */
const cut = (name: string) => (name.length > maxNameLength ? `${name.slice(0, maxNameLength)}…` : name)

function isDeeper(value: Json, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return depth < 0 || Object.values<Json>(value as JsonObject).some((inner) => isDeeper(inner, depth - 1))
}

const unstorable = 'holds a NUL or half of a surrogate pair'

function unstorableIn(value: Json, path: readonly string[]): SettingsProblem[] {
  if (typeof value === 'string') return isStorable(value) ? [] : [{ path, message: unstorable }]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries<Json>(value as JsonObject).flatMap(([key, inner]) => [
    ...(isStorable(key) ? [] : [{ path, message: `a name ${unstorable}` }]),
    ...unstorableIn(inner, [...path, key]),
  ])
}
