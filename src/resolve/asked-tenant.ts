import type { TenantRef } from '../core/tenants/slug.js'

/** What one place of a request says: a tenant, nothing (undefined), or something that names no tenant. */
export type AskedTenant = TenantRef | 'malformed' | undefined
