import type { TenantRef } from '../core/tenants/slug.js'

/** The tenant that one place of a request names; undefined: none; `malformed`: a text that can name no tenant. */
export type AskedTenant = TenantRef | 'malformed' | undefined
