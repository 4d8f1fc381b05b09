import type { UserTenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { memberArguments, type MemberInput, type TypedMember, typedMember } from './member-arguments.js'

interface Input extends MemberInput {
  readonly role?: readonly string[]
  readonly default?: boolean
}

interface Result extends TypedMember {
  readonly member: UserTenant
  readonly roles: readonly string[]
}

export const addMember = defineCommand<Input, Result>({
  name: 'add',
  summary: 'Make a user a member of a tenant',
  arguments: memberArguments,
  options: [
    { flags: '--role NAME', description: 'a role, again for more (default: Member)', isRepeatable: true },
    { flags: '--default', description: 'the tenant of requests of the user that name none' },
  ],
  examples: [
    { command: 'member add acme eve@example.com', says: 'With the role Member' },
    { command: 'member add acme eve@example.com --role Admin --role Auditor', says: 'With two roles' },
  ],
  json: {
    member: {
      userId: 'string',
      tenantId: 'string',
      isActive: 'boolean',
      isDefault: 'boolean',
      createdAt: 'date',
      updatedAt: 'date',
    },
    roles: ['string'],
  },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant, user, role: roles = ['Member'], default: isDefault }) {
    const { tenancy, actor } = await context.open()
    const id = await resolveUser(tenancy, user)
    const member = await tenancy.addMember({ tenant, user: id, roles, isDefault, actor })
    return { member, roles, ...typedMember(context, { tenant, user }) }
  },
  render({ typed, roles }, page) {
    page.line(`Added ${typed?.user} to ${typed?.tenant} with ${roles.join(', ') || 'no role'}`)
  },
})
