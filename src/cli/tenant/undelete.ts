import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'

export const undeleteTenant = defineCommand<TenantInput, { readonly tenant: Tenant }>({
  name: 'undelete',
  summary: 'Bring a deleted tenant back, within its retention',
  description:
    'Its data, members and roles are as they were. Schema files that came meanwhile are applied first. A tenant that was ' +
    'suspended is suspended again.',
  arguments: [tenantArgument],
  examples: [{ command: 'tenant undelete acme', says: 'Its members are let in again' }],
  json: { tenant: tenantShape },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant }) {
    const { tenancy, actor } = await context.open()
    return { tenant: await tenancy.undeleteTenant({ tenant, actor }) }
  },
  render({ tenant }, page) {
    page.line(`Undeleted ${tenant.slug}; it is ${tenant.status}`)
  },
})
