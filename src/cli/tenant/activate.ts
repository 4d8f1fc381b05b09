import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'

export const activateTenant = defineCommand<TenantInput, { readonly tenant: Tenant }>({
  name: 'activate',
  summary: 'End the suspension of a tenant',
  arguments: [tenantArgument],
  examples: [{ command: 'tenant activate acme', says: 'Its members are let in again' }],
  json: { tenant: tenantShape },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant }) {
    const { tenancy, actor } = await context.open()
    return { tenant: await tenancy.reactivateTenant({ tenant, actor }) }
  },
  render({ tenant }, page) {
    page.line(`Activated ${tenant.slug}`)
  },
})
