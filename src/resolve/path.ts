import { parseTenantRef } from '../core/tenants/slug.js'
import type { AskedTenant } from './asked-tenant.js'

/** Reads the tenant from the path parameter, by id or slug. The router has decoded it. */
export function askedByPath(parameter: string | undefined): AskedTenant {
  return parameter === undefined ? undefined : (parseTenantRef(parameter) ?? 'malformed')
}
