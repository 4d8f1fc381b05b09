import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'

export const suspendTenant = defineCommand<TenantInput, { readonly tenant: Tenant }>({
  name: 'suspend',
  summary: 'Refuse the requests of a tenant, until it is activated again',
  description: 'Its data stays, and migrations go on.',
  arguments: [tenantArgument],
  examples: [{ command: 'tenant suspend acme', says: 'Its members are refused with TENANCY_TENANT_SUSPENDED' }],
  json: { tenant: tenantShape },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant }) {
    const { tenancy, actor } = await context.open()
    return { tenant: await tenancy.suspendTenant({ tenant, actor }) }
  },
  render({ tenant }, page) {
    page.line(`Suspended ${tenant.slug}`)
    page.hint(`Activate it again: tenants2fast tenant activate ${tenant.slug}`)
  },
})
