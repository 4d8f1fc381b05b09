import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { memberArguments, type MemberInput, resolveTenant, type TypedMember, typedMember } from './member-arguments.js'

interface Input extends MemberInput {
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
}

interface Result extends TypedMember {
  readonly tenantId: string
  readonly userId: string
  readonly roles: readonly string[]
}

export const changeRoles = defineCommand<Input, Result>({
  name: 'role',
  summary: 'Give a member roles, or take roles away',
  description:
    'Each role is a change of its own: roles are given first, then taken. What was done before one is refused stays, and running ' +
    'the command again does no harm.',
  arguments: memberArguments,
  options: [
    { flags: '--add NAME', description: 'a role to give, again for more', isRepeatable: true },
    { flags: '--remove NAME', description: 'a role to take away, again for more', isRepeatable: true },
  ],
  examples: [{ command: 'member role acme eve@example.com --add Admin --remove Member', says: 'From Member to Admin' }],
  json: { tenantId: 'string', userId: 'string', roles: ['string'] },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant, user, add = [], remove = [] }) {
    if (add.length + remove.length === 0) throw new CliError('CLI_USAGE', 'Nothing to change: give --add or --remove')
    const { tenancy, actor } = await context.open()
    const { id, slug } = await resolveTenant(tenancy, tenant)
    const userId = await resolveUser(tenancy, user)
    for (const role of add) await tenancy.access.assignRole({ tenant: id, user: userId, role, actor })
    for (const role of remove) await tenancy.access.unassignRole({ tenant: id, user: userId, role, actor })
    const memberships = await tenancy.listMemberships(userId)
    const roles = memberships.find(({ tenantId }) => tenantId === id)?.roles ?? []
    return { tenantId: id, userId, roles, ...typedMember(context, { tenant: slug, user }) }
  },
  render({ typed, roles }, page) {
    page.line(`${typed?.user} has ${roles.join(', ') || 'no role'} in ${typed?.tenant}`)
  },
})
