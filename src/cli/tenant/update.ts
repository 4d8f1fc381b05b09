import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import type { Tenant } from '../../core/model.js'
import { tenantShape } from '../shapes.js'
import { wholeNumber } from '../values.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'
import { showTenantFacts } from './tenant-facts.js'

interface Input extends TenantInput {
  readonly name?: string
  readonly contact?: string
  readonly maxUsers?: number | 'none'
}

const most = wholeNumber(1, 2_147_483_647)

export const updateTenant = defineCommand<Input, { readonly tenant: Tenant }>({
  name: 'update',
  summary: 'Change the name, contact or limit of a tenant',
  arguments: [tenantArgument],
  options: [
    { flags: '--name TEXT', description: 'display name' },
    { flags: '--contact EMAIL', description: 'e-mail address of a contact, or none' },
    {
      flags: '--max-users N',
      description: 'most members, or none for no limit',
      parse: (text) => (text === 'none' ? text : most(text)),
    },
  ],
  examples: [
    { command: 'tenant update acme --name "Acme Corporation"', says: 'Another display name' },
    { command: 'tenant update acme --max-users none', says: 'No limit any more' },
  ],
  json: { tenant: tenantShape },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant, name, contact, maxUsers }) {
    if (name === undefined && contact === undefined && maxUsers === undefined) {
      throw new CliError('CLI_USAGE', 'Nothing to change: give --name, --contact or --max-users')
    }
    const { tenancy, actor } = await context.open()
    const contactEmail = contact === 'none' ? null : contact
    return {
      tenant: await tenancy.updateTenant({
        tenant,
        name,
        contactEmail,
        maxUsers: maxUsers === 'none' ? null : maxUsers,
        actor,
      }),
    }
  },
  render({ tenant }, page) {
    showTenantFacts(page, tenant)
  },
})
