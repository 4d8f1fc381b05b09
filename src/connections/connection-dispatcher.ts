import { RequestScope, tryGetScope } from '../core/context/request-scope.js'
import { Allocator } from './allocation/allocator.js'
import { busiestTenants, type TenantUse } from './allocation/busiest-tenants.js'
import type { Stuck } from './allocation/deadlock-search.js'
import type { Waiter } from './allocation/ports.js'
import { outsideOfRequests } from './caller-context.js'
import type { Checkout, CheckoutCallback, CheckoutPool, SessionEntry } from './checkout.js'
import { CheckoutWaiter } from './checkout-waiter.js'
import { abortedError, closedError, nestedError, queueFullError, timeoutError } from './connection-errors.js'
import { ConnectionRestorer } from './connection-restorer.js'
import { DeadlockWatch } from './deadlock-watch.js'
import { DeferredResets } from './deferred-resets.js'
import { IdleWork } from './idle-work.js'
import { OpenConnections } from './opening/open-connections.js'
import type { SchedulerSettings } from './options.js'
import { StreamWatch } from './queries/stream-watch.js'
import type { PgCopy } from './session/client/pg-copy.js'
import { SchemaEffectsCache } from './session/schema/schema-effects-cache.js'
import type { SessionClient } from './session/client/session-client.js'
import type { ConnectionUser, SchedulerStats } from './stats.js'

/** A connection that has been idle for so long is most likely not needed for the few milliseconds that a question takes. */
const idleForQuestionMs = 20

/**
 * Longer than newcomers wait where requests come at once to a few hundred tenants, so turns decide there. A tenant in debt
 * whose only connection was taken from it would wait for many turns: to open one is charged with several.
 */
const mostStarvationMs = 300

/** Checks connections out and takes them back, as the {@link Allocator} decides. */
export class ConnectionDispatcher {
  readonly #options: SchedulerSettings
  readonly #allocator: Allocator<SessionClient, CheckoutPool>
  readonly #connections: OpenConnections
  readonly #schemaEffects: SchemaEffectsCache
  readonly #restorer: ConnectionRestorer
  readonly #deferredResets: DeferredResets
  /** Questions to databases about what they run behind their tables. */
  readonly #questions: IdleWork
  readonly #deadlocks: DeadlockWatch
  readonly #reaper: NodeJS.Timeout
  /** Streams and cursors of `pool.query`. */
  readonly streams: StreamWatch
  #rejected = 0
  #onChange: (() => void)[] = []
  #closing: Promise<void> | undefined
  #isClosed = false
  #hasWarnedOfEnd = false
  #deadline: NodeJS.Timeout | undefined

