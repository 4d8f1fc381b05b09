import type { Migration } from '../core/tenants/migration.js'
import { statementsOf } from '../postgres/text/sql-statements.js'

/** Those of SQL that have no statement: empty, or comments alone. */
export function blankMigrations(migrations: readonly Migration[]): Migration[] {
  return migrations.filter(({ up }) => typeof up === 'string' && statementsOf(up).length === 0)
}
