import { tryGetScope, RequestScope } from '../core/context/current.js'
import { isTenancyError, type TenancyError } from '../core/errors/errors.js'
import type { Slot, Waiter } from './allocation/ports.js'
import { Allocator } from './allocation/allocator.js'
import { outsideOfRequests } from './caller-context.js'
import {
  abortedError,
  closedError,
  connectFailure,
  isFull,
  isFullForAll,
  nestedError,
  queueFullError,
  timeoutError,
} from './connection-errors.js'
import { connectionEvents } from './connection-events.js'
import { Connector } from './connector.js'
import type { Stuck } from './allocation/deadlock-search.js'
import { DeadlockWatch } from './deadlock-watch.js'
import { SchemaEffectsCache } from './session/schema-effects-cache.js'
import { DeferredResets } from './deferred-resets.js'
import { type CheckoutCallback, CheckoutWaiter } from './checkout-waiter.js'
import { busiestTenants } from './allocation/busiest-tenants.js'
import type { PgCopy } from './session/pg-copy.js'
import type { ConnectionUser, SchedulerSettings, SchedulerStats, TenantUse } from './scheduler.js'
import type { TenantPgPool } from './tenant-pool.js'
import { closeSession } from './session/open-session.js'
import type { SessionClient } from './session/session-client.js'
import { restoreSession } from './session/session-restore.js'
import { StreamWatch } from './queries/stream-watch.js'

/** A connection in the hands of a pool. */
export type Lease = Slot<SessionClient, TenantPgPool>

/** How long an abandoned query and a reset may take before the connection is closed instead. */
export const settleTimeoutMs = 1000

/** A server without room is asked again after so long, each time twice as long. */
const minRoomWaitMs = 20
const maxRoomWaitMs = 500

