import type { Client } from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import { copyToStatement } from '../copying/copy-database.js'
import { fillDatabase } from '../copying/fill-database.js'
import { isApplicationSchema, quoteRelation, type Table } from '../copying/relations.js'
import type { DatabaseSnapshot } from '../copying/snapshot.js'
import type { NewDatabase } from '../copying/new-database.js'

/** A table that is not larger is copied whole: others refer to it. */
const wholeBelowBytes = 1_000_000

/**
 * Fills a copy with a part of a database: small tables whole, of each other one the rows of so many of its pages. Rows that
 * refer to a row which did not come along are left out. The copy is analysed.
 *
 * @param share of the pages, above 0 and below 1
 */
export async function sampleDatabase(
  snapshot: DatabaseSnapshot,
  target: Pick<NewDatabase, 'withOwner'>,
  share: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { client: reader, relations, sequences } = snapshot
  const sizes = await readTableSizes(reader)
  const fill = async (writer: Client) => {
    const abort = () => {
      void reader.end().catch(() => {})
      void writer.end().catch(() => {})
    }
    signal?.throwIfAborted()
    signal?.addEventListener('abort', abort)
    try {
      const removals = await readOrphanRemovals(writer)
      await fillDatabase(writer, { relations, sequences }, async (loader) => {
        for (const table of relations.tables) {
          signal?.throwIfAborted()
          const isWhole = table.configuration !== null || (sizes.get(quoteRelation(table)) ?? 0) <= wholeBelowBytes
          const statement = isWhole ? copyToStatement(table) : sampleStatement(table, share)
          await loader.load(table, reader.query(copyTo(statement)), signal)
        }
        await removeOrphans(writer, removals)
      })
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }
  await target.withOwner(fill)
}

function sampleStatement(table: Table, share: number): string {
  const columns = table.columns.filter(({ isGenerated }) => !isGenerated).map(({ name }) => quoteIdentifier(name))
  const percent = Math.min(100, Math.max(share * 100, 0.0001)).toFixed(4)
  const from = `only ${quoteRelation(table)} tablesample pg_catalog.system (${percent}) repeatable (1)`
  return `copy (select ${columns.join(', ')} from ${from}) to stdout`
}

async function readTableSizes(client: Client): Promise<Map<string, number>> {
  const { rows } = await client.query<{ name: string; bytes: string }>(
    `select pg_catalog.format('%I.%I', n.nspname, c.relname) as name, pg_catalog.pg_table_size(c.oid)::pg_catalog.text as bytes
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and ${isApplicationSchema('n.nspname')}`,
  )
  return new Map(rows.map(({ name, bytes }) => [name, Number(bytes)]))
}

/** Statements that remove rows without the row that they refer to; foreign keys are not there while a copy is filled. */
async function readOrphanRemovals(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ table: string; parent: string; columns: string[]; keys: string[] }>(
    `select pg_catalog.format('%I.%I', cn.nspname, cc.relname) as "table",
       pg_catalog.format('%I.%I', pn.nspname, pc.relname) as parent,
       (select pg_catalog.array_agg(a.attname::pg_catalog.text order by k.position)
        from pg_catalog.unnest(f.conkey) with ordinality as k (number, position)
          join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.number) as columns,
       (select pg_catalog.array_agg(a.attname::pg_catalog.text order by k.position)
        from pg_catalog.unnest(f.confkey) with ordinality as k (number, position)
          join pg_catalog.pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.number) as keys
     from pg_catalog.pg_constraint f
       join pg_catalog.pg_class cc on cc.oid = f.conrelid join pg_catalog.pg_namespace cn on cn.oid = cc.relnamespace
       join pg_catalog.pg_class pc on pc.oid = f.confrelid join pg_catalog.pg_namespace pn on pn.oid = pc.relnamespace
     where f.contype = 'f' and f.conparentid = 0 and ${isApplicationSchema('cn.nspname')}`,
  )
  return rows.map(({ table, parent, columns, keys }) => {
    const child = columns.map((column) => `child.${quoteIdentifier(column)}`)
    const equal = child.map((column, index) => `parent.${quoteIdentifier(keys[index] ?? '')} = ${column}`)
    return `delete from ${table} as child where ${child.map((column) => `${column} is not null`).join(' and ')}
      and not exists (select from ${parent} as parent where ${equal.join(' and ')})`
  })
}

/** Until nothing is left to remove: a row that goes may be one that others refer to. */
async function removeOrphans(client: Client, removals: readonly string[]): Promise<void> {
  for (let isDone = false; !isDone;) {
    isDone = true
    for (const removal of removals) {
      const { rowCount } = await client.query(removal)
      if ((rowCount ?? 0) > 0) isDone = false
    }
  }
}
