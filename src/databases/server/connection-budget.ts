import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'

/** Connections that processes of one kind may need at a time. */
export interface ConnectionNeeds {
  /** To tenant databases; 0 behind a pooler, which has limits of its own. */
  readonly tenants: number
  /** To the catalog. */
  readonly catalog: number
  /** The connection that listens for changes (LISTEN). */
  readonly listen: number
  /** The connection of the server watcher; 0: nothing is watched. Default: 0. */
  readonly watch?: number
  /** To build, migrate and drop tenant databases. */
  readonly builder: number
  /** How many processes share the server. */
  readonly processes: number
}

/** Connection limits of a server. */
export interface ServerLimits {
  /** `max_connections`. */
  readonly max: number
  /** `superuser_reserved_connections`. */
  readonly superuser: number
  /** `reserved_connections`; 0 before PostgreSQL 16. */
  readonly reserved: number
}

/**
 * Checks that the connections of all processes fit the server, beside those that it reserves for administrators
 * (PostgreSQL manual, 19.3.1). Other users of the server are not counted.
 *
 * @throws {@link TenancyError} TENANCY_CONNECTION_BUDGET_TOO_LARGE, with all numbers
 */
export async function checkConnectionBudget(server: SqlClient, needs: ConnectionNeeds): Promise<void> {
  const { rows } = await server.query<ServerLimits>(
    `select current_setting('max_connections')::int as max,
       current_setting('superuser_reserved_connections')::int as superuser,
       coalesce(current_setting('reserved_connections', true)::int, 0) as reserved`,
  )
  const [limits] = rows
  const problem = limits && budgetProblem(needs, limits)
  if (problem !== undefined) throw new TenancyError('TENANCY_CONNECTION_BUDGET_TOO_LARGE', problem)
}

/** Says why the needs do not fit, and what would; undefined: they fit. */
export function budgetProblem(needs: ConnectionNeeds, limits: ServerLimits): string | undefined {
  const { tenants, catalog, listen, watch = 0, builder, processes } = needs
  const perProcess = tenants + catalog + listen + watch + builder
  const needed = perProcess * processes
  const available = limits.max - limits.superuser - limits.reserved
  if (needed <= available) return undefined
  const fitting = Math.floor(available / processes) - (perProcess - tenants)
  const remedies = [
    ...(tenants > 0 && fitting > 0 ? [`set TENANT_MAX_CONNECTIONS to ${fitting} or less`] : []),
    `raise max_connections to ${needed + limits.superuser + limits.reserved}`,
    ...(processes > 1 ? ['lower TENANT_PROCESSES if fewer run'] : []),
  ]
  return (
    `${processes === 1 ? 'This process' : `${processes} processes`} may open ${needed} connections` +
    `${processes === 1 ? '' : `, ${perProcess} each`} (${tenants} to tenants, ${catalog} to the catalog, ${listen} to ` +
    `listen, ${watch === 0 ? '' : `${watch} to watch, `}${builder} to build), and the server has ${available} (max_connections ${limits.max} - ` +
    `superuser_reserved_connections ${limits.superuser} - reserved_connections ${limits.reserved}): ` +
    remedies.join(', or ')
  )
}
