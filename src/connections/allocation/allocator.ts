import { ConnectionBudget } from './connection-budget.js'
import { IdleConnections } from './idle-connections.js'
import type { AllocatorEffects, AllocatorLimits, PoolEntry, TenantQueue, Waiter } from './ports.js'
import { TenantQueues } from './tenant-queues.js'

/** In a smaller budget, a place that is kept free is more than a tenth of it. */
const minBudgetWithFreePlace = 10
/** Requests lately for all connections of a tenant at once: of one that is asked for less, a connection is not missed. */
const hardlyAskedFor = 1

/**
 * Decides who gets which connection. It does no I/O and is told the time, so it can be tested and simulated.
 *
 * - A request takes its tenant's most recently used idle connection.
 * - Without one, a new connection is opened while the budget lasts.
 * - Then, unless the tenant is being served already, the idle connection that is missed least is closed for it. That
 *   is the one whose tenant was asked for least often lately while its other connections were in use.
 * - While most of a used-up budget is idle, one that is hardly missed is closed ahead of need.
 * - Otherwise the request waits. Of one tenant's waiters, those that hold a connection already come first.
 *
 * A connection that comes back serves its tenant's own waiters until a waiter of another tenant has waited `affinityMs`.
 * Then tenants take turns by deficit round robin, charged in connection-milliseconds, the time to open included. A
 * connection that was just opened serves its tenant once, even if others wait: it has been paid for. A tenant without a
 * connection that has waited `starvationMs` comes first, whatever it owes.
 */
export class Allocator<Connection, Owner = undefined> {
  readonly limits: AllocatorLimits
  readonly budget: ConnectionBudget<Connection, Owner>
  /** While the server has no room for any tenant, nothing is opened before `heldUntilMs`. */
  readonly server = { heldUntilMs: 0, deferrals: 0 }
  readonly #effects: AllocatorEffects<Connection, Owner>
  readonly #idle: IdleConnections<Connection, Owner>
  readonly #queues: TenantQueues<Connection, Owner>
  #draining = false
  #isReminding = false

  constructor(limits: AllocatorLimits, effects: AllocatorEffects<Connection, Owner>) {
    this.limits = limits
    this.budget = new ConnectionBudget(limits)
    this.#effects = effects
    this.#queues = new TenantQueues(limits)
    this.#idle = new IdleConnections(limits.maxConnections)
  }

  get idle(): number {
    return this.#idle.size
  }

  get waiting(): number {
    return this.#queues.waiting
  }

  /** Tenants that have a connection or a waiter, by key. */
  get tenants(): ReadonlyMap<string, TenantQueue<Connection, Owner>> {
    return this.#queues.byKey
  }

  /** Takes the tenant's most recently used idle connection, if it has one. */
  takeIdle(key: string, nowMs: number): PoolEntry<Connection, Owner> | undefined {
    const tenant = this.#queues.byKey.get(key)
    this.#idle.countRequest(key, tenant)
    const entry = tenant && this.#idle.take(tenant)
    if (entry === undefined) return undefined
    this.#lend(entry, nowMs)
    return entry
  }

  /** Takes an idle connection out for upkeep, not for a caller; `release` brings it back. False: it is not idle. */
  takeOut(entry: PoolEntry<Connection, Owner>, nowMs: number): boolean {
    if (entry.state !== 'idle') return false
    this.#idle.remove(entry)
    entry.state = 'busy'
    entry.sinceMs = nowMs
    entry.chargedMs = 0
    return true
  }

