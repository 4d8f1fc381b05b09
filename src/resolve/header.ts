import { parseTenantRef } from '../core/tenants/slug.js'
import type { AskedTenant } from './asked-tenant.js'

/**
 * Reads the tenant from the header `X-Tenant-Id`, by id or slug. A repeated header (joined with commas by Node, or a list)
 * names no tenant, even if both values are equal.
 */
export function askedByHeader(header: string | readonly string[] | undefined): AskedTenant {
  if (header === undefined) return undefined
  if (typeof header !== 'string') return 'malformed'
  return parseTenantRef(header) ?? 'malformed'
}
