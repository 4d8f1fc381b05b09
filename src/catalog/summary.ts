import type { TenantDatabaseState, TenantStatus } from '../core/model.js'
import type { SqlPool } from '../core/sql-client.js'

/** How much an installation holds. */
export interface InstallationSummary {
  readonly users: { readonly enabled: number; readonly disabled: number }
  readonly tenants: Readonly<Record<TenantStatus, number>>
  /** `ready`: the stock; `retired`: of deleted tenants, until their retention is over. */
  readonly databases: Readonly<Record<TenantDatabaseState, number>>
}

interface CountRow {
  readonly kind: 'user' | 'tenant' | 'database'
  readonly state: string
  readonly count: number
}

/** Counts users, tenants and tenant databases in one query. */
export async function readSummary(catalog: SqlPool): Promise<InstallationSummary> {
  const { rows } = await catalog.query<CountRow>(
    `select 'user' as kind, case when disabled_at is null then 'enabled' else 'disabled' end as state, count(*)::float8 as count
       from users group by 2
     union all select 'tenant', status, count(*)::float8 from tenants group by 2
     union all select 'database', state, count(*)::float8 from tenant_databases group by 2`,
  )
  const counts = (kind: CountRow['kind']) =>
    Object.fromEntries(rows.filter((row) => row.kind === kind).map(({ state, count }) => [state, count]))
  return {
    users: { enabled: 0, disabled: 0, ...counts('user') },
    tenants: { active: 0, suspended: 0, deleted: 0, ...counts('tenant') },
    databases: { building: 0, ready: 0, assigned: 0, retired: 0, dropping: 0, ...counts('database') },
  }
}
