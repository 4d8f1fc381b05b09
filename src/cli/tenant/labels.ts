import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'

interface Input extends TenantInput {
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
}

export const labelTenant = defineCommand<Input, { readonly tenant: Tenant }>({
  name: 'labels',
  summary: 'Show or change the labels of a tenant',
  description:
    'Labels choose tenants: `migrate up --label beta`, `tenant list --label beta`. Without an option they are shown.',
  arguments: [tenantArgument],
  options: [
    { flags: '--add LABEL', description: 'a label to add, again for more: letters, digits, . _ -', isRepeatable: true },
    { flags: '--remove LABEL', description: 'a label to take away, again for more', isRepeatable: true },
  ],
  examples: [{ command: 'tenant labels acme --add beta', says: 'For a first wave of migrations' }],
  json: { tenant: tenantShape },
  exitCodes: [3],
  isWriting: true,
  async run(context, { tenant: named, add = [], remove = [] }) {
    const { tenancy, actor } = await context.open()
    const tenant = await tenancy.getTenant(named)
    if (add.length + remove.length === 0) return { tenant }
    const labels = [...tenant.labels.filter((label) => !remove.includes(label)), ...add]
    return { tenant: await tenancy.setTenantLabels({ tenant: tenant.id, labels, actor }) }
  },
  render({ tenant }, page) {
    page.facts([[tenant.slug, tenant.labels.join(', ') || 'no labels']])
  },
})
