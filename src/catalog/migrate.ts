import { findLockBlockers } from '../postgres/lock-blockers.js'
import type { SqlPool } from '../core/sql-client.js'
import { applySqlFiles, readSqlFolder } from '../postgres/sql-files.js'
import { shippedMigrations } from './shipped-migrations.js'

const codes = {
  invalid: 'TENANCY_CATALOG_MIGRATION_FAILED',
  failed: 'TENANCY_CATALOG_MIGRATION_FAILED',
  blocked: 'TENANCY_CATALOG_MIGRATION_FAILED',
  newer: 'TENANCY_CATALOG_NEWER',
} as const

/** How processes that start at once wait for each other. */
export interface MigrationLock {
  /** Key of the advisory lock. Default: a fixed one, for catalogs that no secret is bound to (tests). */
  readonly key?: string
  /** Longest wait for another process that migrates, milliseconds. Default: 60000. */
  readonly timeoutMs?: number
}

/**
 * Brings the catalog up to date: runs the numbered files of `catalog/migrations` that its ledger
 * (`schema_migrations`) lacks, each once and in one transaction. Safe when several processes start at once.
 *
 * @param from another folder of files. Default: the ones of this package
 * @param lock the lock that is held meanwhile
 * @returns the names of the files that were applied now
 * @throws {@link TenancyError} TENANCY_CATALOG_MIGRATION_FAILED naming the file, TENANCY_CATALOG_NEWER,
 *   TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function migrateCatalog(
  pool: SqlPool,
  from?: string | URL,
  { key = '7205001', timeoutMs = 60_000 }: MigrationLock = {},
): Promise<string[]> {
  const files = await (from === undefined ? shippedMigrations(codes) : readSqlFolder(from, codes))
  const lock = { key, timeoutMs, what: 'the migrations of the catalog' }
  const client = await pool.connect()
  try {
    const findBlockers = (pid: number) => findLockBlockers(pool, pid)
    const applied = await applySqlFiles(client, files, { schema: 'public', lock, codes, findBlockers })
    // Files reset the session, prepared statements included: whoever takes the connection next would not know.
    client.release(applied.length > 0)
    return applied
  } catch (error) {
    // The connection may still hold the lock or a broken transaction: it is not used again.
    client.release(true)
    throw error
  }
}
