import { TenancyError } from '../core/errors.js'

/** RFC 6750, 2.1: the scheme in any case (RFC 9110, 11.1), spaces, one token68. */
const bearerPattern = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i
const schemePattern = /^bearer(?: |$)/i

/**
 * The bearer token of an `Authorization` header.
 *
 * @throws TENANCY_AUTH_REQUIRED (no header, or another scheme), TENANCY_AUTH_TOKEN_INVALID (not one token)
 */
export function readBearerToken(authorization: string | undefined): string {
  if (authorization === undefined || !schemePattern.test(authorization)) {
    throw new TenancyError('TENANCY_AUTH_REQUIRED')
  }
  const token = bearerPattern.exec(authorization)?.[1]
  if (token === undefined) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
  return token
}
