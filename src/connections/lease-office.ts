import { AsyncResource } from 'node:async_hooks'
import { channel } from 'node:diagnostics_channel'
import { isTenancyError, TenancyError } from '../core/errors.js'
import { Allocator, type Slot, type Waiter } from './allocator.js'
import { connectFailure, isRefusal } from './connection-errors.js'
import { HiddenCodes } from './hidden-codes.js'
import type { ConnectionSchedulerOptions, SchedulerStats } from './scheduler.js'
import type { SchedulerPool } from './scheduler-pool.js'
import { closeSession, openSession, type SessionClient } from './session-client.js'

/** A connection in the hands of a pool. */
export type Lease = Slot<SessionClient, SchedulerPool>

/** Told once: the lease, or why there is none. */
export type LeaseCallback = (error: Error | undefined, lease?: Lease) => void

const identityMismatch = channel('tenants2fast:connection:identity-mismatch')
const roleRestored = channel('tenants2fast:connection:role-restored')

/** How long an abandoned query and a reset may take before the connection is closed instead. */
export const settleTimeoutMs = 1000
const cancelIntervalMs = 50

/** Carries out what the {@link Allocator} decides: opens, proves, lends, restores and closes connections. */
export class LeaseOffice {
  readonly #options: Required<ConnectionSchedulerOptions>
  readonly #allocator: Allocator<SessionClient, SchedulerPool>
  /** Every lease with a connection. */
  readonly #open = new Set<Lease>()
  /**
   * Where connections are opened: a socket's events run in the context it was made in, and that must not be the request
   * that happened to need it. What nobody binds to a caller sees no tenant at all.
   */
  readonly #scope = new AsyncResource('tenants2fast.connections')
  readonly #hiddenCodes: HiddenCodes
  readonly #counters = { opened: 0, closed: 0, rejected: 0, identityMismatches: 0, rolesRestored: 0 }
  readonly #reaper: NodeJS.Timeout
  #onClosed: (() => void)[] = []
  #closing: Promise<void> | undefined
  #deadline: NodeJS.Timeout | undefined

