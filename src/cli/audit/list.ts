import type { AuditEntry } from '../../index.js'
import { defineCommand } from '../command.js'
import { wholeNumber } from '../values.js'

interface Input {
  readonly tenant?: string
  readonly limit?: number
  readonly after?: number
}

interface Result {
  readonly entries: readonly AuditEntry[]
  readonly next: number | null
}

export const listAudit = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List entries of the audit log, in the order in which they were written',
  description:
    'A tenant has a log of its own, which outlives it (name it by its id then); the others are the installation’s.',
  options: [
    { flags: '--tenant TENANT', description: 'slug or id of a tenant (default: the installation)' },
    { flags: '--limit N', description: 'how many, 1 to 1000 (default: 100)', parse: wholeNumber(1, 1000) },
    {
      flags: '--after SEQ',
      description: 'the next page: `next` of the page before',
      parse: wholeNumber(0, Number.MAX_SAFE_INTEGER),
    },
  ],
  examples: [
    { command: 'audit list', says: 'Users, keys, platform administrators, runs of migrations' },
    { command: 'audit list --tenant acme --json', says: 'What happened in a tenant, for a program' },
  ],
  json: {
    entries: [
      {
        seq: 'number',
        at: 'date',
        actorId: 'string | null',
        operator: 'string | null',
        apiKey: 'string | null',
        requestId: 'string | null',
        address: 'string | null',
        isPlatform: 'boolean',
        impersonation: 'any',
        tenantId: 'string | null',
        action: 'string',
        subject: 'string | null',
        before: 'any',
        after: 'any',
      },
    ],
    next: 'number | null',
  },
  exitCodes: [3],
  async run(context, { tenant = null, limit = 100, after }) {
    const { tenancy } = await context.open()
    const entries = await tenancy.audit.list({ tenant, limit, after })
    return { entries, next: entries.length === limit ? (entries.at(-1)?.seq ?? null) : null }
  },
  render({ entries, next }, page) {
    page.table(
      ['SEQ', 'AT', 'ACTION', 'SUBJECT', 'BY', 'CHANGE'],
      entries.map(({ seq, at, action, subject, actorId, operator, impersonation, before, after }) => [
        seq,
        at,
        action,
        subject,
        byText(actorId, operator ?? impersonation?.administrator ?? null),
        changeText(before, after),
      ]),
    )
    if (next !== null) page.hint(`There may be more: --after ${next}`)
  },
})

function byText(actorId: string | null, through: string | null): string {
  return [actorId, through].filter((by) => by !== null).join(' through ') || 'the system or an operator'
}

function changeText(before: unknown, after: unknown): string {
  const text = before === null ? shown(after) : `${shown(before)} -> ${shown(after) || 'gone'}`
  return text.length > 120 ? `${text.slice(0, 119)}…` : text
}

const shown = (value: unknown) => (value === null || value === undefined ? '' : JSON.stringify(value))
