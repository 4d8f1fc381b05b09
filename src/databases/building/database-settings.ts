import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'

/** A setting of a database for all roles (`ALTER DATABASE … SET`), as `pg_db_role_setting` keeps it. */
export interface DatabaseSetting {
  readonly name: string
  readonly value: string
}

// These load code into every session, or change its role.
export const notCarriedSettings: ReadonlySet<string> = new Set([
  'session_preload_libraries',
  'local_preload_libraries',
  'role',
  'session_authorization',
])
// The value of these is a list of names that are quoted already: as one literal it would become one name.
const lists = new Set(['search_path', 'temp_tablespaces'])

/** Reads the settings that a database has for all roles. `refused`: names of the settings that are not copied. */
export async function readDatabaseSettings(
  admin: SqlClient,
  database: string,
): Promise<{ readonly settings: readonly DatabaseSetting[]; readonly refused: readonly string[] }> {
  const { rows } = await admin.query<{ entry: string }>(
    `select unnest(setconfig) as entry from pg_db_role_setting
      where setrole = 0 and setdatabase = (select oid from pg_database where datname = $1)`,
    [database],
  )
  const all = rows.map(({ entry }) => {
    const end = entry.indexOf('=')
    return { name: entry.slice(0, end), value: entry.slice(end + 1) }
  })
  return {
    settings: all.filter(({ name }) => !notCarriedSettings.has(name)),
    refused: all.filter(({ name }) => notCarriedSettings.has(name)).map(({ name }) => name),
  }
}

/** Statements that give a database these settings; each ends with a semicolon. `CREATE DATABASE` does not copy them. */
export function databaseSettingsSql(database: string, settings: readonly DatabaseSetting[]): string {
  const alter = `alter database ${quoteIdentifier(database)} set`
  return settings
    .map(({ name, value }) => {
      // A name with a dot, in two parts, is a setting of an extension or of the application.
      const identifier = name.split('.').map(quoteIdentifier).join('.')
      if (!lists.has(name)) return `${alter} ${identifier} to ${quoteLiteral(value)};`
      // `true`: until the end of this transaction. set_config does not parse the value, so it is not quoted again.
      return `select pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, true); ${alter} ${identifier} from current;`
    })
    .join('\n')
}
