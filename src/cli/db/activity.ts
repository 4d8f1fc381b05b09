import type { BackendActivity } from '../../composition/observing/activity.js'
import { defineCommand } from '../command.js'

interface Input {
  readonly queries?: boolean
}

export const activity = defineCommand<Input, { readonly backends: readonly BackendActivity[] }>({
  name: 'activity',
  summary: 'Show what the server does for which tenant now',
  description: 'Connections as tenants’ roles, from every process; those that have worked longest come first.',
  options: [{ flags: '--queries', description: 'show statements, too: they may hold data of users' }],
  examples: [
    { command: 'db activity', says: 'Who works, and what it waits for' },
    { command: 'db activity --queries', says: 'With statements' },
  ],
  json: {
    backends: [
      {
        pid: 'number',
        databaseId: 'string',
        'tenantId?': 'string',
        'slug?': 'string',
        state: 'string | null',
        waitsFor: 'string | null',
        queryMs: 'number | null',
        transactionMs: 'number | null',
        connectedMs: 'number | null',
        'userId?': 'string',
        'query?': 'string | null',
      },
    ],
  },
  async run(context, { queries = false }) {
    const { tenancy } = await context.open()
    return { backends: await tenancy.activity({ withQueries: queries }) }
  },
  render({ backends }, page) {
    const hasQueries = backends.some(({ query }) => query !== undefined)
    page.table(
      [
        'PID',
        'TENANT',
        'STATE',
        'WAITS FOR',
        'STATEMENT',
        'TRANSACTION',
        'CONNECTED',
        ...(hasQueries ? ['QUERY'] : []),
      ],
      backends.map(({ pid, slug, state, waitsFor, queryMs, transactionMs, connectedMs, query }) => [
        ...[pid, slug, state, waitsFor, ageText(queryMs), ageText(transactionMs), ageText(connectedMs)],
        ...(hasQueries ? [query?.replaceAll(/\s+/g, ' ').slice(0, 200)] : []),
      ]),
    )
    if (backends.length === 0) page.hint('No connection is open for a tenant.')
  },
})

function ageText(ms: number | null): string | null {
  if (ms === null) return null
  return ms < 1000
    ? `${Math.round(ms)} ms`
    : ms < 120_000
      ? `${(ms / 1000).toFixed(1)} s`
      : `${Math.round(ms / 60_000)} min`
}
