import { countText } from '../../core/text.js'
import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'

interface Result {
  readonly tenant: Tenant
  readonly keptUntil: Date
}

export const deleteTenant = defineCommand<TenantInput, Result>({
  name: 'delete',
  summary: 'Delete a tenant; it can be restored until its retention is over',
  description:
    'Its members are refused at once. Its database is kept for TENANT_RETENTION_DAYS (30 unless set) and dropped then, with ' +
    'the memberships and roles of the tenant. Until then `tenant undelete` brings all of it back. The slug stays taken.',
  arguments: [tenantArgument],
  examples: [
    { command: 'tenant delete acme', says: 'Asks you to type acme' },
    { command: 'tenant delete acme --yes --json', says: 'For a program' },
  ],
  json: { tenant: tenantShape, keptUntil: 'date' },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { tenant: named }) {
    const { tenancy, actor } = await context.open()
    const { retentionDays } = tenancy.config
    const { id, slug, name } = await tenancy.getTenant(named)
    await context.confirm({
      typed: slug,
      consequences: [
        `The tenant ${slug} (${name}) is deleted: its members are refused at once.`,
        `Its database is dropped after ${countText(retentionDays, 'day')}. Until then it can be undeleted.`,
      ],
    })
    const tenant = await tenancy.deleteTenant({ tenant: id, actor })
    const deletedAt = tenant.deletedAt ?? new Date()
    return { tenant, keptUntil: new Date(deletedAt.getTime() + retentionDays * 86_400_000) }
  },
  render({ tenant, keptUntil }, page) {
    page.line(`Deleted ${tenant.slug}; its data is kept until ${keptUntil.toISOString()}`)
    page.hint(`Bring it back until then: tenants2fast tenant undelete ${tenant.slug}`)
  },
})
