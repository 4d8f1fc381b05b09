import type { MemberEntry } from '../../index.js'
import { defineCommand } from '../command.js'
import { memberShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from '../tenant/tenant-argument.js'
import { wholeNumber } from '../values.js'

interface Input extends TenantInput {
  readonly limit?: number
  readonly after?: string
}

interface Result {
  readonly members: readonly MemberEntry[]
  readonly next: string | null
}

export const listMembers = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List the members of a tenant with their roles',
  arguments: [tenantArgument],
  options: [
    { flags: '--limit N', description: 'how many, 1 to 1000 (default: 100)', parse: wholeNumber(1, 1000) },
    { flags: '--after ID', description: 'the next page: `next` of the page before' },
  ],
  examples: [{ command: 'member list acme', says: 'The first 100 members' }],
  json: { members: [memberShape], next: 'string | null' },
  exitCodes: [3],
  async run(context, { tenant, limit = 100, after }) {
    const { tenancy } = await context.open()
    const members = await tenancy.listMembers({ tenant, limit, after })
    return { members, next: members.length === limit ? (members.at(-1)?.userId ?? null) : null }
  },
  render({ members, next }, page) {
    page.table(
      ['EMAIL', 'NAME', 'ROLES', 'ACTIVE', 'USER'],
      members.map(({ email, name, roles, isActive, userId }) => [
        email,
        name,
        roles.join(', '),
        isActive ? 'yes' : { text: 'no', style: 'yellow' },
        userId,
      ]),
    )
    if (next !== null) page.hint(`There may be more: --after ${next}`)
  },
})
