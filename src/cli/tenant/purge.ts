import { defineCommand } from '../command.js'
import { tenantArgument, type TenantInput } from './tenant-argument.js'

interface Result {
  readonly purged: { readonly id: string; readonly slug: string }
}

export const purgeTenant = defineCommand<TenantInput, Result>({
  name: 'purge',
  summary: 'Erase a deleted tenant now, for good',
  description:
    'Drops its database and removes its memberships and roles, before its retention is over. Nothing brings it back but a ' +
    'backup. Its audit log stays. Only a tenant that is deleted can be purged.',
  arguments: [tenantArgument],
  examples: [{ command: 'tenant purge acme', says: 'Asks you to type acme' }],
  json: { purged: { id: 'string', slug: 'string' } },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { tenant: named }) {
    const { tenancy, actor } = await context.open()
    const { id, slug, name, status } = await tenancy.getTenant(named)
    // Asked only if the answer counts: the tenant's state is checked again by the function itself.
    if (status === 'deleted') {
      await context.confirm({
        typed: slug,
        consequences: [
          `The database of ${slug} (${name}) is dropped now, and its memberships and roles are removed.`,
          'This cannot be undone.',
        ],
      })
    }
    await tenancy.purgeTenant({ tenant: id, actor })
    return { purged: { id, slug } }
  },
  render({ purged }, page) {
    page.line(`Purged ${purged.slug} (${purged.id})`)
  },
})