/** Carries out what the {@link Allocator} decides: opens, proves, lends, restores and closes connections. */
export class ConnectionDispatcher {
  readonly #options: SchedulerSettings
  readonly #allocator: Allocator<SessionClient, TenantPgPool>
  /** Every lease with a connection. */
  readonly #open = new Set<Lease>()
  readonly #connector: Connector
  readonly #schemaEffectsCache: SchemaEffectsCache
  readonly #deferredResets: DeferredResets<TenantPgPool>
  readonly #counters = {
    opened: 0,
    closed: 0,
    rejected: 0,
    identityMismatches: 0,
    connectFailures: 0,
  }
  readonly #reaper: NodeJS.Timeout
  readonly #deadlocks: DeadlockWatch
  /** In nobody's hands any more: what runs on them is the reset. */
  readonly #restoring = new Set<Lease>()
  /** Streams and cursors of `pool.query`. */
  readonly streams: StreamWatch
  /** Why the last try to open a connection of a tenant found no room. */
  readonly #full = new WeakMap<TenantPgPool, TenancyError>()
  #onChange: (() => void)[] = []
  #closing: Promise<void> | undefined
  #isClosed = false
  #hasWarnedOfEnd = false
  #deadline: NodeJS.Timeout | undefined

  constructor(options: SchedulerSettings) {
    this.#options = options
    this.streams = new StreamWatch(options.stalledStreamTimeoutMs)
    const starvationMs = options.acquireTimeoutMs / 5
    this.#allocator = new Allocator(
      { ...options, starvationMs },
      {
        open: (lease) => void outsideOfRequests(() => this.#openConnection(lease)),
        close: (lease) => void this.#closeConnection(lease),
        remind: (ms) =>
          outsideOfRequests(() => setTimeout(() => this.#allocator.reconsider(performance.now()), ms).unref()),
      },
    )
    this.#connector = new Connector(options)
    this.#schemaEffectsCache = new SchemaEffectsCache(options.logger)
    this.#deferredResets = new DeferredResets(this.#open, (lease, nowMs) => {
      const { connection } = lease
      if (connection !== undefined && this.#allocator.takeOut(lease, nowMs))
        void this.#restore(lease, connection, false)
    })
    this.#deadlocks = new DeadlockWatch(this.#allocator, options.deadlockCheckMs, (stuck) => this.#turnAway(stuck))
    const { idleTimeoutMs } = options
    const reap = (): void => {
      const nowMs = performance.now()
      this.#allocator.reap(nowMs - idleTimeoutMs, nowMs)
      this.#schemaEffectsCache.forgetOld(nowMs)
    }
    this.#reaper = setInterval(reap, Math.max(10, Math.min(idleTimeoutMs / 4, 10_000))).unref()
  }

  /** What a pool shows as its options. */
  get poolOptions(): { readonly max: number; readonly idleTimeoutMillis: number; readonly maxLifetimeSeconds: number } {
    const { maxConnectionsPerTenant: max, idleTimeoutMs: idleTimeoutMillis, connectionLifetimeMs } = this.#options
    return { max, idleTimeoutMillis, maxLifetimeSeconds: connectionLifetimeMs / 1000 }
  }

  /** Whose `Pool` and `Client` pools and clients are, to `instanceof`. */
  get copy(): PgCopy {
    return this.#options.copy
  }

  get isClosing(): boolean {
    return this.#closing !== undefined
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Says once that `end()` of a pool ends nothing. */
  warnOfEnd(label: string): void {
    if (this.#hasWarnedOfEnd) return
    this.#hasWarnedOfEnd = true
    const message =
      'end() of a tenant’s pool (Kysely’s and TypeORM’s destroy() call it) ends nothing: others have the same pool, and the ' +
      'scheduler closes its connections. Said once'
    this.#options.logger.warn({ tenant: label }, message)
  }

  stats(): SchedulerStats {
    const { total: open, idle, opening: connecting, waiting, evicted } = this.#allocator
    const { maxConnections } = this.#options
    return {
      maxConnections,
      open,
      inUse: this.#open.size - idle,
      idle,
      connecting,
      waiting,
      evicted,
      ...this.#counters,
      rolesRestored: this.#connector.rolesRestored,
    }
  }

  /** Those who use or wait for most first; as many tenants are looked at as have a connection or a waiter. */
  busiestTenants(limit: number): TenantUse[] {
    return busiestTenants(this.#allocator.tenants.values(), this.#open, performance.now()).slice(0, limit)
  }

  /** Connections and waiters of one tenant. */
  counts(key: string): { readonly total: number; readonly idle: number; readonly waiting: number } {
    const tenant = this.#allocator.tenants.get(key)
    if (tenant === undefined) return { total: 0, idle: 0, waiting: 0 }
    return { total: tenant.total, idle: tenant.idle.length, waiting: tenant.waiters.size }
  }

  /** The tenant's most recently used idle connection, if there is one that can be had at once. */
  takeIdle(key: string): Lease | undefined {
    const lease = this.#allocator.takeIdle(key, performance.now())
    if (lease?.connection === undefined) return lease
    if (!this.#deferredResets.isDue(lease)) {
      lease.user = tryGetScope()
      return lease
    }
    // Who waits for it gets it once it is reset.
    void this.#restore(lease, lease.connection, false)
    return undefined
  }

  /** Whose work uses which of the connections now. */
  users(): ConnectionUser[] {
    const users: ConnectionUser[] = []
    for (const { state, user, connection } of this.#open) {
      const pid = connection?.backendPid
      if (state === 'busy' && user instanceof RequestScope && typeof pid === 'number')
        users.push({ pid, context: user.context })
    }
    return users
  }

  /** Calls `done` with a connection as soon as it is the caller's turn, never during this call. */
  wait(pool: TenantPgPool, signal: AbortSignal | undefined, done: CheckoutCallback): void {
    const work = tryGetScope()
    if (this.#closing !== undefined) return queueMicrotask(() => done(closedError()))
    if (work?.isAborted === true || signal?.aborted === true) {
      return queueMicrotask(() => done(abortedError(signal?.reason)))
    }
    const waiter = new CheckoutWaiter(pool, performance.now(), work, signal, done)
    if (!this.#allocator.enqueue(pool.key, pool, waiter, waiter.sinceMs)) {
      this.#counters.rejected += 1
      return queueMicrotask(() => waiter.reject(queueFullError(pool.key, this.#options.maxWaitersPerTenant)))
    }
    waiter.leaveWhenGone(() => this.#leave(pool.key, waiter))
    this.#deadline ??= outsideOfRequests(() => this.#awaitDeadline(waiter.sinceMs, waiter.sinceMs))
    if (work !== undefined) this.#deadlocks.watch()
  }

  /** Takes a connection back; `broken` closes it, else it is handed on once its session is as it was. */
  giveBack(lease: Lease, broken: boolean): void {
    const client = lease.connection
    if (client === undefined || lease.state !== 'busy') return
    lease.user = undefined
    const { tenant } = lease
    const nowMs = performance.now()
    const usedMs = nowMs - lease.sinceMs
    const isKnown = this.#schemaEffectsCache.isCurrent(tenant.key, client, nowMs)
    if (!isKnown) this.#schemaEffectsCache.countUse(tenant.key)
    if (!client.usable || (broken && !client.running)) {
      tenant.usedMs += usedMs
      this.#allocator.discard(lease)
      return
    }
    const seemsClean = !broken && client.ready && !client.touched && client.outsideTransaction
    const isClean = seemsClean && isKnown
    // To clean what is closed next is work for nobody.
    if (!isClean && client.ready && this.#allocator.giveWay(lease, nowMs)) {
      tenant.usedMs += usedMs
    } else if (isClean || (seemsClean && this.#mayDeferReset(lease))) {
      if (!isClean) this.#deferredResets.defer(client, nowMs)
      tenant.usedMs += usedMs
      this.#allocator.release(lease, nowMs)
    } else {
      void this.#restore(lease, client, broken)
    }
  }

  /** Closes the tenant's connections: idle ones now, others when they come back. */
  evict(key: string): void {
    this.#schemaEffectsCache.forget(key)
    this.#allocator.evict(key)
  }

  /** Stops what runs on a connection whose stream nobody reads any more, and closes it. */
  breakOff(lease: Lease): void {
    if (lease.state !== 'busy') return
    lease.tenant.usedMs += performance.now() - lease.sinceMs
    void lease.connection?.cancel()
    this.#allocator.discard(lease)
  }

  /** Stops what runs on the tenant's connection of a backend; false: it has none in use. */
  async cancelBackend(key: string, pid: number): Promise<boolean> {
    const client = this.#inUse(key, pid)?.connection
    if (client === undefined) return false
    // Whoever has the connection next waits until the request is dealt with.
    client.touched = true
    await client.cancel()
    return true
  }

  async terminateBackend(key: string, pid: number): Promise<boolean> {
    const lease = this.#inUse(key, pid)
    if (lease?.connection === undefined) return false
    await lease.connection.cancel()
    lease.connection.destroy()
    return true
  }

  #inUse(key: string, pid: number): Lease | undefined {
    for (const lease of this.#open) {
      if (lease.tenant.key !== key || lease.connection?.backendPid !== pid) continue
      return lease.state === 'busy' && !this.#restoring.has(lease) ? lease : undefined
    }
    return undefined
  }

  /** DeficitRoundRobin away who waits and closes all connections, those still in use after `timeoutMs` by force. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#drain(timeoutMs)
    return this.#closing
  }

  async #drain(timeoutMs: number): Promise<void> {
    clearInterval(this.#reaper)
    clearTimeout(this.#deadline)
    this.#deferredResets.stop()
    this.#deadlocks.stop()
    this.streams.stop()
    const waiters = this.#allocator.drain()
    for (const waiter of waiters) waiter.reject(closedError())
    const force = setTimeout(() => {
      for (const { connection } of this.#open) {
        if (connection?.running === true) void connection.cancel()
        connection?.destroy()
      }
    }, timeoutMs)
    while (this.#allocator.total > 0) await this.#nextChange()
    clearTimeout(force)
    await this.#connector.settled()
    this.#isClosed = true
  }

  /** One timer for all: it waits for the waiter that is the oldest now. */
  #awaitDeadline(oldestSinceMs: number, nowMs: number): NodeJS.Timeout {
    const { acquireTimeoutMs } = this.#options
    const onDeadline = (): void => {
      const atMs = performance.now()
      const overdue = this.#allocator.leaveOverdue(atMs - acquireTimeoutMs)
      const oldestMs = this.#allocator.oldestWaiterSinceMs()
      this.#deadline = oldestMs === undefined ? undefined : this.#awaitDeadline(oldestMs, atMs)
      this.#counters.rejected += overdue.length
      for (const waiter of overdue) {
        const full = waiter instanceof CheckoutWaiter ? this.#full.get(waiter.pool) : undefined
        waiter.reject(full ?? timeoutError(acquireTimeoutMs, this.#allocator.limits))
      }
      this.#tellChange()
    }
    // A timer may fire a fraction of a millisecond early.
    return setTimeout(onDeadline, Math.ceil(oldestSinceMs + acquireTimeoutMs - nowMs) + 1).unref()
  }

  #leave(key: string, waiter: Waiter<SessionClient, TenantPgPool>): boolean {
    const left = this.#allocator.leave(key, waiter)
    if (left) this.#tellChange()
    return left
  }

  #turnAway({ tenant, waiter }: Stuck<SessionClient, TenantPgPool>): void {
    if (!this.#leave(tenant.key, waiter)) return
    this.#counters.rejected += 1
    waiter.reject(nestedError(this.#allocator.limits))
  }

  /** Resolves when a connection is closed or a try to open one, or a wait, has ended. */
  #nextChange(): Promise<void> {
    return new Promise((resolve) => this.#onChange.push(resolve))
  }

  async #openConnection(lease: Lease): Promise<void> {
    const pool = lease.tenant.owner
    try {
      if (pool === undefined) throw new TypeError('A tenant with waiters has a pool')
      const client = await this.#connector.connect(pool)
      if (!client.usable) throw new Error('The connection broke before it was used')
      this.#counters.opened += 1
      this.#full.delete(pool)
      connectionEvents.open(pool, performance.now() - lease.sinceMs)
      this.#open.add(lease)
      this.#schemaEffectsCache.tell(lease.tenant.key, client, performance.now())
      lease.expiresAtMs = performance.now() + this.#options.connectionLifetimeMs * (0.9 + Math.random() * 0.2)
      client.onLost = (error) => this.#lost(lease, client, pool, error)
      client.once('end', () => this.#ended(lease, client, pool))
      pool.announce('connect', client)
      this.#allocator.opened(lease, client, performance.now())
    } catch (cause) {
      const error = connectFailure(cause)
      this.#counters.connectFailures += 1
      if (pool !== undefined && isFull(cause)) return this.#defer(lease, pool, cause, error)
      if (isTenancyError(error, 'TENANCY_DATABASE_IDENTITY_MISMATCH')) this.#alarm(lease, error)
      else connectionEvents.connectFailed(lease.tenant, error)
      this.#allocator.openFailed(lease, performance.now())?.reject(error)
      this.#tellChange()
    }
  }

  /** Whoever waits is told at his deadline; until then there may be room again. */
  #defer(lease: Lease, pool: TenantPgPool, cause: unknown, error: TenancyError): void {
    this.#full.set(pool, error)
    connectionEvents.connectFailed(lease.tenant, error)
    const nowMs = performance.now()
    const scope = isFullForAll(cause) ? 'server' : 'tenant'
    const { deferrals } = scope === 'server' ? this.#allocator.server : lease.tenant
    const waitMs = Math.min(minRoomWaitMs * 2 ** deferrals, maxRoomWaitMs) * (0.75 + Math.random() / 4)
    this.#allocator.openDeferred(lease, scope, nowMs + waitMs, nowMs)
    this.#tellChange()
  }

  #alarm(lease: Lease, error: TenancyError): void {
    this.#counters.identityMismatches += 1
    this.#options.logger.error({ tenant: lease.tenant.key, code: error.code }, error.message)
    connectionEvents.identityMismatch(lease.tenant, error)
  }

  async #closeConnection(lease: Lease): Promise<void> {
    if (lease.successor !== undefined) connectionEvents.evict(lease.tenant, lease.successor.tenant)
    if (lease.connection !== undefined) await closeSession(lease.connection)
  }

  #lost(lease: Lease, client: SessionClient, pool: TenantPgPool, error: Error): void {
    if (lease.state === 'idle') {
      if (pool.listenerCount('error') > 0) pool.announce('error', error, client)
      else this.#options.logger.warn({ tenant: pool.key }, 'An idle tenant connection was lost')
    }
    this.#allocator.discard(lease)
  }

  #ended(lease: Lease, client: SessionClient, pool: TenantPgPool): void {
    this.#counters.closed += 1
    connectionEvents.close(pool)
    this.#open.delete(lease)
    this.#allocator.closed(lease, performance.now())
    pool.announce('remove', client)
    this.#tellChange()
  }

  #tellChange(): void {
    const listeners = this.#onChange
    this.#onChange = []
    for (const listener of listeners) listener()
  }

  /** Of a use that left nothing as far as its statements tell: only code behind their names could have. */
  #mayDeferReset({ tenant }: Lease): boolean {
    return this.#allocator.isCrowded && tenant.waiters.size === 0 && !this.#schemaEffectsCache.isWorthAsking(tenant.key)
  }

  /** Lets the session settle and undoes what was done to it, before anybody else gets it. */
  async #restore(lease: Lease, client: SessionClient, broken: boolean): Promise<void> {
    const patience = setTimeout(() => this.#allocator.discard(lease), settleTimeoutMs)
    const { sinceMs, tenant } = lease
    const { key } = tenant
    this.#restoring.add(lease)
    const isAbandoned = client.running
    if (!isAbandoned && !broken) this.#allocator.announceReturn(lease)
    const isKnown = this.#schemaEffectsCache.isCurrent(key, client, performance.now())
    // Without knowing what its database runs behind the names in a statement, anything may have changed the session.
    if (!isKnown) client.touched = true
    const isRestored = await restoreSession(client, isAbandoned)
    const isFit = isRestored && !broken && (isKnown || (await this.#schemaEffectsCache.learn(key, client)))
    clearTimeout(patience)
    this.#restoring.delete(lease)
    // Counted now and not when it was given back: until now it counted as lent.
    tenant.usedMs += performance.now() - sinceMs
    if (isFit) this.#allocator.release(lease, performance.now())
    else this.#allocator.discard(lease)
  }
}
