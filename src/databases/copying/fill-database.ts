import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Client } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { TenancyError } from '../../core/errors/errors.js'
import { columnList, compareRelations, quoteRelation, readRelations, type Relations, type Table } from './relations.js'
import { copySettingsSql, type SequenceValue } from './snapshot.js'
import { suspendRules } from './suspend-rules.js'

/** Takes the rows of tables, one table at a time. */
export interface TableLoader {
  /**
   * Loads the rows of a table: lines of COPY's text format, in UTF-8, with the columns of {@link columnList}.
   * @returns how many rows
   */
  readonly load: (table: Table, rows: Readable, signal?: AbortSignal) => Promise<number>
}

/** The data of a database, as a copy or an archive has it. */
export interface DatabaseContent {
  readonly relations: Relations
  readonly sequences: readonly SequenceValue[]
}

/**
 * Replaces the data of a database by that of another one: one transaction, in which the user's triggers are off and foreign
 * keys and indexes are gone, so that the order of the tables does not matter, cycles are possible, and an index is built once
 * over all rows. They come back before the commit, all of them checked. Takes no superuser, but the owner of the tables. Nobody
 * else uses the database meanwhile.
 *
 * Code of the application runs on this connection where PostgreSQL needs it for a row: check constraints, domains, index
 * expressions, generated columns, and then materialized views. It is that of the structure which is there already; no code
 * comes with the data.
 *
 * @param client a connection of the owner of the tables, as `OwnerConnections` opens it; close it after an error
 * @param options `leaveOutUnknown`: what the database has not is left out, and its rows are read and dropped; given: a refusal
 *   names the option
 * @throws {@link TenancyError} TENANCY_DATABASE_COPY_REFUSED: the structures differ
 */
export async function fillDatabase(
  client: Client,
  content: DatabaseContent,
  loadAll: (loader: TableLoader) => Promise<void>,
  options?: { readonly leaveOutUnknown: boolean },
): Promise<{ readonly hasTable: (table: Pick<Table, 'schema' | 'name'>) => boolean }> {
  await client.query(copySettingsSql)
  const relations = await readRelations(client)
  refuseDifferences(content.relations, relations, options)
  const tables = new Map(relations.tables.map((table) => [quoteRelation(table), table]))
  await client.query('begin')
  const restore = await suspendRules(client, relations)
  const ownRows = relations.tables.filter(({ configuration }) => configuration === null)
  if (ownRows.length > 0) await client.query(`truncate only ${ownRows.map(quoteRelation).join(', only ')}`)
  // Functions of the application may use bare names. Nothing in this database was made by a tenant.
  await client.query('reset search_path')
  await loadAll({
    async load(given, rows, signal) {
      const table = tables.get(quoteRelation(given))
      if (table === undefined && options?.leaveOutUnknown === true) return countRows(rows)
      if (table === undefined) throw new Error(`there is no table ${quoteRelation(given)}`)
      return loadTable(client, table, rows, signal)
    },
  })
  for (const statement of restore) await client.query(statement)
  const populated = new Set(
    content.relations.materializedViews.filter(({ isPopulated }) => isPopulated).map(quoteRelation),
  )
  for (const view of relations.materializedViews) {
    const isWanted = populated.has(quoteRelation(view))
    await client.query(`refresh materialized view ${quoteRelation(view)}${isWanted ? '' : ' with no data'}`)
  }
  // Last: no rollback takes a sequence back.
  const sequences = new Set(relations.sequences.map(quoteRelation))
  for (const { schema, name, lastValue, isCalled } of content.sequences) {
    if (!sequences.has(quoteRelation({ schema, name }))) continue
    await client.query('select pg_catalog.setval($1::pg_catalog.text::pg_catalog.regclass, $2::pg_catalog.int8, $3)', [
      quoteRelation({ schema, name }),
      lastValue,
      isCalled,
    ])
  }
  await client.query('commit')
  await client.query('analyze')
  await client.query('set search_path = pg_catalog')
  return { hasTable: (table) => tables.has(quoteRelation(table)) }
}

function refuseDifferences(
  source: Relations,
  target: Relations,
  options: { readonly leaveOutUnknown: boolean } | undefined,
): void {
  const withoutUnknown = () => compareRelations(knownOf(source, target), target)
  const problems = options?.leaveOutUnknown === true ? withoutUnknown() : compareRelations(source, target)
  const isEnough = options?.leaveOutUnknown === false && withoutUnknown().length === 0
  if (problems.length === 0) return
  const shown = problems.slice(0, 10)
  const more = problems.length - shown.length
  throw new TenancyError(
    'TENANCY_DATABASE_COPY_REFUSED',
    `The data does not fit the schema files: ${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}${isEnough ? leaveOutText : ''}`,
    { details: { problems: shown } },
  )
}

const leaveOutText =
  '. To restore it without them, pass leaveOutUnknown: true (--leave-out-unknown); their rows stay in the archive alone'

/** What the target has as well. */
function knownOf(source: Relations, target: Relations): Relations {
  return {
    ...source,
    tables: namedIn(source.tables, target.tables),
    sequences: namedIn(source.sequences, target.sequences),
    materializedViews: namedIn(source.materializedViews, target.materializedViews),
  }
}

type Named = Pick<Table, 'schema' | 'name'>

function namedIn<Relation extends Named>(found: readonly Relation[], wanted: readonly Named[]): Relation[] {
  const names = new Set(wanted.map(quoteRelation))
  return found.filter((relation) => names.has(quoteRelation(relation)))
}

/** Counts rows of COPY's text format, in which a line break within a value is escaped. */
async function countRows(rows: Readable): Promise<number> {
  let count = 0
  for await (const chunk of rows) for (const byte of chunk as Buffer) if (byte === 10) count += 1
  return count
}

async function loadTable(
  client: Client,
  table: Table,
  rows: Readable,
  signal: AbortSignal | undefined,
): Promise<number> {
  const name = quoteRelation(table)
  if (table.configuration !== null) {
    if (!(await mayReplaceRows(client, name))) return refuseRows(name, rows)
    await client.query(`delete from ${name} ${table.configuration}`)
  }
  // A table that was truncated in this transaction needs no vacuum to freeze its rows.
  const options = table.configuration === null ? ' with (freeze)' : ''
  const sink = client.query(copyFrom(`copy ${name}${columnList(table)} from stdin${options}`))
  await pipeline(rows, sink, signal === undefined ? {} : { signal })
  return sink.rowCount ?? 0
}

/** An extension belongs to the account that created it: its tables are not the owner's unless something was granted. */
async function mayReplaceRows(client: Client, name: string): Promise<boolean> {
  const { rows } = await client.query<{ may: boolean }>(
    `select pg_catalog.has_table_privilege($1, 'insert') and pg_catalog.has_table_privilege($1, 'delete') as may`,
    [name],
  )
  return rows[0]?.may === true
}

async function refuseRows(name: string, rows: Readable): Promise<number> {
  for await (const chunk of rows) {
    if ((chunk as Buffer).length === 0) continue
    throw new TenancyError(
      'TENANCY_DATABASE_COPY_REFUSED',
      `The rows of ${name}, a table of an extension, cannot be copied: let the owner insert and delete there`,
    )
  }
  return 0
}

/** A stream that counts what goes through it. */
export function byteCounter(onBytes: (count: number) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onBytes(chunk.length)
      done(null, chunk)
    },
  })
}