  /** Queues a waiter, which is granted a connection after this call at the earliest. False: the queue is full. */
  enqueue(key: string, owner: Owner, waiter: Waiter<Connection, Owner>, nowMs: number): boolean {
    const tenant = this.#queues.of(key)
    tenant.owner = owner
    if (tenant.waiters.size >= this.limits.maxWaitersPerTenant) {
      this.#queues.forgetIfEmpty(tenant)
      return false
    }
    this.#queues.push(tenant, waiter, waiter.holder !== undefined && this.#holds(waiter.holder), nowMs)
    const heldMs = Math.max(tenant.heldUntilMs, this.server.heldUntilMs) - nowMs
    if (heldMs > 0 && tenant.waiters.size === 1) this.#remindAfter(heldMs)
    if (this.#needsConnection(tenant, nowMs)) this.#openWherePossible(nowMs)
    else if (this.#awaitsOwnConnection(tenant, nowMs)) this.#remind()
    return true
  }

  /** Looks again at the tenants that wait for their own connections. Call it when `effects.remind` asks for it. */
  reconsider(nowMs: number): void {
    this.#isReminding = false
    this.#openWherePossible(nowMs)
    for (const tenant of this.#queues.contenders) if (this.#awaitsOwnConnection(tenant, nowMs)) return this.#remind()
  }

  /** Takes a waiter out of its queue. False: it was no longer in it. */
  leave(key: string, waiter: Waiter<Connection, Owner>): boolean {
    return this.#queues.remove(key, waiter)
  }

  /** Takes out the waiters that have waited since `sinceMs` or longer; the caller rejects them. */
  leaveOverdue(sinceMs: number): Waiter<Connection, Owner>[] {
    return this.#queues.takeOverdue(sinceMs)
  }

  /** When the oldest waiter of all began to wait. */
  oldestWaiterSinceMs(): number | undefined {
    return this.#queues.oldestSinceMs
  }

  /** A connection that the allocator asked for is open. */
  opened(entry: PoolEntry<Connection, Owner>, connection: Connection, nowMs: number): void {
    entry.connection = connection
    entry.tenant.deferrals = 0
    this.server.deferrals = 0
    this.#connectEnded(entry, nowMs)
    entry.state = 'busy'
    entry.sinceMs = nowMs
    if (entry.tenant.waiters.size > 0 && this.#isFit(entry)) this.#grant(entry, nowMs)
    else this.#place(entry, nowMs)
    this.#openWherePossible(nowMs)
  }

  /** Frees the place in the budget. Takes out the tenant's next waiter and returns it; the caller rejects it. */
  openFailed(entry: PoolEntry<Connection, Owner>, nowMs: number): Waiter<Connection, Owner> | undefined {
    const { tenant } = entry
    this.#connectEnded(entry, nowMs)
    const waiter = this.#queues.shift(tenant)
    this.#vacate(entry, nowMs)
    return waiter
  }

  /**
   * Frees the place in the budget and lets the tenant's waiters wait on: the server has no room for `scope`, and is asked
   * again at `untilMs`. Meanwhile connections that come back serve them.
   */
  openDeferred(entry: PoolEntry<Connection, Owner>, scope: 'tenant' | 'server', untilMs: number, nowMs: number): void {
    const { tenant } = entry
    this.#connectEnded(entry, nowMs)
    const held = scope === 'server' ? this.server : tenant
    // Tries that were under way together count as one.
    if (nowMs >= held.heldUntilMs) held.deferrals += 1
    held.heldUntilMs = Math.max(held.heldUntilMs, untilMs)
    this.#vacate(entry, nowMs)
    if (this.waiting > 0) this.#remindAfter(untilMs - nowMs)
  }

  /** Closes a busy connection if it would be closed for another tenant soon after its release. False: it is kept. */
  closeForAnotherTenant(entry: PoolEntry<Connection, Owner>, nowMs: number): boolean {
    if (entry.state !== 'busy' || entry.tenant.waiters.size > 0) return false
    if (this.waiting === 0 || !this.budget.isUsedUp) return false
    const victim = this.#idle.victim()
    if (victim !== undefined && this.#idle.worthOf(victim) < this.#idle.worthOf(entry)) return false
    const isNow = this.budget.mayConnect
    if (!isNow && this.budget.isVacating) return false
    const next = this.#next(nowMs)
    if (next === undefined) return false
    entry.holder = undefined
    this.#queues.roundRobin.settle(entry.tenant, entry.sinceMs, nowMs, entry.chargedMs)
    if (isNow) this.#replace(entry, next, nowMs)
    else this.discard(entry)
    return true
  }

  /** Says that a busy connection will be released in less time than it takes to open another one. */
  announceReturn(entry: PoolEntry<Connection, Owner>): void {
    if (entry.state !== 'busy' || entry.returning) return
    entry.returning = true
    entry.tenant.returning += 1
  }

  /** Takes back a connection that is fit for another use. */
  release(entry: PoolEntry<Connection, Owner>, nowMs: number): void {
    if (entry.state !== 'busy') return
    entry.holder = undefined
    this.#hasReturned(entry)
    this.#queues.roundRobin.settle(entry.tenant, entry.sinceMs, nowMs, entry.chargedMs)
    if (entry.expiresAtMs <= nowMs) this.discard(entry)
    else this.#place(entry, nowMs)
  }

  /** Closes an idle or busy connection. It counts until `closed` is reported. */
  discard(entry: PoolEntry<Connection, Owner>): void {
    if (entry.state !== 'idle' && entry.state !== 'busy') return
    if (entry.state === 'idle') this.#idle.remove(entry)
    this.#hasReturned(entry)
    entry.state = 'closing'
    this.#effects.close(entry)
  }

  /** The server has let go of the connection, asked for or not. */
  closed(entry: PoolEntry<Connection, Owner>, nowMs: number): void {
    if (entry.state === 'closed' || entry.state === 'opening' || entry.state === 'reserved') return
    if (entry.state === 'idle') this.#idle.remove(entry)
    this.#vacate(entry, nowMs)
  }

  /** Closes the tenant's connections: idle ones now, those in use or being opened when they come back. */
  disconnect(key: string): void {
    const tenant = this.#queues.byKey.get(key)
    if (tenant === undefined) return
    tenant.generation += 1
    for (const entry of [...tenant.idle]) this.discard(entry)
  }

  /** Closes every connection, now or when it comes back. Returns the waiters; the caller rejects them. */
  drain(): Waiter<Connection, Owner>[] {
    this.#draining = true
    const waiters = this.#queues.takeAll()
    for (const entry of [...this.#idle]) this.discard(entry)
    return waiters
  }

  /** Closes connections that have been idle since before `idleSinceMs` or are past their lifetime. */
  reap(idleSinceMs: number, nowMs: number): void {
    for (const entry of [...this.#idle]) {
      if (entry.sinceMs <= idleSinceMs || entry.expiresAtMs <= nowMs) this.discard(entry)
    }
  }

  #holds(holder: object): boolean {
    for (const entry of this.budget.entries) if (entry.holder === holder && entry.state === 'busy') return true
    return false
  }

  #lend(entry: PoolEntry<Connection, Owner>, nowMs: number): void {
    entry.state = 'busy'
    entry.sinceMs = nowMs
    entry.chargedMs = this.#queues.roundRobin.advance(entry.tenant)
  }

  #isFit(entry: PoolEntry<Connection, Owner>): boolean {
    return !this.#draining && entry.generation === entry.tenant.generation
  }

  /** Finds the next use of an open connection that nobody has. */
  #place(entry: PoolEntry<Connection, Owner>, nowMs: number): void {
    const { tenant } = entry
    if (!this.#isFit(entry)) {
      this.discard(entry)
    } else if (tenant.waiters.size === 0) {
      entry.state = 'idle'
      entry.sinceMs = nowMs
      this.#idle.add(entry)
      this.#openWherePossible(nowMs)
      this.#makeRoom(entry)
    } else {
      const next = this.#hasToYield(tenant, nowMs) ? this.#next(nowMs, tenant) : tenant
      if (next === undefined || next === tenant) this.#grant(entry, nowMs)
      else this.#replace(entry, next, nowMs)
    }
  }

  #grant(entry: PoolEntry<Connection, Owner>, nowMs: number): void {
    entry.tenant.progressAtMs = nowMs
    this.#lend(entry, nowMs)
    this.#queues.shift(entry.tenant)?.grant(entry)
  }

  /** Whether the tenant's turn is over, and another one that needs a connection has waited too long. */
  #hasToYield(tenant: TenantQueue<Connection, Owner>, nowMs: number): boolean {
    if (tenant.creditMs > 0 || !this.budget.mayConnect) return false
    for (const other of this.#queues.contenders) {
      if (other === tenant || !this.#needsConnection(other, nowMs)) continue
      if (nowMs - other.waiters.oldestSinceMs >= this.limits.affinityMs) return true
    }
    return false
  }

  /** The tenant whose turn it is: among those that need a connection, and `holder`, which has one to give. */
  #next(nowMs: number, holder?: TenantQueue<Connection, Owner>): TenantQueue<Connection, Owner> | undefined {
    return this.#queues.next(nowMs, (tenant) => tenant === holder || this.#needsConnection(tenant, nowMs))
  }

  #needsConnection(tenant: TenantQueue<Connection, Owner>, nowMs: number): boolean {
    return (
      tenant.waiters.size > tenant.opening + tenant.returning &&
      tenant.total < this.limits.maxConnectionsPerTenant &&
      nowMs >= tenant.heldUntilMs &&
      nowMs >= this.server.heldUntilMs &&
      !this.#awaitsOwnConnection(tenant, nowMs)
    )
  }

  /**
   * While the budget is used up, a tenant that has a connection, or gets one, waits a moment before another tenant's is
   * closed for it. Most of the time its own comes back sooner than a new one opens.
   */
  #awaitsOwnConnection(tenant: TenantQueue<Connection, Owner>, nowMs: number): boolean {
    if (tenant.total === 0 || !this.budget.isCrowded) return false
    return tenant.opening > 0 || nowMs - tenant.progressAtMs < this.limits.ownConnectionWaitMs
  }

