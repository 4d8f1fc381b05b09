import { TenancyError } from '../../core/errors/errors.js'
import { isWellFormed } from '../../core/text.js'

// What a request says, read in one way only: two texts that differ are never read as the same one, and nothing is repaired.
// Repaired text is what a proxy in front of this, with rules of its own, did not see.

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @throws {@link TenancyError} TENANCY_REQUEST_INVALID */
export function decodeUtf8(bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new TenancyError('TENANCY_REQUEST_INVALID', 'The body is not UTF-8')
  }
}

/**
 * Reads JSON. A name or a text with a lone surrogate, which only an escape can write, is refused (RFC 8259, 8.2).
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function parseJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new TenancyError('TENANCY_REQUEST_INVALID', 'The body is not JSON')
  }
  // Without recursion: a body can be nested deeply.
  const rest: unknown[] = [value]
  while (rest.length > 0) {
    const item = rest.pop()
    if (typeof item === 'string' && !isWellFormed(item)) {
      throw new TenancyError('TENANCY_REQUEST_INVALID', 'The body has half of a surrogate pair in it')
    }
    if (typeof item === 'object' && item !== null) {
      for (const [name, member] of Object.entries(item)) rest.push(name, member)
    }
  }
  return value
}

/**
 * Reads `application/x-www-form-urlencoded`, of a body or a query. What is no escape, or escapes what is no UTF-8, is refused,
 * and so is a field that is given twice.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function parseForm(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const [name = '', ...value] = pair.split('=').map((part) => part.replaceAll('+', ' '))
    const field = decodeEscapes(name)
    if (fields.has(field)) throw new TenancyError('TENANCY_REQUEST_INVALID', 'A field is given twice')
    fields.set(field, decodeEscapes(value.join('=')))
  }
  return fields
}

/** RFC 3986, 2.1, of UTF-8. */
function decodeEscapes(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new TenancyError('TENANCY_REQUEST_INVALID', 'A % does not begin the escape of a character in UTF-8')
  }
}

/**
 * Path and query of a request target, as they stand there. Nothing is decoded and no `..` resolved: a path that has to be is
 * none that accounts serve.
 */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const mark = target.indexOf('?')
  return mark === -1 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark + 1) }
}
