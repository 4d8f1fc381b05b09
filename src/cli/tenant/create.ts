import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { tenantShape } from '../shapes.js'
import { wholeNumber } from '../values.js'

interface Input {
  readonly slug: string
  readonly owner: string
  readonly name?: string
  readonly contact?: string
  readonly maxUsers?: number
}

export const createTenant = defineCommand<Input, { readonly tenant: Tenant }>({
  name: 'create',
  summary: 'Create a tenant with a database of its own',
  description:
    'The tenant gets a ready database of the stock, or one is built now. Its owner becomes a member with the role Owner.',
  arguments: [{ name: 'slug', description: '3 to 40 characters of a-z, 0-9 and -; unique' }],
  options: [
    { flags: '--owner EMAIL|ID', description: 'the user who owns the tenant', isRequired: true },
    { flags: '--name TEXT', description: 'display name (default: the slug)' },
    { flags: '--contact EMAIL', description: 'e-mail address of a contact' },
    { flags: '--max-users N', description: 'most members (default: no limit)', parse: wholeNumber(1, 2_147_483_647) },
  ],
  examples: [
    {
      command: 'tenant create acme --owner dana@example.com --name "Acme Ltd"',
      says: 'A tenant for a user who exists',
    },
  ],
  json: { tenant: tenantShape },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { slug, owner, name = slug, contact, maxUsers }) {
    const { tenancy, actor } = await context.open()
    const user = await resolveUser(tenancy, owner)
    return {
      tenant: await tenancy.createTenant({ slug, name, owner: user, contactEmail: contact, maxUsers, actor }),
    }
  },
  render({ tenant }, page) {
    page.line(`Created the tenant ${tenant.slug} (${tenant.id})`)
  },
})
