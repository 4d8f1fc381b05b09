import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'

interface Input extends TenantInput {
  readonly slug: string
}

export const renameTenant = defineCommand<Input, { readonly tenant: Tenant; readonly formerSlug: string }>({
  name: 'rename',
  summary: 'Give a tenant another slug',
  description:
    'Requests that name the old slug (header, host, path, tokens bound to it) are refused from then on, and another tenant may ' +
    'take it. The id and the database stay. `tenant update --name` changes the display name.',
  arguments: [tenantArgument, { name: 'slug', description: 'the new slug' }],
  examples: [{ command: 'tenant rename acme acme-corp', says: 'From acme to acme-corp' }],
  json: { tenant: tenantShape, formerSlug: 'string' },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant: named, slug }) {
    const { tenancy, actor } = await context.open()
    const before = await tenancy.getTenant(named)
    return { tenant: await tenancy.renameTenant({ tenant: before.id, slug, actor }), formerSlug: before.slug }
  },
  render({ tenant, formerSlug }, page) {
    page.line(`Renamed ${formerSlug} to ${tenant.slug}`)
  },
})
