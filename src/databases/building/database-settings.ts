import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/quote.js'

/** A setting of a database for all roles (`ALTER DATABASE … SET`), as `pg_db_role_setting` keeps it. */
export interface DatabaseSetting {
  readonly name: string
  readonly value: string
}

// They load code into every session, or make it somebody else's.
const notCarried = new Set(['session_preload_libraries', 'local_preload_libraries', 'role', 'session_authorization'])
// Their value is a list of names, quoted already: as one literal it would become one name.
const lists = new Set(['search_path', 'temp_tablespaces'])

/** Reads the settings that a database has for all roles. `refused` are names of those that no other database gets. */
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
    settings: all.filter(({ name }) => !notCarried.has(name)),
    refused: all.filter(({ name }) => notCarried.has(name)).map(({ name }) => name),
  }
}

/** Statements that give a database these settings; each ends with a semicolon. `CREATE DATABASE` does not copy them. */
export function databaseSettingsSql(database: string, settings: readonly DatabaseSetting[]): string {
  const alter = `alter database ${quoteIdentifier(database)} set`
  return settings
    .map(({ name, value }) => {
      // One with a dot is an extension's or the application's own, in two parts.
      const identifier = name.split('.').map(quoteIdentifier).join('.')
      if (!lists.has(name)) return `${alter} ${identifier} to ${quoteLiteral(value)};`
      // Until the end of this transaction only. What is set here is not parsed, and so not quoted again.
      return `select pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, true); ${alter} ${identifier} from current;`
    })
    .join('\n')
}