  constructor(options: Required<ConnectionSchedulerOptions>) {
    this.#options = options
    this.#allocator = new Allocator(options, {
      open: (lease) => this.#scope.runInAsyncScope(() => void this.#openConnection(lease)),
      close: (lease) => void this.#closeConnection(lease),
    })
    this.#hiddenCodes = new HiddenCodes(options.logger)
    const { idleTimeoutMs } = options
    const reap = (): void => {
      const nowMs = performance.now()
      this.#allocator.reap(nowMs - idleTimeoutMs, nowMs)
      this.#hiddenCodes.forgetOld(nowMs)
    }
    this.#reaper = setInterval(reap, Math.max(10, Math.min(idleTimeoutMs / 4, 10_000))).unref()
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
    }
  }

  /** Connections and waiters of one tenant. */
  counts(key: string): { readonly total: number; readonly idle: number; readonly waiting: number } {
    const tenant = this.#allocator.tenants.get(key)
    if (tenant === undefined) return { total: 0, idle: 0, waiting: 0 }
    return { total: tenant.total, idle: tenant.idle.length, waiting: tenant.waiters.size }
  }

  /** The tenant's most recently used idle connection, at once, if there is one. */
  takeIdle(key: string): Lease | undefined {
    return this.#allocator.takeIdle(key, performance.now())
  }

  /** Calls `done` with a connection as soon as it is the caller's turn, never during this call. */
  wait(pool: SchedulerPool, givenSignal: AbortSignal | undefined, done: LeaseCallback): void {
    const signal = givenSignal ?? this.#options.currentSignal()
    if (this.#closing !== undefined) return queueMicrotask(() => done(closedError()))
    if (signal?.aborted === true) return queueMicrotask(() => done(abortedError(signal)))
    // Else it would run in the context of whoever gave the connection back.
    const waiter = new LeaseWaiter(performance.now(), AsyncResource.bind(done))
    if (!this.#allocator.enqueue(pool.key, pool, waiter, waiter.sinceMs)) {
      return queueMicrotask(() => done(this.#queueFullError(pool.key)))
    }
    this.#deadline ??= this.#awaitDeadline(waiter.sinceMs, waiter.sinceMs)
    if (signal !== undefined) this.#leaveOnAbort(pool.key, waiter, signal)
  }

  /** Takes a connection back; `broken` closes it, else it is handed on once its session is as it was. */
  giveBack(lease: Lease, broken: boolean): void {
    const client = lease.connection
    if (client === undefined || lease.state !== 'busy') return
    if (!client.usable || (broken && !client.running)) {
      this.#allocator.discard(lease)
      return
    }
    const nowMs = performance.now()
    if (
      broken ||
      client.touched ||
      !client.ready ||
      client.getTransactionStatus() !== 'I' ||
      !this.#hiddenCodes.isCurrent(lease.tenant.key, client, nowMs)
    ) {
      // To clean what is closed next is work for nobody.
      if (client.ready && this.#allocator.giveWay(lease, nowMs)) return
      void this.#restore(lease, client, broken)
    } else {
      this.#allocator.release(lease, nowMs)
    }
  }

  /** Closes the tenant's connections: idle ones now, others when they come back. */
  evict(key: string): void {
    this.#hiddenCodes.forget(key)
    this.#allocator.evict(key)
  }

  /** Evicts; resolves when the tenant has no connection left. */
  async retire(key: string): Promise<void> {
    this.evict(key)
    while ((this.#allocator.tenants.get(key)?.total ?? 0) > 0) await this.#nextClosed()
  }

  /** Turns away who waits and closes all connections, those still in use after `timeoutMs` by force. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#drain(timeoutMs)
    return this.#closing
  }

  async #drain(timeoutMs: number): Promise<void> {
    clearInterval(this.#reaper)
    clearTimeout(this.#deadline)
    const waiters = this.#allocator.drain()
    for (const waiter of waiters) waiter.reject(closedError())
    const force = setTimeout(() => {
      for (const { connection } of this.#open) {
        if (connection?.running === true) void connection.cancel()
        connection?.destroy()
      }
    }, timeoutMs)
    while (this.#allocator.total > 0) await this.#nextClosed()
    clearTimeout(force)
  }

  /** One timer for all: it waits for the waiter that is the oldest now. */
  #awaitDeadline(oldestSinceMs: number, nowMs: number): NodeJS.Timeout {
    const onDeadline = (): void => {
      const atMs = performance.now()
      const overdue = this.#allocator.leaveOverdue(atMs - this.#options.acquireTimeoutMs)
      const oldestMs = this.#allocator.oldestWaiterSinceMs()
      this.#deadline = oldestMs === undefined ? undefined : this.#awaitDeadline(oldestMs, atMs)
      for (const waiter of overdue) waiter.reject(this.#timeoutError())
    }
    // A timer may fire a fraction of a millisecond early.
    return setTimeout(onDeadline, Math.ceil(oldestSinceMs + this.#options.acquireTimeoutMs - nowMs) + 1).unref()
  }

  #leaveOnAbort(key: string, waiter: LeaseWaiter, signal: AbortSignal): void {
    const onAbort = (): void => {
      if (this.#allocator.leave(key, waiter)) waiter.reject(abortedError(signal))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    waiter.onSettled = () => signal.removeEventListener('abort', onAbort)
  }

  #nextClosed(): Promise<void> {
    return new Promise((resolve) => this.#onClosed.push(resolve))
  }

  async #openConnection(lease: Lease): Promise<void> {
    const pool = lease.tenant.owner
    try {
      if (pool === undefined) throw new TypeError('A tenant with waiters has a pool')
      const client = await this.#connect(pool)
      this.#counters.opened += 1
      this.#open.add(lease)
      this.#hiddenCodes.tell(lease.tenant.key, client, performance.now())
      lease.expiresAtMs = performance.now() + this.#options.connectionLifetimeMs * (0.9 + Math.random() * 0.2)
      client.onLost = (error) => this.#lost(lease, client, pool, error)
      client.once('end', () => this.#ended(lease, client, pool))
      pool.emit('connect', client)
      this.#allocator.opened(lease, client, performance.now())
    } catch (cause) {
      const error = connectFailure(cause)
      if (isTenancyError(error, 'TENANCY_DATABASE_IDENTITY_MISMATCH')) this.#alarm(lease, error)
      this.#allocator.openFailed(lease, performance.now())?.reject(error)
      this.#tellClosed()
    }
  }

  async #connect(pool: SchedulerPool): Promise<SessionClient> {
    const { acquireTimeoutMs: timeoutMs, clientConfig, prepareStatements } = this.#options
    const target = await beforeDeadline(pool.resolveTarget(), timeoutMs)
    const open = () => openSession(target, clientConfig, { timeoutMs, prepareStatements })
    try {
      return await open()
    } catch (error) {
      if (!isRefusal(error) || !(await this.#restoreRole(pool.key))) throw error
      return open()
    }
  }

  /** A role can lock its tenant out, or change its future connections; whoever may run SQL as it may be an attacker. */
  async #restoreRole(key: string): Promise<boolean> {
    const changes = await this.#options.restoreRole(key).catch(() => [])
    if (changes.length === 0) return false
    this.#counters.rolesRestored += 1
    const message = `The role of a tenant database had changed its own ${changes.join(', ')}; it was restored`
    this.#options.logger.error({ tenant: key, changes }, message)
    roleRestored.publish({ tenant: key, changes })
    return true
  }

  #alarm(lease: Lease, error: TenancyError): void {
    this.#counters.identityMismatches += 1
    this.#options.logger.error({ tenant: lease.tenant.key, code: error.code }, error.message)
    identityMismatch.publish({ tenant: lease.tenant.key, error })
  }

  async #closeConnection(lease: Lease): Promise<void> {
    if (lease.connection !== undefined) await closeSession(lease.connection)
  }

  #lost(lease: Lease, client: SessionClient, pool: SchedulerPool, error: Error): void {
    if (lease.state === 'idle') {
      if (pool.listenerCount('error') > 0) pool.emit('error', error, client)
      else this.#options.logger.warn({ tenant: pool.key }, 'An idle tenant connection was lost')
    }
    this.#allocator.discard(lease)
  }

  #ended(lease: Lease, client: SessionClient, pool: SchedulerPool): void {
    this.#counters.closed += 1
    this.#open.delete(lease)
    this.#allocator.closed(lease, performance.now())
    pool.emit('remove', client)
    this.#tellClosed()
  }

  #tellClosed(): void {
    const listeners = this.#onClosed
    this.#onClosed = []
    for (const listener of listeners) listener()
  }

  /** Lets the session settle and undoes what was done to it, before anybody else gets it. */
  async #restore(lease: Lease, client: SessionClient, broken: boolean): Promise<void> {
    const patience = setTimeout(() => this.#allocator.discard(lease), settleTimeoutMs)
    const abandoned = client.running
    if (!abandoned && !broken) this.#allocator.announceReturn(lease)
    const settled = abandoned ? await this.#stop(client) : client.ready || (await client.settled())
    const { key } = lease.tenant
    const known = this.#hiddenCodes.isCurrent(key, client, performance.now())
    const dirty = abandoned || client.touched || client.getTransactionStatus() !== 'I' || !known
    const reset = settled && !broken && client.usable && (!dirty || (await client.reset()))
    const clean = reset && (known || (await this.#hiddenCodes.learn(key, client)))
    clearTimeout(patience)
    if (clean) this.#allocator.release(lease, performance.now())
    else this.#allocator.discard(lease)
  }

  /** Cancels until nothing runs: a request that is quicker than the query that it is to stop finds nothing to stop. */
  async #stop(client: SessionClient): Promise<boolean> {
    client.endPortal()
    const requests = [client.cancel()]
    const again = setInterval(() => requests.push(client.cancel()), cancelIntervalMs)
    const settled = await client.settled()
    clearInterval(again)
    await Promise.all(requests)
    return settled
  }

  #timeoutError(): TenancyError {
    this.#counters.rejected += 1
    const { acquireTimeoutMs, maxConnections, maxConnectionsPerTenant } = this.#options
    return new TenancyError(
      'TENANCY_CONNECTION_TIMEOUT',
      `No connection within ${acquireTimeoutMs} ms (at most ${maxConnectionsPerTenant} for one tenant, ` +
        `${maxConnections} for all): try again later, or release connections earlier`,
    )
  }

  #queueFullError(key: string): TenancyError {
    this.#counters.rejected += 1
    return new TenancyError(
      'TENANCY_CONNECTION_QUEUE_FULL',
      `${this.#options.maxWaitersPerTenant} callers of tenant ${key} already wait for a connection: try again later`,
    )
  }
}

/** A caller in the queue. */
class LeaseWaiter implements Waiter<SessionClient, SchedulerPool> {
  readonly sinceMs: number
  onSettled: (() => void) | undefined
  readonly #done: LeaseCallback

  constructor(sinceMs: number, done: LeaseCallback) {
    this.sinceMs = sinceMs
    this.#done = done
  }

  grant(lease: Lease): void {
    this.onSettled?.()
    this.#done(undefined, lease)
  }

  reject(error: Error): void {
    this.onSettled?.()
    this.#done(error)
  }
}

function closedError(): TenancyError {
  return new TenancyError('TENANCY_CLOSED', 'The connection scheduler is closed')
}

function abortedError(signal: AbortSignal | undefined): TenancyError {
  const message = 'The caller gave up while it waited for a connection'
  return new TenancyError('TENANCY_CONNECTION_ABORTED', message, { cause: signal?.reason })
}

async function beforeDeadline<Value>(work: Promise<Value>, timeoutMs: number): Promise<Value> {
  let deadline: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    const message = `The tenant’s database was not known within ${timeoutMs} ms`
    deadline = setTimeout(() => reject(new TenancyError('TENANCY_DATABASE_UNAVAILABLE', message)), timeoutMs)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(deadline)
  }
}
