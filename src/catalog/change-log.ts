import type { ChangeLog, ChangesSeen } from '../core/change-log.js'
import { TenancyError } from '../core/errors/errors.js'
import type { SqlPool } from '../core/sql-client.js'

// One statement, so one snapshot: what it sees of the table is exactly what it says it has seen. Transactions that were
// still open at the last look, or began later, are those that the last snapshot does not show.
const changesQuery = `
  select
    pg_current_snapshot()::text as snapshot,
    array(
      select change from access_changes
      where transaction_id >= pg_snapshot_xmin($1::pg_snapshot)
        and not pg_visible_in_snapshot(transaction_id, $1::pg_snapshot)
      order by id
    ) as changes`

/** Reads the table `access_changes`, which the triggers of the catalog fill. */
export function createChangeLog(pool: SqlPool): ChangeLog {
  return {
    async readChanges(snapshot) {
      try {
        const { rows } = await pool.query<ChangesSeen>(changesQuery, [snapshot ?? null])
        const [seen] = rows
        if (seen === undefined) throw new Error('no row')
        return seen
      } catch (error) {
        throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The changes in the catalog could not be read', {
          cause: error,
        })
      }
    },
  }
}
