import type { Operation } from '../../operation.js'
import { defineExports } from './define-exports.js'

/** Exports of the tenant, for its Owners: no other built-in role has the permission, and no API key may have it. */
export const exportOperations: readonly Operation[] = defineExports({
  ...{ path: '/tenants/{tenant}', group: 'Exports', prefix: '' },
  access: { permission: 'tenant:export' },
  scopeOf: ({ scope }) => scope,
})

/** Exports of any tenant, a deleted one included, for administrators of the installation. */
export const platformExportOperations: readonly Operation[] = defineExports({
  ...{ path: '/platform/tenants/{tenant}', group: 'Platform: exports', prefix: 'Platform' },
  access: { platform: true },
  scopeOf: ({ params, user }) => ({ tenant: params.tenant, actor: user.id }),
})