  /** The wait for an own connection may end without any other event. */
  #remind(): void {
    if (this.#isReminding || this.#draining) return
    this.#isReminding = true
    this.#effects.remind(this.limits.ownConnectionWaitMs)
  }

  #remindAfter(heldMs: number): void {
    // A timer may fire a fraction of a millisecond early.
    this.#effects.remind(Math.ceil(heldMs) + 1)
  }

  #openWherePossible(nowMs: number): void {
    while (!this.#draining && this.waiting > 0 && this.budget.mayConnect) {
      const victim = this.budget.isUsedUp ? this.#idle.victim() : undefined
      if (victim === undefined && this.budget.isUsedUp) return
      const tenant = this.#next(nowMs)
      if (tenant === undefined) return
      if (victim === undefined) this.#open(this.budget.reserve(tenant, nowMs), nowMs)
      else this.#replace(victim, tenant, nowMs)
    }
  }

  /**
   * Closes a connection ahead of need when the budget is used up and most of it is idle: a tenant that comes then need not
   * wait until the server has let go of another's connection. Only a tenant that is hardly asked for loses its connection.
   *
   * @param returned the connection that was used last, which is kept
   */
  #makeRoom(returned: PoolEntry<Connection, Owner>): void {
    const { maxConnections } = this.limits
    if (this.#draining || maxConnections < minBudgetWithFreePlace) return
    if (!this.budget.isUsedUp || this.idle * 2 <= maxConnections) return
    for (const { state } of this.budget.entries) if (state === 'closing') return
    const victim = this.#idle.victim()
    if (victim === undefined || victim === returned || this.#idle.worthOf(victim) > hardlyAskedFor) return
    this.budget.evictions += 1
    this.discard(victim)
  }

  #replace(victim: PoolEntry<Connection, Owner>, tenant: TenantQueue<Connection, Owner>, nowMs: number): void {
    this.budget.evictions += 1
    victim.successor = this.budget.reserve(tenant, nowMs)
    this.discard(victim)
  }

  #open(reserved: PoolEntry<Connection, Owner>, nowMs: number): void {
    this.budget.add(reserved, nowMs)
    this.#effects.open(reserved)
  }

  #connectEnded(entry: PoolEntry<Connection, Owner>, nowMs: number): void {
    this.budget.connectEnded(entry)
    this.#queues.roundRobin.pay(entry.tenant, nowMs - entry.sinceMs)
  }

  #vacate(entry: PoolEntry<Connection, Owner>, nowMs: number): void {
    this.#hasReturned(entry)
    const successor = this.budget.remove(entry)
    this.#queues.forgetIfEmpty(entry.tenant)
    if (successor !== undefined) {
      const { tenant } = successor
      if (!this.#draining && tenant.waiters.size >= tenant.opening) {
        this.#open(successor, nowMs)
      } else {
        this.budget.cancel(successor)
        this.#queues.forgetIfEmpty(tenant)
      }
    }
    this.#openWherePossible(nowMs)
  }

  #hasReturned(entry: PoolEntry<Connection, Owner>): void {
    if (!entry.returning) return
    entry.returning = false
    entry.tenant.returning -= 1
  }
}
