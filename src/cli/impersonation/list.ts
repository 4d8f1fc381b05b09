import type { Impersonation } from '../../index.js'
import { defineCommand } from '../command.js'
import { tenantArgument, type TenantInput } from '../tenant/tenant-argument.js'
import { wholeNumber } from '../values.js'
import { impersonationShape } from './impersonation-shape.js'

interface Input extends TenantInput {
  readonly limit?: number
  readonly after?: string
}

interface Result {
  readonly impersonations: readonly Impersonation[]
  readonly next: string | null
}

export const listImpersonations = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List who acts, or acted, as a member of a tenant, the newest first',
  arguments: [tenantArgument],
  options: [
    { flags: '--limit N', description: 'how many, 1 to 1000 (default: 100)', parse: wholeNumber(1, 1000) },
    { flags: '--after ID', description: 'the next page: `next` of the page before' },
  ],
  examples: [{ command: 'impersonation list acme', says: 'With the reason that the administrator gave' }],
  json: { impersonations: [impersonationShape], next: 'string | null' },
  exitCodes: [3],
  async run(context, { tenant, limit = 100, after }) {
    const { tenancy } = await context.open()
    const impersonations = await tenancy.listImpersonations({ tenant, limit, after })
    return { impersonations, next: impersonations.length === limit ? (impersonations.at(-1)?.id ?? null) : null }
  },
  render({ impersonations, next }, page) {
    page.table(
      ['IMPERSONATION', 'BY', 'AS', 'SINCE', 'END', 'REASON'],
      impersonations.map(
        ({ id, administratorName, administratorId, userId, createdAt, expiresAt, endedAt, reason }) => [
          id,
          administratorName ?? administratorId,
          userId,
          createdAt,
          endedAt ?? expiresAt,
          reason,
        ],
      ),
    )
    if (impersonations.length === 0) page.hint('There are none.')
    if (next !== null) page.hint(`There may be more: --after ${next}`)
  },
})
