import { TenancyError } from '../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../core/sql-client.js'
import { findLockBlockers } from '../postgres/lock-blockers.js'
import { type AppliedFile, applySqlFiles, readSqlFolder, type SqlFile } from '../postgres/files/sql-files.js'
import { shippedMigrations } from './shipped-migrations.js'

const codes = {
  invalid: 'TENANCY_CATALOG_MIGRATION_FAILED',
  failed: 'TENANCY_CATALOG_MIGRATION_FAILED',
  blocked: 'TENANCY_CATALOG_MIGRATION_FAILED',
} as const

/** Lock by which processes that start at once wait for each other. */
export interface MigrationLock {
  /** Key of the advisory lock. Default: a fixed key, for catalogs that are not bound to a secret (tests). */
  readonly key?: string
  /** Longest wait for another process that migrates, milliseconds. Default: 60000. */
  readonly timeoutMs?: number
}

/**
 * Brings the catalog up to date: runs the numbered files of `catalog/migrations` that its ledger
 * (`schema_migrations`) lacks, each once and in one transaction. Safe when several processes start at once. A catalog that
 * a newer version has migrated further is left unchanged, unless one of its files says that this version is too old for it.
 *
 * @param from another folder of files. Default: the files of this package
 * @param lock the lock that is held during the run
 * @returns the names of the files that this call applied
 * @throws {@link TenancyError} TENANCY_CATALOG_MIGRATION_FAILED naming the file, TENANCY_CATALOG_NEWER,
 *   TENANCY_CATALOG_OUTDATED, TENANCY_DATABASE_LOCK_TIMEOUT
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
    const applied = await applySqlFiles(client, files, {
      schema: 'public',
      lock,
      codes,
      findBlockers: (pid) => findLockBlockers(pool, pid),
      checkApplied: async (ledger) => {
        await refuseCatalogBeforeBaseline(client, ledger)
        refuseContractedCatalog(files, ledger)
      },
    })
    // Files reset the session, prepared statements included, and the next user of the connection would not notice.
    client.release(applied.length > 0)
    return applied
  } catch (error) {
    // The connection may still hold the lock or a broken transaction, so it is not used again.
    client.release(true)
    throw error
  }
}

/** The first file of catalogs that were made before `0001_baseline.sql` replaced the files of development. */
const firstFileBeforeBaseline = '0001_catalog.sql'

async function refuseCatalogBeforeBaseline(client: SqlClient, ledger: readonly AppliedFile[]): Promise<void> {
  if (!ledger.some(({ name }) => name === firstFileBeforeBaseline)) return
  const { rows } = await client.query<{ database: string }>('select pg_catalog.current_database() as database')
  throw new TenancyError(
    'TENANCY_CATALOG_OUTDATED',
    `The catalog in database "${rows[0]?.database}" was made by a version before the first release ` +
      `(${firstFileBeforeBaseline}), and nothing migrates it: name a new database in TENANT_CATALOG_DB or, ` +
      'without a server of your own, a new folder in TENANT_DATA_DIR',
  )
}

/** Matches `0007_drop_sessions_after_0005.sql`: versions that have file 0005 do not need the objects that it removes. */
const contractionPattern = /_after_(\d{4,14})\.sql$/
/** A name that speaks of a removal: with a misspelt ending it is a contraction of unknown age, and refused. */
const removalPattern = /after|drop|remov|contract/i

/** Files that only add are accepted: version N works on the catalog of N+1 (`migrations/README.md`). */
function refuseContractedCatalog(files: readonly SqlFile[], ledger: readonly AppliedFile[]): void {
  const lastFile = files.at(-1)
  for (const { version, name } of ledger) {
    if (lastFile === undefined || version <= lastFile.version) continue
    const [, after] = contractionPattern.exec(name) ?? []
    const oldest = after === undefined ? (removalPattern.test(name) ? version : 0) : Number(after)
    if (oldest <= lastFile.version) continue
    throw new TenancyError(
      'TENANCY_CATALOG_NEWER',
      `A newer version of tenants2fast has applied ${name} to the catalog, and the last file of this one is ` +
        `${lastFile.name}: run a version that has ${String(oldest).padStart(4, '0')}`,
    )
  }
}
