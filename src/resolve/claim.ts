import { TenancyError } from '../core/errors/errors.js'
import type { VerifiedToken } from '../core/identity/identity.js'
import { parseTenantRef } from '../core/tenants/slug.js'
import type { AskedTenant } from './asked-tenant.js'

/** Reads the tenant that the token was issued for, by id or slug. */
export function askedByClaim(token: VerifiedToken): AskedTenant {
  return token.tenant === undefined ? undefined : (parseTenantRef(token.tenant) ?? 'malformed')
}

// Clocks of processes and catalog differ a little.
const toleranceMs = 5000

/**
 * Refuses a tenant that was made after the token was, which names it by its slug: the slug was another tenant's then. Own tokens
 * name ids, but those that a process of an earlier release has issued may name slugs until they expire.
 *
 * @throws {@link TenancyError} TENANCY_TENANT_FORBIDDEN
 */
export function refuseSuccessor(token: VerifiedToken, tenant: { readonly createdAt: Date }): void {
  if (!token.isOwn || token.tenant === undefined || parseTenantRef(token.tenant)?.kind !== 'slug') return
  if (tenant.createdAt.getTime() > token.issuedAt * 1000 + toleranceMs) {
    throw new TenancyError('TENANCY_TENANT_FORBIDDEN')
  }
}

/**
 * Refuses a tenant that is not among those a token was issued for. A token for several tenants names none itself, so the
 * request must.
 *
 * @param named whether the request names a tenant
 * @throws {@link TenancyError} TENANCY_TENANT_REQUIRED, TENANCY_TENANT_FORBIDDEN
 */
export function requireAmongTenants(
  { tenants }: VerifiedToken,
  tenant: { readonly id: string; readonly slug: string },
  named: boolean,
): void {
  if (tenants === undefined) return
  if (!named) {
    throw new TenancyError(
      'TENANCY_TENANT_REQUIRED',
      'Your access token is for several tenants: send the header X-Tenant-Id with the id or slug of one',
    )
  }
  if (!tenants.includes(tenant.id) && !tenants.includes(tenant.slug)) throw new TenancyError('TENANCY_TENANT_FORBIDDEN')
}
