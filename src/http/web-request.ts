import type { IncomingHttpHeaders } from 'node:http'
import type { ApiRequest } from './http-tenancy.js'
import { refuseRequest } from './messages/refusals.js'

/** A request as frameworks on Node hand it over. */
export interface NodeRequestFacts {
  readonly method: string
  /** Path and query, from the request line. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** The body as it came; anything but bytes: none. */
  readonly body: unknown
}

/**
 * Makes the `Request` that accounts are given. Its host is always `localhost`: accounts do not read the host, and what headers
 * say of it (`Host`, `X-Forwarded-Proto`) may be anything.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function toWebRequest(facts: NodeRequestFacts): Request {
  const { method, url, headers: given } = facts
  const headers = toWebHeaders(given)
  const body = bodyOf(facts)
  try {
    return new Request(new URL(`http://localhost${url}`), {
      ...{ method, headers },
      body: body === undefined ? null : new Uint8Array(body),
    })
  } catch {
    throw refuseRequest('The address cannot be read', {})
  }
}

function toWebHeaders(given: IncomingHttpHeaders): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(given)) {
    // The pseudo-headers of HTTP/2 (RFC 9113, 8.3) are no headers.
    if (name.startsWith(':')) continue
    try {
      for (const item of [value ?? []].flat()) headers.append(name, item)
    } catch {
      throw refuseRequest('A header cannot be read', { header: name })
    }
  }
  return headers
}

function bodyOf({ method, body }: NodeRequestFacts): Buffer | undefined {
  return method !== 'GET' && method !== 'HEAD' && Buffer.isBuffer(body) ? body : undefined
}

const plainMethods: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/**
 * Makes what the management API reads of a request. Where a `Request` could be refused, or be something else than what came, one
 * is made.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function toApiRequest(facts: NodeRequestFacts): ApiRequest {
  const { method, url, headers } = facts
  if (!plainMethods.includes(method) || !url.startsWith('/')) return toWebRequest(facts)
  const body = bodyOf(facts)
  return { method, headers: new HeaderReader(headers), body: body === undefined ? null : [body] }
}

/** Reads headers as `Headers` does. */
class HeaderReader {
  readonly #headers: IncomingHttpHeaders

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers
  }

  /** @throws {@link TenancyError} TENANCY_REQUEST_INVALID */
  get(name: string): string | null {
    const value = this.#headers[name]
    if (value === undefined) return null
    if (typeof value === 'string' && isPlain(value)) return value
    return toWebHeaders({ [name]: value }).get(name)
  }
}

/** Whether a value is text that `Headers` gives back as it is. */
function isPlain(value: string): boolean {
  return /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/.test(value)
}
