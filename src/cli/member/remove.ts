import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { memberArguments, type MemberInput, resolveTenant, type TypedMember, typedMember } from './member-arguments.js'

interface Result extends TypedMember {
  readonly removed: { readonly tenantId: string; readonly userId: string }
}

export const removeMember = defineCommand<MemberInput, Result>({
  name: 'remove',
  summary: 'End a membership, with its roles and overrides',
  description: 'The user stays, and is refused by the tenant from then on. The last Owner cannot be removed.',
  arguments: memberArguments,
  examples: [{ command: 'member remove acme eve@example.com', says: 'Asks you to type acme' }],
  json: { removed: { tenantId: 'string', userId: 'string' } },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { tenant, user }) {
    const { tenancy, actor } = await context.open()
    const { id, slug } = await resolveTenant(tenancy, tenant)
    const userId = await resolveUser(tenancy, user)
    await context.confirm({
      typed: slug,
      consequences: [`${user} is no member of ${slug} any more. The roles and overrides of the membership are gone.`],
    })
    await tenancy.removeMember({ tenant: id, user: userId, actor })
    return { removed: { tenantId: id, userId }, ...typedMember(context, { tenant: slug, user }) }
  },
  render({ typed }, page) {
    page.line(`Removed ${typed?.user} from ${typed?.tenant}`)
  },
})
