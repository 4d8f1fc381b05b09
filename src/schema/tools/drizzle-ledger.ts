import type { Migration, MigrationFolder } from '../../core/tenants/migration.js'
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

/** A migration as drizzle knows it. */
export interface DrizzleMigration {
  readonly migration: SqlMigration
  /** Its `created_at`: milliseconds. */
  readonly when: number
  /** Its `name`, since 1.0. */
  readonly tag: string
}

interface DrizzleRow {
  readonly hash: string
  readonly created_at: string | null
  readonly name: string | null
}

const idColumns = 'id serial primary key, hash pg_catalog.text not null, created_at bigint'
const nameColumn = 'name pg_catalog.text'
const dateColumn = 'applied_at pg_catalog.timestamptz default pg_catalog.now()'
const secondsOf = (milliseconds: number) => Math.floor(milliseconds / 1000)

/**
 * The list of drizzle-orm, `drizzle.__drizzle_migrations`. Up to 0.45 its rows are known by the time of the journal. Since 1.0
 * they have names; rows from before have milliseconds where folders have seconds.
 */
export function drizzleLedger(
  migrations: readonly DrizzleMigration[],
  given: NonNullable<MigrationFolder['toolTable']>,
  layout: 'journal' | 'folders',
): ToolLedger {
  const target = toolTable(given, { schema: 'drizzle', table: '__drizzle_migrations' })
  const table = describeTable(target)
  const name = quoteTable(target)
  const byName = new Map(migrations.map((known) => [known.migration.name, known]))

  const candidates = ({ name: tag, created_at: createdAt }: DrizzleRow) => {
    if (layout === 'journal') return migrations.filter(({ when }) => createdAt === String(when))
    if (tag !== null) return migrations.filter((known) => known.tag === tag)
    return migrations.filter(({ when }) => secondsOf(Number(createdAt)) === secondsOf(when))
  }
  const entryOf = (row: DrizzleRow): ToolEntry => {
    const found = candidates(row)
    const same = found.find(({ migration }) => migration.hashes.has(row.hash))
    const known = same ?? found[0]
    if (known === undefined) {
      return {
        name: row.name ?? `a migration of ${row.created_at}, sha256 ${row.hash.slice(0, 12)}…`,
        index: undefined,
      }
    }
    const entry = { name: known.tag, index: migrations.indexOf(known) }
    if (same) return entry
    return { ...entry, problem: `${known.tag} has another hash in ${table}: it was edited after drizzle applied it` }
  }

  const columns = layout === 'journal' ? idColumns : `${idColumns}, ${nameColumn}, ${dateColumn}`
  /** As drizzle-orm 1.0 changes a table of an earlier version. */
  const upgrade = () => {
    const known = migrations.map(({ when, tag }) => `(${secondsOf(when)}, ${quoteLiteral(tag)})`)
    return `alter table ${name} add column if not exists ${nameColumn}, add column if not exists ${dateColumn};
      update ${name} as t set name = known.name, applied_at = null from (values ${known.join(', ')}) as known (second, name)
       where t.name is null and t.created_at / 1000 = known.second;`
  }

  const rowOf = (migration: Migration) => {
    const known = byName.get(migration.name)
    return layout === 'folders' ? `name = ${quoteLiteral(known?.tag ?? '')}` : `created_at = ${known?.when ?? 0}`
  }

  return {
    table,
    async read(client) {
      const rows = await readToolRows<DrizzleRow>(client, target, ['hash', 'created_at'], 'id', ['name'])
      return rows?.map(entryOf)
    },
    add: (added, members) => {
      const rows = added.map((migration) => {
        const known = byName.get(migration.name)
        const values = `${quoteLiteral(known?.migration.hash ?? '')}, ${known?.when ?? 0}`
        return layout === 'journal' ? `(${values})` : `(${values}, ${quoteLiteral(known?.tag ?? '')})`
      })
      return `${createToolTable(target, columns, members)}; ${layout === 'folders' ? upgrade() : ''}
        insert into ${name} (hash, created_at${layout === 'folders' ? ', name' : ''}) values ${rows.join(', ')}`
    },
    keepFrom: (members) => keepTableFrom(target, members),
    accept: (migration) => {
      const hash = quoteLiteral(byName.get(migration.name)?.migration.hash ?? '')
      return ifExists(target, `update ${name} set hash = ${hash} where ${rowOf(migration)}`)
    },
    remove: (removed) => ifExists(target, `delete from ${name} where ${removed.map(rowOf).join(' or ')}`),
  }
}
