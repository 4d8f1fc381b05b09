import type { IncomingMessage } from 'node:http'

/**
 * Whether a request is what a browser sends to ask if it may send another one (CORS preflight, Fetch standard, 4.8). It
 * carries no credentials and no body; one that does is an ordinary request.
 */
export function isPreflight({ method, headers }: IncomingMessage): boolean {
  return (
    method === 'OPTIONS' &&
    headers.origin !== undefined &&
    headers['access-control-request-method'] !== undefined &&
    headers.authorization === undefined &&
    headers['transfer-encoding'] === undefined &&
    (headers['content-length'] ?? '0') === '0'
  )
}
