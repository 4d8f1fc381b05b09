import { TenancyError } from '../../core/errors/errors.js'
import type { Counted, SharedCounts, VolatileCounts } from '../../core/shared-counts.js'
import { queryRepeated, type SqlPool } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'

interface CountRow {
  readonly consumed: number
  readonly ms_left: string | number
}

// Not flushed: what a crash of the server takes is the counting of the last moment (three times wal_writer_delay).
const countQuery = `
  select counted.consumed, counted.ms_left
  from set_config('synchronous_commit', 'off', true) cross join count_requests($1, $2, $3) as counted`

/** Counts in the catalog, by its clock, in one statement: a transaction of its own. */
export function createCatalogCounts(catalog: SqlPool): SharedCounts {
  return {
    async count(counted) {
      const asked = queryRepeated<CountRow>(catalog, countQuery, [
        counted.map(({ key }) => key),
        counted.map(({ points }) => points),
        counted.map(({ windowSeconds }) => windowSeconds),
      ])
      const { rows } = await catalogAnswer(asked, 'limits')
      return rows.map((row) => ({ consumed: row.consumed, msLeft: Number(row.ms_left) }))
    },
  }
}

/**
 * Counts where it is fastest, and in the catalog while that is away. What was counted in the one does not count in the other: around an
 * outage, the most of a window is twice the points, never more.
 *
 * @param volatile undefined: all is counted in the catalog
 */
export function createFastCounts(volatile: VolatileCounts | undefined, catalog: SharedCounts): SharedCounts {
  if (volatile === undefined) return catalog
  return {
    count: async (counted: readonly Counted[]) => (await volatile.count(counted)) ?? (await catalog.count(counted)),
  }
}

/** The refusal of whoever has to wait. */
export function tooMany(msLeft: number): TenancyError {
  const seconds = Math.max(1, Math.ceil(msLeft / 1000))
  return new TenancyError('TENANCY_REQUEST_TOO_MANY', `Too many requests: wait ${seconds} s`, {
    retryAfterSeconds: seconds,
  })
}
