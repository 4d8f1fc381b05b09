import { parseTenantRef } from '../core/tenants/slug.js'
import type { AskedTenant } from './asked-tenant.js'

/** The tenant that the path parameter names, by id or slug. The router has decoded it. */
export function askedByPath(parameter: string | undefined): AskedTenant {
  return parameter === undefined ? undefined : (parseTenantRef(parameter) ?? 'malformed')
}
