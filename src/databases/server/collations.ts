import type { Logger } from '../../core/logger.js'
import type { SqlClient } from '../../core/sql-client.js'

// The operating system (or ICU) sorts text in another order than when the database was made: PostgreSQL refuses to copy such
// a database, and indexes on text in it may be out of order (PostgreSQL manual, ALTER DATABASE, REFRESH COLLATION VERSION).
const isOutdated = `datcollversion is not null and datcollversion is distinct from pg_database_collation_actual_version(oid)`

/** Whether a database was made under another version of its collation than the server has now. */
export async function isCollationOutdated(admin: SqlClient, database: string): Promise<boolean> {
  const { rowCount } = await admin.query(`select from pg_database where datname = $1 and ${isOutdated}`, [database])
  return rowCount !== 0
}

/**
 * Finds the databases of a prefix whose indexes on text may be out of order, and logs how to repair them.
 *
 * @returns their names, sorted
 */
export async function warnOfOutdatedCollations(admin: SqlClient, prefix: string, logger: Logger): Promise<string[]> {
  const { rows } = await admin.query<{ name: string; was: string; now: string | null }>(
    `select datname as name, datcollversion as was, pg_database_collation_actual_version(oid) as now
      from pg_database where starts_with(datname, $1) and not datistemplate and ${isOutdated} order by 1`,
    [prefix],
  )
  const [first] = rows
  if (first === undefined) return []
  const names = rows.map(({ name }) => name)
  logger.warn(
    { count: names.length, databases: names.slice(0, 50), collationVersion: { was: first.was, now: first.now } },
    'The operating system sorts text in another order than when these tenant databases were made: indexes on text may be ' +
      'wrong. In each of them, and in the catalog, run REINDEX DATABASE CONCURRENTLY and then ALTER DATABASE … REFRESH ' +
      'COLLATION VERSION (docs/tenants.md)',
  )
  return names
}
