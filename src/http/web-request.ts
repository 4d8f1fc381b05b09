import type { IncomingHttpHeaders } from 'node:http'
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
export function toWebRequest({ method, url, headers: given, body }: NodeRequestFacts): Request {
  const hasBody = method !== 'GET' && method !== 'HEAD' && Buffer.isBuffer(body)
  const headers = readHeaders(given)
  try {
    return new Request(new URL(`http://localhost${url}`), {
      method,
      headers,
      body: hasBody ? new Uint8Array(body) : null,
    })
  } catch {
    throw refuseRequest('The address cannot be read', {})
  }
}

function readHeaders(given: IncomingHttpHeaders): Headers {
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
