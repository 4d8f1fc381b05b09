import { countText } from '../core/text.js'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackendActivity, InstallationSummary, Tenancy } from '../index.js'
import { type AnyCommand, defineCommand } from './command.js'
import type { CommandContext } from './context.js'
import { createPage, type Page } from './output/page.js'
import { wholeNumber } from './values.js'

interface Input {
  readonly watch?: boolean
  readonly interval?: number
}

interface TenantConnections {
  readonly slug: string | null
  readonly databaseId: string
  readonly connections: number
  readonly active: number
  readonly idleInTransaction: number
  readonly waiting: number
  readonly longestQueryMs: number | null
}

interface Result extends InstallationSummary {
  readonly at: Date
  readonly schema: { readonly version: number; readonly behind: number }
  readonly connections: readonly TenantConnections[]
}

const showStats = defineCommand<Input, Result | undefined>({
  name: 'stats',
  summary: 'Show how much there is, and who is connected',
  description:
    'Users, tenants, databases and versions from the catalog, and the connections of all tenants from the server: the busiest 50. ' +
    'With --watch again and again, until Ctrl-C; with --json then one document a line.',
  options: [
    { flags: '--watch', description: 'again and again' },
    {
      flags: '--interval SECONDS',
      description: 'between two looks, 1 to 3600 (default: 2)',
      parse: wholeNumber(1, 3600),
    },
  ],
  examples: [
    { command: 'stats', says: 'Once' },
    { command: 'stats --watch', says: 'Until Ctrl-C' },
  ],
  json: {
    at: 'date',
    users: { enabled: 'number', disabled: 'number' },
    tenants: { active: 'number', suspended: 'number', deleted: 'number' },
    databases: { building: 'number', ready: 'number', assigned: 'number', retired: 'number', dropping: 'number' },
    schema: { version: 'number', behind: 'number' },
    connections: [
      {
        slug: 'string | null',
        databaseId: 'string',
        connections: 'number',
        active: 'number',
        idleInTransaction: 'number',
        waiting: 'number',
        longestQueryMs: 'number | null',
      },
    ],
  },
  async run(context, { watch = false, interval = 2 }) {
    const { tenancy } = await context.open()
    if (!watch) return read(tenancy)
    await watchStats(context, tenancy, interval)
    return undefined
  },
  render(result, page) {
    if (result !== undefined) renderStats(result, page)
  },
})

export const commands: readonly AnyCommand[] = [showStats]

/** Shows the numbers until somebody ends it, which is how it is meant to end. */
async function watchStats(context: CommandContext, tenancy: Tenancy, seconds: number) {
  const { signal, isJson, output } = context
  const print = (text: string) => context.print(text)
  while (!signal.aborted) {
    const result = await read(tenancy)
    if (isJson) await print(`${JSON.stringify(result)}\n`)
    else {
      const { page, text } = createPage(output)
      renderStats(result, page)
      // Home, and clear what is below: without a flicker.
      await print(output.isTerminal ? `\u001B[H\u001B[2J${text()}` : `${text()}\n`)
    }
    await sleep(seconds * 1000, undefined, { signal }).catch(() => {})
  }
}

const shownTenants = 50

async function read(tenancy: Tenancy): Promise<Result> {
  const [summary, { version, behind }, backends] = await Promise.all([
    tenancy.summary(),
    tenancy.fleet.status({ limit: 0 }),
    tenancy.activity(),
  ])
  const byDatabase = groupByDatabase(backends)
  const connections = [...byDatabase].map(([databaseId, ones]) => connectionsOf(databaseId, ones))
  const busiest = connections.toSorted((one, other) => other.active - one.active || other.connections - one.connections)
  return { at: new Date(), ...summary, schema: { version, behind }, connections: busiest.slice(0, shownTenants) }
}

function groupByDatabase(backends: readonly BackendActivity[]): Map<string, BackendActivity[]> {
  const groups = new Map<string, BackendActivity[]>()
  for (const backend of backends) groups.set(backend.databaseId, [...(groups.get(backend.databaseId) ?? []), backend])
  return groups
}

function connectionsOf(databaseId: string, backends: readonly BackendActivity[]): TenantConnections {
  const inState = (state: string) => backends.filter((backend) => backend.state === state).length
  const running = backends.flatMap(({ queryMs }) => queryMs ?? [])
  return {
    slug: backends[0]?.slug ?? null,
    databaseId,
    connections: backends.length,
    active: inState('active'),
    idleInTransaction: inState('idle in transaction'),
    waiting: backends.filter(({ waitsFor }) => waitsFor?.startsWith('Lock') === true).length,
    longestQueryMs: running.length === 0 ? null : Math.round(Math.max(...running)),
  }
}

function renderStats({ at, users, tenants, databases, schema, connections }: Result, page: Page): void {
  const { behind, version } = schema
  page.facts([
    ['At', at],
    ['Tenants', `${tenants.active} active, ${tenants.suspended} suspended, ${tenants.deleted} deleted`],
    ['Users', `${users.enabled} enabled, ${users.disabled} disabled`],
    [
      'Databases',
      `${databases.assigned} assigned, ${databases.ready} ready, ${databases.building} building, ${databases.retired} retired, ${databases.dropping} dropping`,
    ],
    [
      'Schema',
      { text: `version ${version}, ${countText(behind, 'tenant')} behind`, style: behind > 0 ? 'yellow' : 'green' },
    ],
    ['Connections', connections.reduce((sum, tenant) => sum + tenant.connections, 0)],
  ])
  if (connections.length === 0) return
  page.line()
  page.table(
    ['TENANT', 'CONNECTIONS', 'ACTIVE', 'IDLE IN TRANSACTION', 'WAITING', 'LONGEST'],
    connections.map((tenant) => [
      tenant.slug ?? 'no tenant',
      tenant.connections,
      tenant.active,
      tenant.idleInTransaction,
      tenant.waiting === 0 ? 0 : { text: tenant.waiting, style: 'red' },
      tenant.longestQueryMs === null ? '-' : `${tenant.longestQueryMs} ms`,
    ]),
  )
}
