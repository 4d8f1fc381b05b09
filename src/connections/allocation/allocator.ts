import type { AllocatorEffects, AllocatorLimits, Slot, TenantQueue, Waiter } from './ports.js'
import { IdleConnections } from './idle-connections.js'
import { TenantQueues } from './tenant-queues.js'

/**
 * Decides who gets which connection; does no I/O and has no clock of its own, so it can be tested and simulated.
 *
 * Who asks gets the tenant's most recently used idle connection; else a new one while the budget lasts; else, unless the
 * tenant is being served already, one in place of the idle connection of all that is missed least: whose tenant was
 * asked for least often lately while its others were in use. Else it waits, those who hold a connection already before
 * the others. A connection that comes back serves its tenant's own waiters until another tenant's has waited `affinityMs`;
 * then turns are shared by deficit round robin, charged in connection-milliseconds, the time to open included. A
 * connection that was just opened serves its tenant once, whoever waits: it has been paid for. Who has none and has waited
 * `starvationMs` comes first, whatever it owes.
 */
export class Allocator<Connection, Owner = undefined> {
  opening = 0
  evicted = 0
  /** The budget has been used up, and not half of it has come free since. */
  isCrowded = false
  /** Every place that is taken in the budget. */
  readonly slots = new Set<Slot<Connection, Owner>>()
  readonly limits: AllocatorLimits
  readonly #effects: AllocatorEffects<Connection, Owner>
  readonly #idle: IdleConnections<Connection, Owner>
  readonly #queues: TenantQueues<Connection, Owner>
  /** The server has no room for anybody: nothing is opened before. */
  readonly server = { heldUntilMs: 0, deferrals: 0 }
  #draining = false
  #isReminding = false

  constructor(limits: AllocatorLimits, effects: AllocatorEffects<Connection, Owner>) {
    this.limits = limits
    this.#effects = effects
    this.#queues = new TenantQueues(limits)
    this.#idle = new IdleConnections(limits.maxConnections)
  }

  /** Places of the budget that are taken. */
  get total(): number {
    return this.slots.size
  }

  get idle(): number {
    return this.#idle.size
  }

  get waiting(): number {
    return this.#queues.waiting
  }

  /** By key, those that have a connection or a waiter. */
  get tenants(): ReadonlyMap<string, TenantQueue<Connection, Owner>> {
    return this.#queues.byKey
  }

  /** Takes the tenant's most recently used idle connection, if it has one. */
  takeIdle(key: string, nowMs: number): Slot<Connection, Owner> | undefined {
    const tenant = this.#queues.byKey.get(key)
    this.#idle.countRequest(key, tenant)
    const slot = tenant && this.#idle.take(tenant)
    if (slot === undefined) return undefined
    this.#lend(slot, nowMs)
    return slot
  }

  /** Takes an idle connection out for upkeep, not for a user; `release` brings it back. False: it is not idle. */
  takeOut(slot: Slot<Connection, Owner>, nowMs: number): boolean {
    if (slot.state !== 'idle') return false
    this.#idle.remove(slot)
    slot.state = 'busy'
    slot.sinceMs = nowMs
    slot.chargedMs = 0
    return true
  }

  /** Queues a waiter; it may be granted a connection later, never during this call. False: the queue is full. */
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
    else if (this.#isPatient(tenant, nowMs)) this.#remind()
    return true
  }

