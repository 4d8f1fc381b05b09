import type { MigrationFolder } from '../../core/tenants/migration.js'
import { quoteLiteral } from '../../postgres/text/quote.js'
import type { ToolEntry, ToolLedger } from '../../postgres/files/tool-ledger.js'
import type { SqlMigration } from '../folders/sql-migrations.js'
import {
  createToolTable,
  describeTable,
  ifExists,
  keepTableFrom,
  quoteTable,
  readToolRows,
  toolTable,
} from './tool-table.js'

interface PrismaRow {
  readonly migration_name: string
  readonly checksum: string
  readonly finished_at: string | null
  readonly rolled_back_at: string | null
}

const columns = `id pg_catalog.varchar(36) primary key not null, checksum pg_catalog.varchar(64) not null,
  finished_at pg_catalog.timestamptz, migration_name pg_catalog.varchar(255) not null, logs pg_catalog.text,
  rolled_back_at pg_catalog.timestamptz, started_at pg_catalog.timestamptz not null default pg_catalog.now(),
  applied_steps_count integer not null default 0`

const folderOf = (name: string) => name.replace(/\/migration\.sql$/, '')

/** The list of Prisma, `_prisma_migrations`: one row for each time that a migration was begun. */
export function prismaLedger(
  migrations: readonly SqlMigration[],
  given: NonNullable<MigrationFolder['toolTable']>,
): ToolLedger {
  const target = toolTable(given, { schema: 'public', table: '_prisma_migrations' })
  const table = describeTable(target)
  const byName = new Map(migrations.map((migration, index) => [folderOf(migration.name), { ...migration, index }]))

  const entryOf = (row: PrismaRow): ToolEntry => {
    const name = row.migration_name
    const migration = byName.get(name)
    if (row.finished_at === null) {
      const problem = `${name} was begun by Prisma and did not end: repair the database, then say so with "prisma migrate resolve"`
      return { name, index: migration?.index, problem }
    }
    if (migration === undefined || migration.hashes.has(row.checksum)) return { name, index: migration?.index }
    return {
      name,
      index: migration.index,
      problem: `${name} has another checksum in ${table}: it was edited after Prisma applied it`,
    }
  }

  return {
    table,
    async read(client) {
      const rows = await readToolRows<PrismaRow>(
        client,
        target,
        ['migration_name', 'checksum', 'finished_at', 'rolled_back_at'],
        'started_at, migration_name',
      )
      // What was rolled back counts as never begun; Prisma begins it again.
      return rows?.filter((row) => row.rolled_back_at === null).map(entryOf)
    },
    add: (added, members) => {
      const rows = added.map(({ name }, index) => {
        const folder = folderOf(name)
        // Prisma orders them by the time of their start.
        const moment = `pg_catalog.clock_timestamp() + interval '1 microsecond' * ${index}`
        return `(pg_catalog.gen_random_uuid()::pg_catalog.text, ${quoteLiteral(byName.get(folder)?.hash ?? '')}, ${moment}, ${quoteLiteral(folder)}, ${moment}, 1)`
      })
      return `${createToolTable(target, columns, members)};
        insert into ${quoteTable(target)} (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
        values ${rows.join(', ')}`
    },
    keepFrom: (members) => keepTableFrom(target, members),
    accept({ name }) {
      const folder = folderOf(name)
      const hash = quoteLiteral(byName.get(folder)?.hash ?? '')
      const row = `migration_name = ${quoteLiteral(folder)} and rolled_back_at is null`
      return ifExists(target, `update ${quoteTable(target)} set checksum = ${hash} where ${row}`)
    },
    remove: (removed) => {
      const names = removed.map(({ name }) => quoteLiteral(folderOf(name))).join(', ')
      return ifExists(target, `delete from ${quoteTable(target)} where migration_name in (${names})`)
    },
  }
}
