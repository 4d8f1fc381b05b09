import type { Client } from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { AppliedFiles } from '../../core/tenants/tenant-databases.js'
import { asOutage } from '../../postgres/outages/outage.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { byteCounter, fillDatabase } from './fill-database.js'
import { columnList, quoteRelation, type Table } from './relations.js'
import type { NewDatabase } from './new-database.js'
import { type DatabaseSnapshot, takeSnapshot } from './snapshot.js'

/** One table that was copied. */
export interface CopiedTable {
  readonly schema: string
  readonly name: string
  readonly rows: number
  /** Bytes of its rows as text. */
  readonly bytes: number
}

/** What {@link copyDatabase} copied. */
export interface CopyReport {
  readonly tables: readonly CopiedTable[]
  readonly takenAt: Date
}

/** Options of {@link copyDatabase}. */
export interface CopyDatabaseOptions {
  /** The provisioning account, inside of the database that is read. */
  readonly source: ServerAccount
  /** The database whose data is replaced. Its schema has the version of the source. */
  readonly target: Pick<NewDatabase, 'withOwner'>
  /** Called after each table. */
  readonly onTable?: ((table: CopiedTable) => void) | undefined
  /** Checks the snapshot before anything is copied; may throw. */
  readonly onSnapshot?: ((snapshot: { readonly schema: AppliedFiles; readonly takenAt: Date }) => void) | undefined
  /** Ends the copy: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** SQL that writes the rows of a table to the client. Of an extension's table, those that are the user's. */
export function copyToStatement(table: Table): string {
  const columns = columnList(table)
  if (table.configuration === null || table.configuration === '')
    return `copy ${quoteRelation(table)}${columns} to stdout`
  return `copy (select ${columns.slice(2, -1)} from only ${quoteRelation(table)} ${table.configuration}) to stdout`
}

/**
 * Fills a database with the data of another one, from one moment of it, while others go on using the source. Memory does not
 * grow with the data. What is not copied: our own schema, large objects, foreign tables' rows, and what extensions hold beside their
 * configuration. The source's tables cannot be altered until the copy is done.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_COPY_REFUSED: a structure that differs, row-level security that
 *   the account does not bypass. TENANCY_DATABASE_COPY_FAILED, TENANCY_DATABASE_UNAVAILABLE. The target is unchanged then
 */
export async function copyDatabase(options: CopyDatabaseOptions): Promise<CopyReport> {
  const { source, target, onTable, onSnapshot, signal } = options
  signal?.throwIfAborted()
  let snapshot: DatabaseSnapshot | undefined
  try {
    snapshot = await takeSnapshot(source)
    onSnapshot?.(snapshot)
    return { tables: await copyTables(snapshot, target, onTable, signal), takenAt: snapshot.takenAt }
  } catch (error) {
    signal?.throwIfAborted()
    throw copyError(error, source.database)
  } finally {
    await snapshot?.close().catch(() => {})
  }
}

async function copyTables(
  { client: reader, relations, sequences }: DatabaseSnapshot,
  target: CopyDatabaseOptions['target'],
  onTable: CopyDatabaseOptions['onTable'],
  signal: AbortSignal | undefined,
): Promise<CopiedTable[]> {
  const copied: CopiedTable[] = []
  const fill = async (writer: Client) => {
    // Ends what is under way on both: their sockets close.
    const abort = () => {
      void reader.end().catch(() => {})
      void writer.end().catch(() => {})
    }
    signal?.throwIfAborted()
    signal?.addEventListener('abort', abort)
    try {
      await fillDatabase(writer, { relations, sequences }, async (loader) => {
        for (const table of relations.tables) {
          signal?.throwIfAborted()
          let bytes = 0
          const rows = reader.query(copyTo(copyToStatement(table)))
          const counted = byteCounter((count) => (bytes += count))
          rows.on('error', (error) => counted.destroy(error))
          const { schema, name } = table
          const done = { schema, name, rows: await loader.load(table, rows.pipe(counted), signal), bytes }
          if (done.rows !== rows.rowCount) {
            throw new Error(`${quoteRelation(table)} gave ${rows.rowCount} rows, ${done.rows} came`)
          }
          copied.push(done)
          onTable?.(done)
        }
      })
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }
  await target.withOwner(fill)
  return copied
}

/** The error of a copy, with its code. */
export function copyError(error: unknown, database: string): TenancyError {
  const known = findTenancyError(error) ?? asOutage(error)
  if (known) return known
  const reason = error instanceof Error ? error.message : String(error)
  // `row_security = off`: PostgreSQL refuses a statement that a policy would filter.
  const code = hasSqlState(error, sqlStates.insufficientPrivilege)
    ? 'TENANCY_DATABASE_COPY_REFUSED'
    : 'TENANCY_DATABASE_COPY_FAILED'
  return new TenancyError(code, `The data of ${database} could not be copied: ${reason}`, { cause: error })
}