  /** Looks again at those who were told to be patient: call it when `effects.remind` says. */
  reconsider(nowMs: number): void {
    this.#isReminding = false
    this.#openWherePossible(nowMs)
    for (const tenant of this.#queues.contenders) if (this.#isPatient(tenant, nowMs)) return this.#remind()
  }

  /** Takes a waiter out of its queue. False: it was not in it any more. */
  leave(key: string, waiter: Waiter<Connection, Owner>): boolean {
    return this.#queues.remove(key, waiter)
  }

  /** Takes out everybody who has waited since `sinceMs` or longer, to be told so. */
  leaveOverdue(sinceMs: number): Waiter<Connection, Owner>[] {
    return this.#queues.takeOverdue(sinceMs)
  }

  /** Since when the oldest waiter of all has waited. */
  oldestWaiterSinceMs(): number | undefined {
    return this.#queues.oldestSinceMs
  }

  opened(slot: Slot<Connection, Owner>, connection: Connection, nowMs: number): void {
    slot.connection = connection
    slot.tenant.deferrals = 0
    this.server.deferrals = 0
    this.#openingEnded(slot, nowMs)
    slot.state = 'busy'
    slot.sinceMs = nowMs
    if (slot.tenant.waiters.size > 0 && this.#isFit(slot)) this.#grant(slot, nowMs)
    else this.#place(slot, nowMs)
    this.#openWherePossible(nowMs)
  }

  /** Gives the slot back; the tenant's oldest waiter is taken out of the queue and returned, to be told why. */
  openFailed(slot: Slot<Connection, Owner>, nowMs: number): Waiter<Connection, Owner> | undefined {
    const { tenant } = slot
    this.#openingEnded(slot, nowMs)
    const waiter = this.#queues.shift(tenant)
    this.#vacate(slot, nowMs)
    return waiter
  }

  /**
   * Gives the slot back and lets its tenant's waiters wait on: the server has no room, for `scope`, and may have some at
   * `untilMs`. Meanwhile connections that come back serve them.
   */
  openDeferred(slot: Slot<Connection, Owner>, scope: 'tenant' | 'server', untilMs: number, nowMs: number): void {
    const { tenant } = slot
    this.#openingEnded(slot, nowMs)
    const held = scope === 'server' ? this.server : tenant
    // Tries that were under way together count as one.
    if (nowMs >= held.heldUntilMs) held.deferrals += 1
    held.heldUntilMs = Math.max(held.heldUntilMs, untilMs)
    this.#vacate(slot, nowMs)
    if (this.waiting > 0) this.#remindAfter(untilMs - nowMs)
  }

  /** Closes a busy connection that would be closed for another tenant soon after its release. False: it would not. */
  giveWay(slot: Slot<Connection, Owner>, nowMs: number): boolean {
    if (slot.state !== 'busy' || slot.tenant.waiters.size > 0) return false
    if (this.waiting === 0 || this.total < this.limits.maxConnections) return false
    const victim = this.#idle.victim()
    if (victim !== undefined && this.#idle.worthOf(victim) < this.#idle.worthOf(slot)) return false
    const isNow = this.opening < this.limits.maxConcurrentConnects
    if (!isNow && this.#vacating >= this.limits.maxConcurrentConnects) return false
    const next = this.#next(nowMs)
    if (next === undefined) return false
    slot.holder = undefined
    this.#queues.turns.settle(slot.tenant, slot.sinceMs, nowMs, slot.chargedMs)
    if (isNow) this.#replace(slot, next, nowMs)
    else this.discard(slot)
    return true
  }

  /** Places that will be free in a moment, for nobody in particular. */
  get #vacating(): number {
    let count = 0
    for (const slot of this.slots) if (slot.state === 'closing' && slot.successor === undefined) count += 1
    return count
  }

  /** Says that a busy connection will be released in less time than it takes to open another one. */
  announceReturn(slot: Slot<Connection, Owner>): void {
    if (slot.state !== 'busy' || slot.returning) return
    slot.returning = true
    slot.tenant.returning += 1
  }

  /** Takes back a connection that is fit for another use. */
  release(slot: Slot<Connection, Owner>, nowMs: number): void {
    if (slot.state !== 'busy') return
    slot.holder = undefined
    this.#hasReturned(slot)
    this.#queues.turns.settle(slot.tenant, slot.sinceMs, nowMs, slot.chargedMs)
    if (slot.expiresAtMs <= nowMs) this.discard(slot)
    else this.#place(slot, nowMs)
  }

  /** Closes an idle or busy connection; its slot is free once `closed` is reported. */
  discard(slot: Slot<Connection, Owner>): void {
    if (slot.state !== 'idle' && slot.state !== 'busy') return
    if (slot.state === 'idle') this.#idle.remove(slot)
    this.#hasReturned(slot)
    slot.state = 'closing'
    this.#effects.close(slot)
  }

  /** The server has let go of the connection, asked for or not. */
  closed(slot: Slot<Connection, Owner>, nowMs: number): void {
    if (slot.state === 'closed' || slot.state === 'opening' || slot.state === 'reserved') return
    if (slot.state === 'idle') this.#idle.remove(slot)
    this.#vacate(slot, nowMs)
  }

  /** Closes the tenant's connections: idle ones now, those in use or being opened when they come back. */
  evict(key: string): void {
    const tenant = this.#queues.byKey.get(key)
    if (tenant === undefined) return
    tenant.generation += 1
    for (const slot of [...tenant.idle]) this.discard(slot)
  }

  /** Closes everything, now or when it comes back; returns the waiters, to be told so. */
  drain(): Waiter<Connection, Owner>[] {
    this.#draining = true
    const waiters = this.#queues.takeAll()
    for (const slot of [...this.#idle]) this.discard(slot)
    return waiters
  }

  /** Closes what has been idle since before `idleSinceMs` or is past its lifetime. */
  reap(idleSinceMs: number, nowMs: number): void {
    for (const slot of [...this.#idle]) {
      if (slot.sinceMs <= idleSinceMs || slot.expiresAtMs <= nowMs) this.discard(slot)
    }
  }

  #holds(holder: object): boolean {
    for (const slot of this.slots) if (slot.holder === holder && slot.state === 'busy') return true
    return false
  }

  #lend(slot: Slot<Connection, Owner>, nowMs: number): void {
    slot.state = 'busy'
    slot.sinceMs = nowMs
    slot.chargedMs = this.#queues.turns.advance(slot.tenant)
  }

  #isFit(slot: Slot<Connection, Owner>): boolean {
    return !this.#draining && slot.generation === slot.tenant.generation
  }

  /** Finds the next use of a connection that is open and in nobody's hands. */
  #place(slot: Slot<Connection, Owner>, nowMs: number): void {
    const { tenant } = slot
    if (!this.#isFit(slot)) {
      this.discard(slot)
    } else if (tenant.waiters.size === 0) {
      slot.state = 'idle'
      slot.sinceMs = nowMs
      this.#idle.add(slot)
      this.#openWherePossible(nowMs)
    } else {
      const next = this.#hasToYield(tenant, nowMs) ? this.#next(nowMs, tenant) : tenant
      if (next === undefined || next === tenant) this.#grant(slot, nowMs)
      else this.#replace(slot, next, nowMs)
    }
  }

  #grant(slot: Slot<Connection, Owner>, nowMs: number): void {
    slot.tenant.progressAtMs = nowMs
    this.#lend(slot, nowMs)
    this.#queues.shift(slot.tenant)?.grant(slot)
  }

  /** Whether the tenant's turn is over and another one, that a connection would help, has waited too long. */
  #hasToYield(tenant: TenantQueue<Connection, Owner>, nowMs: number): boolean {
    if (tenant.creditMs > 0 || this.opening >= this.limits.maxConcurrentConnects) return false
    for (const other of this.#queues.contenders) {
      if (other === tenant || !this.#needsConnection(other, nowMs)) continue
      if (nowMs - other.waiters.oldestSinceMs >= this.limits.affinityMs) return true
    }
    return false
  }

  /** Whose turn it is among those that need a connection, and `holder`, who has one to give. */
  #next(nowMs: number, holder?: TenantQueue<Connection, Owner>): TenantQueue<Connection, Owner> | undefined {
    return this.#queues.next(nowMs, (tenant) => tenant === holder || this.#needsConnection(tenant, nowMs))
  }

