/** The part of a request that {@link isPreflight} reads: Node's request has it. Header names are in lower case. */
export interface PreflightFacts {
  readonly method?: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
}

/**
 * Tells whether a request is a CORS preflight: a browser asks whether it may send another request (Fetch standard, 4.8). A
 * preflight carries no credentials and no body; an OPTIONS request with one of them is an ordinary request.
 */
export function isPreflight({ method, headers }: PreflightFacts): boolean {
  return (
    method === 'OPTIONS' &&
    headers['origin'] !== undefined &&
    headers['access-control-request-method'] !== undefined &&
    headers['authorization'] === undefined &&
    headers['transfer-encoding'] === undefined &&
    (headers['content-length'] ?? '0') === '0'
  )
}
