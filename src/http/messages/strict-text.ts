import { isWellFormed } from '../../core/text.js'
import { refuseRequest, type RefusedPlace } from './refusals.js'

// A request is read in exactly one way: two different texts never give the same value, and nothing is repaired. A proxy in
// front, which applies its own rules, has not seen repaired text.

const body: RefusedPlace = { pointer: '#' }
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Decodes UTF-8.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function decodeUtf8(bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw refuseRequest('The body is not UTF-8', body)
  }
}

/**
 * Reads JSON. Refused as well: a name or a text with a lone surrogate, which only an escape can write (RFC 8259, 8.2), a name
 * that an object has twice (RFC 7493, 2.3), and the name `__proto__`, which code that copies members could take for another.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function parseJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw refuseRequest('The body is not JSON', body)
  }
  checkNames(text)
  // Without recursion, because a body can be nested deeply.
  const rest: unknown[] = [value]
  while (rest.length > 0) {
    const item = rest.pop()
    if (typeof item === 'string' && !isWellFormed(item)) {
      throw refuseRequest('The body has half of a surrogate pair in it', body)
    }
    if (typeof item === 'object' && item !== null) {
      for (const [name, member] of Object.entries(item)) rest.push(name, member)
    }
  }
  return value
}

/** Checks the names of objects in text that is JSON. Escapes are read before names are compared. */
function checkNames(text: string): void {
  // Names of the objects that are open, the innermost last; undefined: an array.
  const open: (Set<string> | undefined)[] = []
  for (const [token, quoted] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(undefined)
    else if (token === '}' || token === ']') open.pop()
    else if (quoted !== undefined) {
      const name = JSON.parse(quoted) as string
      const names = open.at(-1)
      if (name === '__proto__') throw refuseRequest('No field is called __proto__', body)
      if (names?.has(name) === true) throw refuseRequest('A field is given twice', body)
      names?.add(name)
    }
  }
}

/**
 * Reads `application/x-www-form-urlencoded` from a body or a query. Invalid escapes, escapes of invalid UTF-8 and repeated
 * fields are refused.
 *
 * @param placeOf the place of a field, as problem documents name it; without a name: of one whose name cannot be read. Default: the
 *   body as a whole
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function parseForm(
  text: string,
  placeOf: (field: string | undefined) => RefusedPlace = () => body,
): Map<string, string> {
  const fields = new Map<string, string>()
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const [name = '', ...value] = pair.split('=').map((part) => part.replaceAll('+', ' '))
    const field = decodeEscapes(name, placeOf(undefined))
    if (fields.has(field)) throw refuseRequest('A field is given twice', placeOf(field))
    fields.set(field, decodeEscapes(value.join('='), placeOf(field)))
  }
  return fields
}

/** What is wrong with text that has an escape which is none. */
export const badEscape = 'A % does not begin the escape of a character in UTF-8'

/** Decodes percent-escapes of UTF-8 (RFC 3986, 2.1). */
function decodeEscapes(text: string, place: RefusedPlace): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refuseRequest(badEscape, place)
  }
}

/**
 * Splits a request target into path and query, unchanged. Nothing is decoded and no `..` is resolved: accounts serve no path
 * that would need it.
 */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const mark = target.indexOf('?')
  return mark === -1 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark + 1) }
}
