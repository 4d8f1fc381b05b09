import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/catalog-outage.js'

/** Something that is limited: so many points in a window. */
export interface Counted {
  readonly key: string
  readonly points: number
  readonly windowSeconds: number
}

/** What was counted under one key. */
export interface Count {
  /** More than its points: refused. */
  readonly consumed: number
  /** Until the window ends. */
  readonly msLeft: number
}

/** Counts that all processes share. */
export interface SharedCounts {
  /**
   * Counts once under each key, in this order, until one is beyond its points.
   *
   * @returns what was counted; the last one may be the refused one
   * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
   */
  count(counted: readonly Counted[]): Promise<readonly Count[]>
}

interface CountRow {
  readonly consumed: number
  readonly ms_left: string | number
}

/** Counts in the catalog, by its clock, in one statement. */
export function createCatalogCounts(catalog: SqlClient): SharedCounts {
  return {
    async count(counted) {
      const asked = catalog.query<CountRow>('select consumed, ms_left from count_requests($1, $2, $3)', [
        counted.map(({ key }) => key),
        counted.map(({ points }) => points),
        counted.map(({ windowSeconds }) => windowSeconds),
      ])
      const { rows } = await catalogAnswer(asked, 'limits')
      return rows.map((row) => ({ consumed: row.consumed, msLeft: Number(row.ms_left) }))
    },
  }
}

/** The refusal of whoever has to wait. */
export function tooMany(msLeft: number): TenancyError {
  const seconds = Math.max(1, Math.ceil(msLeft / 1000))
  return new TenancyError('TENANCY_REQUEST_TOO_MANY', `Too many requests: wait ${seconds} s`, {
    retryAfterSeconds: seconds,
  })
}
