import type { RequestContext } from '../context/request-scope.js'
import type { VerifiedToken } from './identity.js'
import type { IssuedToken } from './signing-keys.js'

/**
 * Tokens of platform administrators: users who administer the installation. They have an audience of their own, so that no
 * route of tenants takes them, and routes of the platform take no other.
 */
export interface PlatformTokens {
  /**
   * Exchanges the access token of an administrator, which is our own and bound to no tenant, for a token of the platform.
   * Leaves an entry in the installation's audit log, without the token.
   * @throws TENANCY_ACCESS_DENIED: the user is no administrator, or the token is a foreign issuer's; TENANCY_AUTH_TOKEN_BOUND;
   *   TENANCY_AUTH_TOKEN_INVALID; TENANCY_CATALOG_UNAVAILABLE
   */
  exchange(token: VerifiedToken): Promise<IssuedToken>
  /**
   * Finds the administrator of an `Authorization` header, in no tenant. Asks the catalog each time, in one query: a role that
   * was revoked, a disabled user and revoked tokens count at once.
   * @throws TENANCY_AUTH_REQUIRED, TENANCY_AUTH_TOKEN_INVALID, TENANCY_AUTH_USER_REFUSED, TENANCY_CATALOG_UNAVAILABLE
   */
  authenticate(authorization: string | undefined): Promise<RequestContext>
}
