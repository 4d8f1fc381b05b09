import type { AccessExplanation } from '../../index.js'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import { memberArguments, type MemberInput } from '../member/member-arguments.js'
import { resolveUser } from '../opening/resolve-user.js'

interface Input extends MemberInput {
  readonly question: readonly string[]
}

export const explainAccess = defineCommand<Input, AccessExplanation>({
  name: 'explain',
  summary: 'Explain why a member may do something or not',
  description: 'Reads the catalog as it is now. The question is a permission, or a method and a path.',
  arguments: [...memberArguments, { name: 'question', description: 'PERMISSION, or METHOD PATH', isVariadic: true }],
  examples: [
    { command: 'access explain acme eve@example.com notes:write', says: 'A permission' },
    { command: 'access explain acme eve@example.com DELETE /notes/42', says: 'A route' },
  ],
  json: {
    allowed: 'boolean',
    reason: 'string',
    'rule?': 'string',
    permissions: [
      {
        permission: 'string',
        state: "'granted' | 'denied' | 'not-granted' | 'permission-inactive' | 'no-permission'",
        through: [{ roles: ['string'], inactive: ['string'] }],
        'override?': { effect: "'allow' | 'deny'", expiresAt: 'date | null', isExpired: 'boolean' },
      },
    ],
  },
  exitCodes: [3],
  async run(context, { tenant, user, question: [first = '', path, ...more] }) {
    if (more.length > 0) throw new CliError('CLI_USAGE', 'The question is PERMISSION, or METHOD PATH')
    const { tenancy } = await context.open()
    const who = { tenant, user: await resolveUser(tenancy, user) }
    return tenancy.access.explain(
      path === undefined ? { ...who, permission: first } : { ...who, method: first.toUpperCase(), path },
    )
  },
  render({ allowed, reason, rule, permissions }, page) {
    page.line(allowed ? 'allowed' : `refused: ${reason}`, allowed ? 'green' : 'red')
    if (rule !== undefined) page.line(`rule: ${rule}`)
    for (const { permission, state, through, override } of permissions) {
      page.line(`${permission}: ${state}`)
      for (const { roles, inactive } of through) {
        page.line(`  through ${roles.join(' > ')}${inactive.length > 0 ? ` (inactive: ${inactive.join(', ')})` : ''}`)
      }
      if (override !== undefined) page.line(`  override: ${override.effect}${override.isExpired ? ' (expired)' : ''}`)
    }
  },
})
