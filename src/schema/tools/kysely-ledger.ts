import type { Migration, MigrationFolder } from '../../core/tenants/migration.js'
import { quoteLiteral } from '../../postgres/text/quote.js'
import type { ToolLedger } from '../../postgres/files/tool-ledger.js'
import {
  createToolTable,
  describeTable,
  ifExists,
  keepTableFrom,
  quoteTable,
  readToolRows,
  toolTable,
} from './tool-table.js'

const columns = 'name pg_catalog.varchar(255) not null primary key, "timestamp" pg_catalog.varchar(255) not null'
const lockColumns = 'id pg_catalog.varchar(255) not null primary key, is_locked integer not null default 0'

/** As JavaScript writes dates: Kysely orders its rows by this text. */
const timestamp = `pg_catalog.to_char(pg_catalog.clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** The list of Kysely's `Migrator`, `kysely_migration`: names only. */
export function kyselyLedger(
  migrations: readonly Migration[],
  given: NonNullable<MigrationFolder['toolTable']>,
): ToolLedger {
  const target = toolTable(given, { schema: 'public', table: 'kysely_migration' })
  const lock = { ...target, table: `${target.table}_lock` }
  const indexes = new Map(migrations.map(({ name }, index) => [name, index]))
  return {
    table: describeTable(target),
    async read(client) {
      const order = '"timestamp" collate "C", name collate "C"'
      const rows = await readToolRows<{ name: string }>(client, target, ['name', 'timestamp'], order)
      return rows?.map(({ name }) => ({ name, index: indexes.get(name) }))
    },
    add: (added, members) => `${createToolTable(target, columns, members)};
      ${createToolTable(lock, lockColumns, members)};
      insert into ${quoteTable(lock)} (id, is_locked) values ('migration_lock', 0) on conflict do nothing;
      insert into ${quoteTable(target)} (name, "timestamp")
      values ${added.map(({ name }) => `(${quoteLiteral(name)}, ${timestamp})`).join(', ')}`,
    keepFrom: (members) => `${keepTableFrom(target, members)}; ${keepTableFrom(lock, members)}`,
    remove: (removed) => {
      const names = removed.map(({ name }) => quoteLiteral(name)).join(', ')
      return ifExists(target, `delete from ${quoteTable(target)} where name in (${names})`)
    },
  }
}
