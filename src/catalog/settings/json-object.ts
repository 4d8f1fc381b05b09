/** JSON as it is stored. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
/** An object of JSON. */
export interface JsonObject {
  readonly [key: string]: Json
}

/** Tells whether a value is an object of JSON, and no list. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Gives an own property; undefined: there is none. */
export function ownValue(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/** Applies a merge patch (RFC 7396, section 2). Returns a new object; keys such as `__proto__` are data. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const merged = new Map<string, Json>(isObject(target) ? Object.entries(target) : [])
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, mergePatch(merged.get(key), value))
  }
  return Object.fromEntries(merged)
}

/** Gives the value at a path; undefined: there is none. */
export function valueAt(root: Json | undefined, path: readonly string[]): Json | undefined {
  let value = root
  for (const key of path) value = isObject(value) ? ownValue(value, key) : undefined
  return value
}

/** Puts a value at a path, with the objects on the way; undefined: removes it. Returns a new object. */
export function withValueAt(root: JsonObject, path: readonly string[], value: Json | undefined): JsonObject {
  const [key, ...rest] = path
  if (key === undefined) return root
  const inner = ownValue(root, key)
  const { [key]: _replaced, ...others } = root
  if (rest.length === 0) return value === undefined ? others : { ...others, [key]: value }
  if (value === undefined && !isObject(inner)) return root
  return { ...root, [key]: withValueAt(isObject(inner) ? inner : {}, rest, value) }
}

/** Tells whether two values are the same, whatever the order of their keys. */
export function isSame(a: Json | undefined, b: Json | undefined): boolean {
  return sorted(a) === sorted(b)
}

function sorted(value: Json | undefined): string | undefined {
  return JSON.stringify(value, (_key, inner: unknown) =>
    isObject(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([first], [second]) => (first < second ? -1 : 1)))
      : inner,
  )
}