  constructor(options: SchedulerSettings) {
    this.#options = options
    this.streams = new StreamWatch(options.stalledStreamTimeoutMs)
    const starvationMs = Math.min(mostStarvationMs, options.acquireTimeoutMs / 5)
    this.#allocator = new Allocator(
      { ...options, starvationMs },
      {
        open: (entry) => void outsideOfRequests(() => this.#connections.open(entry)),
        close: (entry) => void this.#connections.close(entry),
        remind: (ms) =>
          outsideOfRequests(() => setTimeout(() => this.#allocator.reconsider(performance.now()), ms).unref()),
      },
    )
    this.#schemaEffects = new SchemaEffectsCache(options.logger)
    this.#restorer = new ConnectionRestorer(this.#allocator, this.#schemaEffects)
    this.#connections = new OpenConnections(options, {
      allocator: this.#allocator,
      schemaEffects: this.#schemaEffects,
      onChange: () => this.#tellChange(),
    })
    const restoreIdle = (entry: SessionEntry, nowMs: number): void => {
      const { connection } = entry
      if (connection !== undefined && this.#allocator.takeOut(entry, nowMs))
        void this.#restore(entry, connection, false, true)
    }
    this.#deferredResets = new DeferredResets(this.#connections.entries, restoreIdle)
    this.#questions = new IdleWork(this.#connections.entries, {
      afterMs: idleForQuestionMs,
      isDue: (entry) => this.#isQuestionDue(entry, performance.now()),
      run: restoreIdle,
    })
    this.#deadlocks = new DeadlockWatch(this.#allocator, options.deadlockCheckMs, (stuck) => this.#refuse(stuck))
    const { idleTimeoutMs } = options
    const reap = (): void => {
      const nowMs = performance.now()
      this.#allocator.reap(nowMs - idleTimeoutMs, nowMs)
      this.#schemaEffects.forgetOld(nowMs)
    }
    this.#reaper = setInterval(reap, Math.max(10, Math.min(idleTimeoutMs / 4, 10_000))).unref()
  }

  /** The options that a pool shows. */
  get poolOptions(): { readonly max: number; readonly idleTimeoutMillis: number; readonly maxLifetimeSeconds: number } {
    const { maxConnectionsPerTenant: max, idleTimeoutMs: idleTimeoutMillis, connectionLifetimeMs } = this.#options
    return { max, idleTimeoutMillis, maxLifetimeSeconds: connectionLifetimeMs / 1000 }
  }

  /** The copy of `pg` whose `Pool` and `Client` pools and clients are, to `instanceof`. */
  get copy(): PgCopy {
    return this.#options.copy
  }

  get isClosing(): boolean {
    return this.#closing !== undefined
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Warns, once, that `end()` of a pool ends nothing. */
  warnOfEnd(label: string): void {
    if (this.#hasWarnedOfEnd) return
    this.#hasWarnedOfEnd = true
    const message =
      'end() of a tenant’s pool (Kysely’s and TypeORM’s destroy() call it) ends nothing: others have the same pool, and the ' +
      'scheduler closes its connections. Said once'
    this.#options.logger.warn({ tenant: label }, message)
  }

  stats(): SchedulerStats {
    const { idle, waiting, budget } = this.#allocator
    return {
      maxConnections: this.#options.maxConnections,
      open: budget.total,
      inUse: this.#connections.entries.size - idle,
      idle,
      connecting: budget.opening,
      waiting,
      evictions: budget.evictions,
      rejected: this.#rejected,
      ...this.#connections.counters,
    }
  }

  /** Lists the busiest tenants first. Looks at each tenant that has a connection or a waiter. */
  busiestTenants(limit: number): TenantUse[] {
    const { tenants } = this.#allocator
    return busiestTenants(tenants.values(), this.#connections.entries, performance.now()).slice(0, limit)
  }

  /** Counts connections and waiters of one tenant. */
  counts(key: string): { readonly total: number; readonly idle: number; readonly waiting: number } {
    const tenant = this.#allocator.tenants.get(key)
    if (tenant === undefined) return { total: 0, idle: 0, waiting: 0 }
    return { total: tenant.total, idle: tenant.idle.length, waiting: tenant.waiters.size }
  }

  /** Lists the requests that use connections now. */
  users(): ConnectionUser[] {
    const users: ConnectionUser[] = []
    for (const { state, user, connection } of this.#connections.entries) {
      const pid = connection?.backendPid
      if (state === 'busy' && user instanceof RequestScope && typeof pid === 'number')
        users.push({ pid, context: user.context })
    }
    return users
  }

  /** Checks out the tenant's most recently used idle connection, if there is one that can be had at once. */
  takeIdle(key: string): Checkout | undefined {
    const checkout = this.#allocator.takeIdle(key, performance.now())
    if (checkout?.connection === undefined) return checkout
    if (!this.#deferredResets.isDue(checkout)) {
      checkout.user = tryGetScope()
      return checkout
    }
    // The caller waits, and gets the connection once it is reset.
    void this.#restore(checkout, checkout.connection, false)
    return undefined
  }

  /** Calls `done` with a checkout as soon as it is the caller's turn, never during this call. */
  wait(pool: CheckoutPool, signal: AbortSignal | undefined, done: CheckoutCallback): void {
    const scope = tryGetScope()
    if (this.#closing !== undefined) return queueMicrotask(() => done(closedError()))
    if (scope?.isAborted === true || signal?.aborted === true) {
      return queueMicrotask(() => done(abortedError(signal?.reason)))
    }
    const waiter = new CheckoutWaiter(pool, performance.now(), scope, signal, done)
    if (!this.#allocator.enqueue(pool.key, pool, waiter, waiter.sinceMs)) {
      this.#rejected += 1
      return queueMicrotask(() => waiter.reject(queueFullError(pool.key, this.#options.maxWaitersPerTenant)))
    }
    waiter.leaveWhenAborted(() => this.#leave(pool.key, waiter))
    this.#deadline ??= outsideOfRequests(() => this.#awaitDeadline(waiter.sinceMs, waiter.sinceMs))
    if (scope !== undefined) this.#deadlocks.watch()
  }

  /** Takes a connection back. `broken` closes it; else it is handed on once its session is as it was. */
  giveBack(checkout: Checkout, broken: boolean): void {
    const client = checkout.connection
    if (client === undefined || checkout.state !== 'busy') return
    checkout.user = undefined
    const { tenant } = checkout
    const nowMs = performance.now()
    const usedMs = nowMs - checkout.sinceMs
    const isKnown = this.#schemaEffects.isCurrent(tenant.key, client, nowMs)
    if (!isKnown) this.#schemaEffects.countUse(tenant.key)
    if (!client.usable || (broken && !client.running)) {
      tenant.usedMs += usedMs
      this.#allocator.discard(checkout)
      return
    }
    const seemsClean = !broken && client.ready && !client.touched && client.outsideTransaction
    const isClean = seemsClean && isKnown
    // A connection that is closed next is not worth a reset.
    if (!isClean && client.ready && this.#allocator.closeForAnotherTenant(checkout, nowMs)) {
      tenant.usedMs += usedMs
    } else if (isClean || (seemsClean && this.#mayDeferReset(checkout))) {
      if (!isClean) this.#deferredResets.defer(client, nowMs)
      tenant.usedMs += usedMs
      this.#allocator.release(checkout, nowMs)
      if (!isKnown) this.#planQuestion(checkout, nowMs)
    } else {
      void this.#restore(checkout, client, broken)
    }
  }

  async #restore(entry: SessionEntry, client: SessionClient, broken: boolean, isIdle = false): Promise<void> {
    await this.#restorer.restore(entry, client, broken, isIdle)
    this.#planQuestion(entry, performance.now())
  }

  /** Has the database of an idle connection asked when it is worth it. */
  #planQuestion(entry: SessionEntry, nowMs: number): void {
    if (entry.state === 'idle' && this.#isQuestionDue(entry, nowMs)) this.#questions.plan(nowMs)
  }

  #isQuestionDue({ tenant, connection }: SessionEntry, nowMs: number): boolean {
    return connection !== undefined && this.#schemaEffects.isDue(tenant.key, connection, nowMs)
  }

  /** Stops what runs on a connection whose stream is read no further, and closes it. */
  breakOff(checkout: Checkout): void {
    if (checkout.state !== 'busy') return
    checkout.tenant.usedMs += performance.now() - checkout.sinceMs
    void checkout.connection?.cancel()
    this.#allocator.discard(checkout)
  }

  /** Stops what runs on the tenant's connection of a backend. False: it has no such connection in use. */
  async cancelBackend(key: string, pid: number): Promise<boolean> {
    const client = this.#inUse(key, pid)?.connection
    if (client === undefined) return false
    // The next user of the connection waits until the request is dealt with.
    client.touched = true
    await client.cancel()
    return true
  }

  /** Ends the tenant's connection of a backend. False: it has no such connection in use. */
  async terminateBackend(key: string, pid: number): Promise<boolean> {
    const checkout = this.#inUse(key, pid)
    if (checkout?.connection === undefined) return false
    await checkout.connection.cancel()
    checkout.connection.destroy()
    return true
  }

  #inUse(key: string, pid: number): Checkout | undefined {
    for (const entry of this.#connections.entries) {
      if (entry.tenant.key !== key || entry.connection?.backendPid !== pid) continue
      return entry.state === 'busy' && !this.#restorer.isRestoring(entry) ? entry : undefined
    }
    return undefined
  }

  /** The tenant's database is about to be migrated: its connections stop using prepared statements. */
  schemaMayChange(key: string): void {
    for (const { tenant, connection } of this.#connections.entries) {
      if (tenant.key === key) connection?.schemaMayChange()
    }
  }

  /** Closes the tenant's connections: idle ones now, others when they come back. */
  disconnect(key: string): void {
    this.schemaMayChange(key)
    this.#schemaEffects.forget(key)
    this.#allocator.disconnect(key)
  }

  /** Refuses waiters and closes all connections; those still in use after `timeoutMs` by force. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#drain(timeoutMs)
    return this.#closing
  }

  async #drain(timeoutMs: number): Promise<void> {
    clearInterval(this.#reaper)
    clearTimeout(this.#deadline)
    this.#deferredResets.stop()
    this.#questions.stop()
    this.#deadlocks.stop()
    this.streams.stop()
    const waiters = this.#allocator.drain()
    for (const waiter of waiters) waiter.reject(closedError())
    const force = setTimeout(() => {
      for (const { connection } of this.#connections.entries) {
        if (connection?.running === true) void connection.cancel()
        connection?.destroy()
      }
    }, timeoutMs)
    while (this.#allocator.budget.total > 0) await this.#nextChange()
    clearTimeout(force)
    await this.#connections.settled()
    this.#isClosed = true
  }

  /** One timer serves all: it waits for the waiter that is the oldest now. */
  #awaitDeadline(oldestSinceMs: number, nowMs: number): NodeJS.Timeout {
    const { acquireTimeoutMs } = this.#options
    const onDeadline = (): void => {
      const atMs = performance.now()
      const overdue = this.#allocator.leaveOverdue(atMs - acquireTimeoutMs)
      const oldestMs = this.#allocator.oldestWaiterSinceMs()
      this.#deadline = oldestMs === undefined ? undefined : this.#awaitDeadline(oldestMs, atMs)
      this.#rejected += overdue.length
      for (const waiter of overdue) {
        const full = waiter instanceof CheckoutWaiter ? this.#connections.fullError(waiter.pool) : undefined
        waiter.reject(full ?? timeoutError(acquireTimeoutMs, this.#allocator.limits))
      }
      this.#tellChange()
    }
    // A timer may fire a fraction of a millisecond early.
    return setTimeout(onDeadline, Math.ceil(oldestSinceMs + acquireTimeoutMs - nowMs) + 1).unref()
  }

  #leave(key: string, waiter: Waiter<SessionClient, CheckoutPool>): boolean {
    const left = this.#allocator.leave(key, waiter)
    if (left) this.#tellChange()
    return left
  }

  /** Ends a deadlock. */
  #refuse({ tenant, waiter }: Stuck<SessionClient, CheckoutPool>): void {
    if (!this.#leave(tenant.key, waiter)) return
    this.#rejected += 1
    waiter.reject(nestedError(this.#allocator.limits))
  }

  /** Resolves when a connection is closed, or a try to open one, or a wait, has ended. */
  #nextChange(): Promise<void> {
    return new Promise((resolve) => this.#onChange.push(resolve))
  }

  #tellChange(): void {
    const listeners = this.#onChange
    this.#onChange = []
    for (const listener of listeners) listener()
  }

  /** For a use that left nothing as far as its statements tell: only code behind their names could have. */
  #mayDeferReset({ tenant }: Checkout): boolean {
    const { budget } = this.#allocator
    return budget.isCrowded && tenant.waiters.size === 0 && !this.#schemaEffects.isWorthAsking(tenant.key, false)
  }
}
