import type pg from 'pg'
import type { RequestContext } from '../core/context/current.js'
import type { TenantDatabaseTarget } from '../core/tenants/database-target.js'
import { type Logger, stderrLogger } from '../core/logger.js'
import type { PgModule } from '../core/tenants/pg-module.js'
import type { TenantPool } from '../core/tenants/tenant-pool.js'
import { ConnectionDispatcher } from './connection-dispatcher.js'
import { ownCopy, type PgCopy, pgCopyOf } from './session/pg-copy.js'
import { type TenantPgPool, tenantPgPoolClass } from './tenant-pool.js'

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
  /** Most connections being opened at a time. Default 6. */
  readonly maxConcurrentConnects?: number
  /** A tenant with waiters keeps its connections until another tenant's waiter has waited this long. Default 30. */
  readonly affinityMs?: number
  /** Connection-milliseconds that a tenant gets each time its turn comes. Default 10. */
  readonly quantumMs?: number
  /**
   * While the budget is used up, a tenant that has a connection gets another one, in place of somebody else's, when
   * nobody who waits for it has been served for this long. Default 10.
   */
  readonly patienceMs?: number
  /**
   * A request that holds a connection and waits for another one that only such requests hold is told so after one or two
   * of these, in which no connection it waits for is used. Default 500.
   */
  readonly deadlockCheckMs?: number
  /**
   * Prepares a parameterised statement when a connection sees its text for the second time (at most 200 texts a
   * connection). Switch it off behind a pooler in transaction mode. Default true.
   */
  readonly prepareStatements?: boolean
  /**
   * A pooler in transaction mode is in between: statements that need a session of their own are refused outside of a
   * transaction, and named ones lose their names. Default false.
   */
  readonly transactionPooling?: boolean
  /**
   * A stream or cursor of `pool.query` that waits for its reader or writer, who makes no progress for this long, is ended and
   * its connection taken back. Default 60,000.
   */
  readonly stalledStreamTimeoutMs?: number
  /** The copy of `pg` whose `Pool` and `Client` pools and clients are. Default: the one that this package resolves. */
  readonly pg?: PgModule | undefined
  readonly logger?: Logger
  /** Settings of `pg` for every connection, such as `application_name` or `statement_timeout`. */
  readonly clientConfig?: Omit<pg.ClientConfig, 'host' | 'port' | 'user' | 'password' | 'database' | 'connectionString'>
  /**
   * Asked when the server refuses a tenant's role, or the role comes with settings of its own: makes the role what it was
   * made as, and says what it had changed of itself. If it had, the connection is tried once more. Default: it never had.
   */
  readonly restoreRole?: (key: string) => Promise<readonly string[]>
}

/** A scheduler's options, the defaults filled in. */
export type SchedulerSettings = Required<Omit<ConnectionSchedulerOptions, 'pg'>> & { readonly copy: PgCopy }

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
  /** Rebinds: connections closed to make room for another tenant. */
  readonly evicted: number
  /** Callers turned away by a full queue, a deadline, or because they waited for each other. */
  readonly rejected: number
  readonly identityMismatches: number
  /** Connections that could not be opened. */
  readonly connectFailures: number
  /** Times that a tenant's role had changed its own password or settings, and was restored. */
  readonly rolesRestored: number
}

/** What one tenant uses of a {@link ConnectionScheduler} at this moment. */
export interface TenantUse {
  readonly key: string
  /** What its pool was called, for people. */
  readonly label: string
  /** Those being opened and closed included. */
  readonly connections: number
  readonly inUse: number
  readonly waiting: number
  /** For how long the oldest waiter has waited. */
  readonly waitingMs: number
  /** Connection time since the tenant last had no connection and no waiter. */
  readonly usedMs: number
}

/** Whose work uses a connection of this process now. */
export interface ConnectionUser {
  /** The server process behind the connection. */
  readonly pid: number
  readonly context: RequestContext
}

/** One budget of connections for all tenants of one server. */
export interface ConnectionScheduler {
  /**
   * The pool of the tenant `key`, the same one every time until it is evicted; it takes no connection before it is used.
   * `resolveTarget`, the last one given, is asked for each new connection. `label` (default: the key) is for people and
   * shows in {@link TenantUse}.
   */
  pool(key: string, resolveTarget: () => Promise<TenantDatabaseTarget>, label?: string): TenantPool
  stats(): SchedulerStats
  /** The tenants that use or wait for most, at most `limit` of them. */
  busiestTenants(limit: number): TenantUse[]
  /** Connections that work of a request or job uses now. */
  users(): ConnectionUser[]
  /** Closes the tenant's connections: idle ones now, those in use when they are released. */
  evict(key: string): void
  /** DeficitRoundRobin away who waits, closes what is idle, and what is in use when it is released or after `timeoutMs` (10,000). */
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
  const { pg: module, ...settings } = options
  const copy = module === undefined ? ownCopy : pgCopyOf(module)
  const Pool = tenantPgPoolClass(copy)
  const office = new ConnectionDispatcher({
    maxConnections: 50,
    maxConnectionsPerTenant: 5,
    acquireTimeoutMs: 5000,
    maxWaitersPerTenant: 1000,
    idleTimeoutMs: 60_000,
    connectionLifetimeMs: 1_800_000,
    maxConcurrentConnects: 6,
    affinityMs: 30,
    quantumMs: 10,
    patienceMs: 10,
    deadlockCheckMs: 500,
    prepareStatements: true,
    transactionPooling: false,
    stalledStreamTimeoutMs: 60_000,
    logger: stderrLogger,
    clientConfig: {},
    restoreRole: () => Promise.resolve([]),
    ...settings,
    copy,
  })
  const pools = new Map<string, TenantPgPool>()
  return {
    pool(key, resolveTarget, label = key) {
      let pool = pools.get(key)
      if (pool === undefined) {
        pool = new Pool(key, resolveTarget, office, label)
        pools.set(key, pool)
      } else {
        pool.point(resolveTarget, label)
      }
      return pool as unknown as TenantPool
    },
    stats: () => office.stats(),
    busiestTenants: (limit) => office.busiestTenants(limit),
    users: () => office.users(),
    evict: (key) => {
      office.evict(key)
      pools.delete(key)
    },
    close: ({ timeoutMs = 10_000 } = {}) => office.close(timeoutMs),
  }
}
