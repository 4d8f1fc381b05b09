import type { ChangeLog, ChangesSeen } from '../core/change-log.js'
import { TenancyError } from '../core/errors/errors.js'
import type { SqlPool } from '../core/sql-client.js'
import { catalogAnswer } from '../postgres/outages/catalog-outage.js'

// One statement, so one snapshot: the statement returns exactly the rows that its own snapshot shows. Rows that the last
// snapshot does not show were committed by transactions that were still open at the last read, or that began later.
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
      const { rows } = await catalogAnswer(pool.query<ChangesSeen>(changesQuery, [snapshot ?? null]), 'changes')
      const [seen] = rows
      if (seen === undefined) throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The log of changes cannot be read')
      return seen
    },
  }
}
