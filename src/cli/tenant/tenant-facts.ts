import type { Tenant, TenantStatus } from '../../core/model.js'
import type { Cell, Page, StyledCell } from '../output/page.js'

/** A status as tables show it. */
export function statusCell(status: TenantStatus): StyledCell {
  return { text: status, style: status === 'active' ? 'green' : status === 'suspended' ? 'yellow' : 'red' }
}

/** Shows a tenant, fact by fact. */
export function showTenantFacts(page: Page, tenant: Tenant, more: readonly (readonly [string, Cell])[] = []): void {
  page.facts([
    ['Slug', tenant.slug],
    ['Name', tenant.name],
    ['Status', statusCell(tenant.status)],
    ['Id', tenant.id],
    ['Contact', tenant.contactEmail],
    ['Most members', tenant.maxUsers ?? 'no limit'],
    ['Created', tenant.createdAt],
    ...(tenant.suspendedAt === null ? [] : [['Suspended', tenant.suspendedAt] as const]),
    ...(tenant.deletedAt === null ? [] : [['Deleted', tenant.deletedAt] as const]),
    ...more,
  ])
}
