import type { VerifiedToken } from '../core/identity.js'
import { parseTenantRef } from '../core/slug.js'
import type { AskedTenant } from './asked-tenant.js'

/** The tenant that the token was issued for, by id or slug. */
export function askedByClaim(token: VerifiedToken): AskedTenant {
  return token.tenant === undefined ? undefined : (parseTenantRef(token.tenant) ?? 'malformed')
}
