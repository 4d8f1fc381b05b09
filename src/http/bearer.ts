import { TenancyError } from '../core/errors/errors.js'

/** RFC 6750, 2.1: the scheme in any case (RFC 9110, 11.1), spaces, and what is to be the token. */
const bearerPattern = /^bearer(?: +(.*))?$/is
const usualStart = 'Bearer '

/**
 * What an `Authorization` header gives as its bearer token. Whether it is one, byte for byte, the verifier says.
 *
 * @throws TENANCY_AUTH_REQUIRED (no header, or another scheme)
 */
export function readBearerToken(authorization: string | undefined): string {
  // How nearly every client writes it: no need to go through hundreds of letters.
  if (authorization?.startsWith(usualStart) === true && authorization[usualStart.length] !== ' ') {
    return authorization.slice(usualStart.length)
  }
  const credentials = authorization === undefined ? null : bearerPattern.exec(authorization)
  if (credentials === null) throw new TenancyError('TENANCY_AUTH_REQUIRED')
  return credentials[1] ?? ''
}
