import type pg from 'pg'
import type { TenantDatabaseTarget } from '../core/database-target.js'
import { type Logger, stderrLogger } from '../core/logger.js'
import type { TenantPool } from '../core/tenant-pool.js'
import { LeaseOffice } from './lease-office.js'
import { SchedulerPool } from './scheduler-pool.js'

/** How a {@link ConnectionScheduler} shares connections. */
export interface ConnectionSchedulerOptions {
  /** Most connections of all tenants together. Default 50. */
  readonly maxConnections?: number
  /** Most connections of one tenant. Default 5. */
  readonly maxConnectionsPerTenant?: number
  /** How long a caller waits for a connection, the time to open one included. Default 5000. */
  readonly acquireTimeoutMs?: number
  /** Most callers of one tenant that wait at a time. Default 1000. */
  readonly maxWaitersPerTenant?: number
  /** A connection that was idle this long is closed. Default 60,000. */
  readonly idleTimeoutMs?: number
  /** A connection is closed after this long, give or take a tenth. Default 1,800,000 (half an hour). */
  readonly connectionLifetimeMs?: number
  /** Most connections being opened at a time. Default 4. */
  readonly maxConcurrentConnects?: number
  /** A tenant with waiters keeps its connections until another tenant's waiter has waited this long. Default 30. */
  readonly affinityMs?: number
  /**
   * Prepares a parameterised statement when a connection sees its text for the second time (at most 200 texts a
   * connection). Switch it off behind a pooler in transaction mode. Default true.
   */
  readonly prepareStatements?: boolean
  readonly logger?: Logger
  /** Settings of `pg` for every connection, such as `application_name` or `statement_timeout`. */
  readonly clientConfig?: Omit<pg.ClientConfig, 'host' | 'port' | 'user' | 'password' | 'database' | 'connectionString'>
  /**
   * Asked when the server refuses a tenant's role, or the role comes with settings of its own: makes the role what it was
   * made as, and says what it had changed of itself. If it had, the connection is tried once more. Default: it never had.
   */
  readonly restoreRole?: (key: string) => Promise<readonly string[]>
  /** Signal of the work at hand: a caller that waits leaves the queue when it is aborted. */
  readonly currentSignal?: () => AbortSignal | undefined
}

/** Connections of one process to one server, at this moment; the last six count since the start. */
export interface SchedulerStats {
  readonly maxConnections: number
  /** Connections the server may hold for us: those being opened and closed included. */
  readonly open: number
  readonly inUse: number
  readonly idle: number
  readonly connecting: number
  readonly waiting: number
  readonly opened: number
  readonly closed: number
  /** Connections closed to make room for another tenant. */
  readonly evicted: number
  /** Callers turned away by a full queue or a deadline. */
  readonly rejected: number
  readonly identityMismatches: number
  /** Times that a tenant's role had changed its own password or settings, and was restored. */
  readonly rolesRestored: number
}

/** One budget of connections for all tenants of one server. */
export interface ConnectionScheduler {
  /** A pool of the tenant `key`; it takes no connection before it is used. `resolveTarget` is asked for each new one. */
  pool(key: string, resolveTarget: () => Promise<TenantDatabaseTarget>): TenantPool
  stats(): SchedulerStats
  /** Closes the tenant's connections: idle ones now, those in use when they are released. */
  evict(key: string): void
  /** Turns away who waits, closes what is idle, and what is in use when it is released or after `timeoutMs` (10,000). */
  close(options?: { readonly timeoutMs?: number }): Promise<void>
}

/**
 * Creates the scheduler that shares one budget of connections among all tenants of a server.
 *
 * @example
 * const scheduler = createConnectionScheduler({ maxConnections: 50 })
 * const pool = scheduler.pool(tenant.id, () => findTarget(tenant.id))
 * const { rows } = await pool.query('select * from reports where id = $1', [id])
 */
export function createConnectionScheduler(options: ConnectionSchedulerOptions = {}): ConnectionScheduler {
  const office = new LeaseOffice({
    maxConnections: 50,
    maxConnectionsPerTenant: 5,
    acquireTimeoutMs: 5000,
    maxWaitersPerTenant: 1000,
    idleTimeoutMs: 60_000,
    connectionLifetimeMs: 1_800_000,
    maxConcurrentConnects: 4,
    affinityMs: 30,
    prepareStatements: true,
    logger: stderrLogger,
    clientConfig: {},
    restoreRole: () => Promise.resolve([]),
    currentSignal: () => undefined,
    ...options,
  })
  return {
    pool: (key, resolveTarget) => new SchedulerPool(key, resolveTarget, office) as unknown as TenantPool,
    stats: () => office.stats(),
    evict: (key) => office.evict(key),
    close: ({ timeoutMs = 10_000 } = {}) => office.close(timeoutMs),
  }
}
