import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import { databaseComment } from '../ownership.js'

/**
 * Settings of a connection that is not bound by a database's limit, for migrations: the settings that a connection starts
 * with override those of the database. For superusers only.
 */
export const withoutTempFileLimit = '-c temp_file_limit=-1'

/** SQL that limits the temporary files of each session in a database; only a superuser can lift that again. */
export function tempFileLimitSql(database: string, megabytes: number): string {
  const name = quoteIdentifier(database)
  return megabytes === 0
    ? `alter database ${name} reset temp_file_limit`
    : `alter database ${name} set temp_file_limit = '${megabytes}MB'`
}

/**
 * Sets the limit of an installation's tenant databases. One query finds those that differ.
 *
 * @returns how many databases differed
 */
export async function reconcileTempFileLimits(
  admin: SqlClient,
  { installationId, prefix, megabytes }: { installationId: string; prefix: string; megabytes: number },
): Promise<number> {
  const { rows } = await admin.query<{ name: string }>(
    `select datname as name from pg_database d left join pg_db_role_setting s on s.setdatabase = d.oid and s.setrole = 0
      where starts_with(datname, $1) and shobj_description(d.oid, 'pg_database') = $2 and datconnlimit <> -2
        and (select c from unnest(s.setconfig) as c where starts_with(c, 'temp_file_limit=')) is distinct from $3`,
    [prefix, databaseComment(installationId), megabytes === 0 ? null : `temp_file_limit=${megabytes}MB`],
  )
  for (const { name } of rows) {
    // A database that is dropped meanwhile needs no limit.
    await admin.query(tempFileLimitSql(name, megabytes)).catch(() => {})
  }
  return rows.length
}
