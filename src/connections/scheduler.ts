import type { ServerAccount, TenantDatabaseTarget } from '../core/tenants/database-target.js'
import type { TenantPool } from '../core/tenants/tenant-pool.js'
import type { TenantUse } from './allocation/busiest-tenants.js'
import { ConnectionDispatcher } from './connection-dispatcher.js'
import { type ConnectionSchedulerOptions, schedulerSettings } from './options.js'
import type { ConnectionUser, SchedulerStats } from './stats.js'
import { type TenantPgPool, tenantPgPoolClass } from './tenant-pool.js'

/** One budget of connections for all tenants of one server. */
export interface ConnectionScheduler {
  /**
   * Returns the pool of the tenant `key`, the same one every time until the tenant is disconnected. It takes no
   * connection before it is used. The last `resolveTarget` that was given is called for each new connection. `label`
   * (default: the key) is for people and shows in {@link TenantUse}. `expectedAccount` gives the account that
   * `resolveTarget` is likely to give: a connection to it is begun meanwhile, and used only if it was right.
   */
  pool(
    key: string,
    resolveTarget: () => Promise<TenantDatabaseTarget>,
    label?: string,
    expectedAccount?: () => ServerAccount,
  ): TenantPool
  stats(): SchedulerStats
  /** Lists the tenants that use or wait for most, at most `limit` of them. */
  busiestTenants(limit: number): TenantUse[]
  /** Lists the requests and jobs that use connections now. */
  users(): ConnectionUser[]
  /**
   * Says that the tenant's database is about to be migrated: its open connections prepare nothing any more. `disconnect`
   * replaces them afterwards.
   */
  schemaMayChange(key: string): void
  /** Closes the tenant's connections: idle ones now, those in use when they are released. */
  disconnect(key: string): void
  /**
   * Refuses waiters and closes idle connections. Closes those in use when they are released, or after `timeoutMs`
   * (default 10,000).
   */
  close(options?: { readonly timeoutMs?: number }): Promise<void>
}

/**
 * Creates the scheduler that shares one budget of connections among all tenants of a server.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: `pg` is no copy of it
 * @example
 * const scheduler = createConnectionScheduler({ maxConnections: 50 })
 * const pool = scheduler.pool(tenant.id, () => findTarget(tenant.id))
 * const { rows } = await pool.query('select * from reports where id = $1', [id])
 */
export function createConnectionScheduler(options: ConnectionSchedulerOptions = {}): ConnectionScheduler {
  const settings = schedulerSettings(options)
  const Pool = tenantPgPoolClass(settings.copy)
  const dispatcher = new ConnectionDispatcher(settings)
  const pools = new Map<string, TenantPgPool>()
  return {
    pool(key, resolveTarget, label = key, expectedAccount) {
      let pool = pools.get(key)
      if (pool === undefined) {
        pool = new Pool(key, resolveTarget, dispatcher, label, expectedAccount)
        pools.set(key, pool)
      } else {
        pool.point(resolveTarget, label, expectedAccount)
      }
      return pool as unknown as TenantPool
    },
    stats: () => dispatcher.stats(),
    busiestTenants: (limit) => dispatcher.busiestTenants(limit),
    users: () => dispatcher.users(),
    schemaMayChange: (key) => dispatcher.schemaMayChange(key),
    disconnect: (key) => {
      dispatcher.disconnect(key)
      pools.delete(key)
    },
    close: ({ timeoutMs = 10_000 } = {}) => dispatcher.close(timeoutMs),
  }
}
