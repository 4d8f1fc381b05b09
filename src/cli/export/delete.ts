import { defineCommand } from '../command.js'
import { tenantArgument, type TenantInput } from '../tenant/tenant-argument.js'

interface Input extends TenantInput {
  readonly export: string
}

interface Result {
  readonly deleted: { readonly tenantId: string; readonly exportId: string }
}

export const deleteExport = defineCommand<Input, Result>({
  name: 'delete',
  summary: 'Cancel an export of a tenant, or delete its archive',
  description:
    'A process that works on it stops within seconds. The tenant’s audit log has an entry, which its Owners see.',
  arguments: [tenantArgument, { name: 'export', description: 'id of the export' }],
  examples: [
    {
      command: 'export delete acme 0199d3a4-5e6f-7a8b-9c0d-1e2f3a4b5c6d',
      says: 'Asks you to type acme',
    },
  ],
  json: { deleted: { tenantId: 'string', exportId: 'string' } },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { tenant: named, export: id }) {
    const { tenancy, actor } = await context.open()
    const tenant = await tenancy.getTenant(named)
    const found = await tenancy.getTenantExport({ tenant: tenant.id, export: id })
    await context.confirm({
      typed: tenant.slug,
      consequences: [
        found.state === 'ready'
          ? `The archive of ${tenant.slug} of ${found.takenAt?.toISOString() ?? ''} is deleted: nobody can download it any more.`
          : `The export of ${tenant.slug}, which is ${found.state}, is cancelled.`,
      ],
    })
    await tenancy.deleteTenantExport({ tenant: tenant.id, export: found.id, actor })
    return { deleted: { tenantId: tenant.id, exportId: found.id } }
  },
  render({ deleted }, page) {
    page.line(`The export ${deleted.exportId} is deleted`)
  },
})
