import type pg from 'pg'
import { type Logger, stderrLogger } from '../core/logger.js'
import type { PgModule } from '../core/tenants/pg-module.js'
import { ownCopy, type PgCopy, pgCopyOf } from './session/client/pg-copy.js'

/** How a `ConnectionScheduler` shares connections. */
export interface ConnectionSchedulerOptions {
  /** Most connections of all tenants together. Default 50. */
  readonly maxConnections?: number
  /** Most connections of one tenant. Default 5. */
  readonly maxConnectionsPerTenant?: number
  /** How long a caller waits for a connection, including the time to open one. Default 5000. */
  readonly acquireTimeoutMs?: number
  /** Most callers of one tenant that wait at a time. Default 1000. */
  readonly maxWaitersPerTenant?: number
  /** A connection that was idle for this long is closed. Default 60,000. */
  readonly idleTimeoutMs?: number
  /** A connection is closed after this long, give or take a tenth. Default 1,800,000 (half an hour). */
  readonly connectionLifetimeMs?: number
  /** Most connections that are being opened at a time. Default 6. */
  readonly maxConcurrentConnects?: number
  /** A tenant with waiters keeps its connections until a waiter of another tenant has waited this long. Default 30. */
  readonly affinityMs?: number
  /** Connection-milliseconds that a tenant gets each time its turn comes. Default 10. */
  readonly quantumMs?: number
  /**
   * While the budget is used up, a tenant that has a connection waits this long for one of its own to come back. If none
   * of its waiters has been served by then, it gets another connection in place of another tenant's. Default 10.
   */
  readonly ownConnectionWaitMs?: number
  /**
   * How often waiting requests are checked for a deadlock. A request that holds a connection and waits for one that only
   * such requests hold is refused after one or two checks, if the connections it waits for were not used. Default 500.
   */
  readonly deadlockCheckMs?: number
  /**
   * Prepares a parameterised statement when a connection sees its text for the second time (at most 200 texts a
   * connection). Switch it off behind a pooler in transaction mode. Default true.
   */
  readonly prepareStatements?: boolean
  /**
   * A pooler in transaction mode is in between: statements that need a session of their own are refused outside of a
   * transaction, and named statements lose their names. Default false.
   */
  readonly transactionPooling?: boolean
  /** A pooler in any mode is in between: each message of a login waits for its answer. Default false. */
  readonly throughPooler?: boolean
  /**
   * A stream or cursor of `pool.query` that waits for its reader or writer is ended, and its connection taken back, when
   * the reader or writer makes no progress for this long. Default 60,000.
   */
  readonly stalledStreamTimeoutMs?: number
  /** The copy of `pg` whose `Pool` and `Client` pools and clients are. Default: the one that this package resolves. */
  readonly pg?: PgModule | undefined
  readonly logger?: Logger
  /** Settings of `pg` for every connection, such as `application_name` or `statement_timeout`. */
  readonly clientConfig?: Omit<pg.ClientConfig, 'host' | 'port' | 'user' | 'password' | 'database' | 'connectionString'>
  /**
   * Called when the server refuses a tenant's role, or the role comes with settings of its own. Restores the role as it
   * was made, and returns what it had changed of itself. If it had, the connection is tried once more. Default: nothing
   * ever.
   */
  readonly restoreRole?: (key: string) => Promise<readonly string[]>
}

/** Options of a scheduler, with defaults. */
export type SchedulerSettings = Required<Omit<ConnectionSchedulerOptions, 'pg'>> & { readonly copy: PgCopy }

const defaults: Omit<SchedulerSettings, 'copy'> = {
  maxConnections: 50,
  maxConnectionsPerTenant: 5,
  acquireTimeoutMs: 5000,
  maxWaitersPerTenant: 1000,
  idleTimeoutMs: 60_000,
  connectionLifetimeMs: 1_800_000,
  maxConcurrentConnects: 6,
  affinityMs: 30,
  quantumMs: 10,
  ownConnectionWaitMs: 10,
  deadlockCheckMs: 500,
  prepareStatements: true,
  transactionPooling: false,
  throughPooler: false,
  stalledStreamTimeoutMs: 60_000,
  logger: stderrLogger,
  clientConfig: {},
  restoreRole: () => Promise.resolve([]),
}

/**
 * Fills in the defaults.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: `pg` is no copy of it
 */
export function schedulerSettings({ pg: module, ...given }: ConnectionSchedulerOptions): SchedulerSettings {
  return { ...defaults, ...given, copy: module === undefined ? ownCopy : pgCopyOf(module) }
}
