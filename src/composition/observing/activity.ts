import type { ConnectionUser } from '../../connections/stats.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import { databaseIdOf, type DatabaseNames } from '../../databases/database-names.js'

/** Options of `tenancy.activity()`. */
export interface ActivityOptions {
  /** Adds the text of the current or last statement, as the server shortens it; it may hold data of users. Default: false. */
  readonly withQueries?: boolean | undefined
}

/** One server process that works for a tenant: a connection as the tenant's role, from any process. */
export interface BackendActivity {
  /** Id of the server process, for `pg_cancel_backend` and `pg_terminate_backend`. */
  readonly pid: number
  readonly databaseId: string
  /** Undefined: the database belongs to no tenant; it is in stock or retired. */
  readonly tenantId: string | undefined
  readonly slug: string | undefined
  /** `active`, `idle`, `idle in transaction` …; null: not shown to the provisioning account. */
  readonly state: string | null
  /** What the server process waits for, `Lock: transactionid`; null: for nothing, or it is not shown. */
  readonly waitsFor: string | null
  /** Age of the running statement in milliseconds; null: none runs. */
  readonly queryMs: number | null
  /** Age of the transaction in milliseconds; null: there is none. */
  readonly transactionMs: number | null
  /** Age of the connection in milliseconds. */
  readonly connectedMs: number | null
  /** The user whose request in this process uses the connection; undefined: no request does, or it is another process's. */
  readonly userId: string | undefined
  /** With `withQueries` only. */
  readonly query?: string | null
}

/** What {@link readActivity} reads. */
export interface ActivitySources {
  /** A connection of the provisioning account to the server. */
  readonly server: SqlClient
  readonly records: Pick<TenantDatabaseRecords, 'tenantsOf'>
  readonly names: DatabaseNames
  readonly users: () => readonly ConnectionUser[]
}

interface BackendRow extends Pick<
  BackendActivity,
  'pid' | 'state' | 'waitsFor' | 'queryMs' | 'transactionMs' | 'connectedMs'
> {
  readonly roleName: string
  readonly query?: string | null
}

const since = (moment: string) => `(extract(epoch from clock_timestamp() - ${moment}) * 1000)::float8`

/** Reads what runs on the server for the tenants of an installation, oldest transaction first. */
export async function readActivity(
  { server, records, names, users }: ActivitySources,
  { withQueries = false }: ActivityOptions = {},
): Promise<readonly BackendActivity[]> {
  const { rows } = await server.query<BackendRow>(
    `select pid, usename as "roleName", state, wait_event_type || ': ' || wait_event as "waitsFor",
       case when state in ('active', 'fastpath function call') then ${since('query_start')} end as "queryMs",
       ${since('xact_start')} as "transactionMs", ${since('backend_start')} as "connectedMs"
       ${withQueries ? ', query' : ''}
     from pg_stat_activity where starts_with(usename, $1) and backend_type in ('client backend', 'parallel worker')
     order by xact_start nulls last, state_change`,
    [names.prefix],
  )
  const backends = rows.flatMap(({ roleName, ...row }) => {
    const databaseId = databaseIdOf(names, roleName)
    return databaseId === undefined ? [] : [{ ...row, databaseId }]
  })
  // Read after the server's answer: whoever uses a connection now used it then, or has it since.
  const contexts = new Map(users().map(({ pid, context }) => [pid, context]))
  const ids = [...new Set(backends.map(({ databaseId }) => databaseId))]
  const tenants = new Map((await records.tenantsOf(ids)).map((tenant) => [tenant.databaseId, tenant]))
  return backends.map((backend) => {
    const tenant = tenants.get(backend.databaseId)
    const context = contexts.get(backend.pid)
    return {
      ...backend,
      tenantId: tenant?.id,
      slug: tenant?.slug,
      userId: context?.user?.id,
    }
  })
}
