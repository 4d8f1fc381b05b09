import type { ListedDatabase } from '../../catalog/tenants/database-list.js'
import { isUuid } from '../../core/uuid.js'
import type { TenantDatabaseState } from '../../core/model.js'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import type { StyledCell } from '../output/page.js'
import type { Style } from '../output/terminal.js'
import { oneOf, wholeNumber } from '../values.js'
import { withCatalog } from './open-catalog.js'

interface Input {
  readonly state?: TenantDatabaseState
  readonly after?: string
  readonly limit?: number
}

interface DatabaseRow extends ListedDatabase {
  /** Null: it is not on the server, or its size may not be read. */
  readonly bytes: number | null
}

interface Result {
  readonly databases: readonly DatabaseRow[]
  readonly next: string | null
}

export const list = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List tenant databases with state, size, tenant and schema version',
  options: [
    {
      flags: '--state STATE',
      description: 'building, ready, assigned, retired or dropping (default: any)',
      parse: oneOf('building', 'ready', 'assigned', 'retired', 'dropping'),
    },
    { flags: '--limit N', description: 'how many, 1 to 1000 (default: 100)', parse: wholeNumber(1, 1000) },
    { flags: '--after ID', description: 'the next page: `next` of the page before', parse: databaseId },
  ],
  examples: [
    { command: 'db list', says: 'The first 100 databases' },
    { command: 'db list --state retired', says: 'Databases of deleted tenants, and when they are dropped' },
  ],
  json: {
    databases: [
      {
        id: 'string',
        name: 'string',
        state: "'building' | 'ready' | 'assigned' | 'retired' | 'dropping'",
        tenantId: 'string | null',
        slug: 'string | null',
        schemaVersion: 'number | null',
        createdAt: 'date',
        retiredAt: 'date | null',
        dropAfter: 'date | null',
        bytes: 'number | null',
      },
    ],
    next: 'string | null',
  },
  run: (context, { state, after, limit = 100 }) =>
    withCatalog(context, async ({ catalog, account }) => {
      const { listDatabases } = await import('../../catalog/tenants/database-list.js')
      const { withConnection } = await import('../../databases/server/admin-connection.js')
      const listed = await listDatabases(catalog, { state, after, limit })
      const sizes = await withConnection(account, async (client) => {
        const { rows } = await client.query<{ name: string; bytes: number | null }>(sizesQuery, [
          listed.map(({ name }) => name),
        ])
        return new Map(rows.map(({ name, bytes }) => [name, bytes]))
      })
      const databases = listed.map((database) => ({ ...database, bytes: sizes.get(database.name) ?? null }))
      return { databases, next: listed.length === limit ? (listed.at(-1)?.id ?? null) : null }
    }),
  render({ databases, next }, page) {
    page.table(
      ['DATABASE', 'STATE', 'TENANT', 'SCHEMA', 'SIZE', 'CREATED', 'DROPPED AFTER'],
      databases.map((row) => [
        row.name,
        stateCell(row.state),
        row.slug,
        row.schemaVersion === -1 ? 'empty' : row.schemaVersion,
        row.bytes === null ? null : sizeText(row.bytes),
        row.createdAt,
        row.dropAfter,
      ]),
    )
    if (databases.length === 0) page.hint('There are none.')
    if (next !== null) page.hint(`There may be more: --after ${next}`)
  },
})

// pg_database_size fails for a database that may not be connected to; a half-dropped one has no size.
const sizesQuery = `
  select datname as name,
    case when datconnlimit <> -2 and (has_database_privilege(oid, 'connect') or pg_has_role('pg_read_all_stats', 'usage'))
      then pg_database_size(oid)::float8 end as bytes
  from pg_database where datname = any($1)`

function databaseId(text: string): string {
  if (isUuid(text)) return text.toLowerCase()
  throw new CliError('CLI_USAGE', 'must be the id of a database')
}

const stateStyles: Readonly<Record<TenantDatabaseState, Style>> = {
  building: 'cyan',
  ready: 'dim',
  assigned: 'green',
  retired: 'yellow',
  dropping: 'red',
}

function stateCell(state: TenantDatabaseState): StyledCell {
  return { text: state, style: stateStyles[state] }
}

/** Bytes as people write them, in units of 1024. */
export function sizeText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}
