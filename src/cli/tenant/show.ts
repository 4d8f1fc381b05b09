import type { Tenant } from '../../core/model.js'
import type { MemberEntry } from '../../index.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'
import { showTenantFacts } from './tenant-facts.js'

interface Result {
  readonly tenant: Tenant
  readonly owners: readonly string[]
}

export const showTenant = defineCommand<TenantInput, Result>({
  name: 'show',
  summary: 'Show one tenant',
  arguments: [tenantArgument],
  examples: [{ command: 'tenant show acme', says: 'By slug; an id does as well' }],
  json: { tenant: tenantShape, owners: ['string'] },
  exitCodes: [3],
  async run(context, { tenant: named }) {
    const { tenancy } = await context.open()
    const tenant = await tenancy.getTenant(named)
    const members = await tenancy.listMembers({ tenant: tenant.id, limit: 1000 })
    const isOwner = ({ roles, isActive }: MemberEntry) => isActive && roles.includes('Owner')
    return { tenant, owners: members.filter(isOwner).map(({ email }) => email) }
  },
  render({ tenant, owners }, page) {
    showTenantFacts(page, tenant, [['Owners', owners.join(', ') || 'none']])
  },
})