  #needsConnection(tenant: TenantQueue<Connection, Owner>, nowMs: number): boolean {
    return (
      tenant.waiters.size > tenant.opening + tenant.returning &&
      tenant.total < this.limits.maxConnectionsPerTenant &&
      nowMs >= tenant.heldUntilMs &&
      nowMs >= this.server.heldUntilMs &&
      !this.#isPatient(tenant, nowMs)
    )
  }

  /**
   * A tenant that has a connection, or gets one, waits a moment before another one is closed for it: most of the time
   * its own comes back sooner than a new one opens.
   */
  #isPatient(tenant: TenantQueue<Connection, Owner>, nowMs: number): boolean {
    if (tenant.total === 0 || !this.isCrowded) return false
    return tenant.opening > 0 || nowMs - tenant.progressAtMs < this.limits.patienceMs
  }

  /** Patience may end without anything happening. */
  #remind(): void {
    if (this.#isReminding || this.#draining) return
    this.#isReminding = true
    this.#effects.remind(this.limits.patienceMs)
  }

  #remindAfter(heldMs: number): void {
    // A timer may fire a fraction of a millisecond early.
    this.#effects.remind(Math.ceil(heldMs) + 1)
  }

  #openWherePossible(nowMs: number): void {
    while (!this.#draining && this.waiting > 0 && this.opening < this.limits.maxConcurrentConnects) {
      const victim = this.total < this.limits.maxConnections ? undefined : this.#idle.victim()
      if (victim === undefined && this.total >= this.limits.maxConnections) return
      const tenant = this.#next(nowMs)
      if (tenant === undefined) return
      if (victim === undefined) {
        const slot = this.#reserve(tenant, nowMs)
        this.#open(slot, nowMs)
      } else {
        this.#replace(victim, tenant, nowMs)
      }
    }
  }

  #replace(victim: Slot<Connection, Owner>, tenant: TenantQueue<Connection, Owner>, nowMs: number): void {
    this.evicted += 1
    victim.successor = this.#reserve(tenant, nowMs)
    this.discard(victim)
  }

  #reserve(tenant: TenantQueue<Connection, Owner>, nowMs: number): Slot<Connection, Owner> {
    this.opening += 1
    tenant.opening += 1
    tenant.total += 1
    return {
      tenant,
      state: 'reserved',
      connection: undefined,
      sinceMs: nowMs,
      expiresAtMs: Infinity,
      generation: tenant.generation,
      successor: undefined,
      chargedMs: 0,
      holder: undefined,
      user: undefined,
      returning: false,
    }
  }

  #open(slot: Slot<Connection, Owner>, nowMs: number): void {
    this.slots.add(slot)
    if (this.total >= this.limits.maxConnections) this.isCrowded = true
    slot.state = 'opening'
    slot.sinceMs = nowMs
    this.#effects.open(slot)
  }

  #openingEnded(slot: Slot<Connection, Owner>, nowMs: number): void {
    this.opening -= 1
    slot.tenant.opening -= 1
    this.#queues.turns.pay(slot.tenant, nowMs - slot.sinceMs)
  }

  #vacate(slot: Slot<Connection, Owner>, nowMs: number): void {
    const { tenant, successor } = slot
    this.#hasReturned(slot)
    slot.state = 'closed'
    slot.successor = undefined
    slot.holder = undefined
    this.slots.delete(slot)
    if (this.total < this.limits.maxConnections / 2) this.isCrowded = false
    tenant.total -= 1
    this.#queues.forgetIfEmpty(tenant)
    if (successor !== undefined) {
      if (!this.#draining && successor.tenant.waiters.size >= successor.tenant.opening) this.#open(successor, nowMs)
      else this.#giveUp(successor)
    }
    this.#openWherePossible(nowMs)
  }

  #giveUp(reserved: Slot<Connection, Owner>): void {
    this.opening -= 1
    reserved.tenant.opening -= 1
    reserved.tenant.total -= 1
    reserved.state = 'closed'
    this.#queues.forgetIfEmpty(reserved.tenant)
  }

  #hasReturned(slot: Slot<Connection, Owner>): void {
    if (!slot.returning) return
    slot.returning = false
    slot.tenant.returning -= 1
  }
}
