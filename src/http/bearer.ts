import { TenancyError } from '../core/errors/errors.js'

/** RFC 6750, 2.1: the scheme in any case (RFC 9110, 11.1), spaces, and the token. */
const bearerPattern = /^bearer(?: +(.*))?$/is
const usualStart = 'Bearer '

/**
 * Reads the bearer token from an `Authorization` header. The verifier checks the token's spelling.
 *
 * @throws TENANCY_AUTH_REQUIRED (no header, or another scheme)
 */
export function readBearerToken(authorization: string | undefined): string {
  // Nearly every client writes it like this, so the pattern need not scan hundreds of characters.
  if (authorization?.startsWith(usualStart) === true && authorization[usualStart.length] !== ' ') {
    return authorization.slice(usualStart.length)
  }
  const credentials = authorization === undefined ? null : bearerPattern.exec(authorization)
  if (credentials === null) throw new TenancyError('TENANCY_AUTH_REQUIRED')
  return credentials[1] ?? ''
}
