import { WaiterQueue } from './waiter-queue.js'

/** Limits of an {@link Allocator}. */
export interface AllocatorLimits {
  /** Most connections of all tenants together, those being opened and closed included. */
  readonly maxConnections: number
  readonly maxConnectionsPerTenant: number
  /** Most connections being opened at a time. */
  readonly maxConcurrentConnects: number
  readonly maxWaitersPerTenant: number
  /** A tenant with waiters keeps its connections until a waiter of another tenant has waited this long. */
  readonly affinityMs: number
}

/** What an {@link Allocator} asks of whoever owns the connections. */
export interface AllocatorEffects<Connection, Owner> {
  /** Opens a connection for `slot.tenant`; answer with `opened` or `openFailed`, not before this call returned. */
  open(slot: Slot<Connection, Owner>): void
  /** Closes the connection of `slot`; answer with `closed` when the server has let go of it. */
  close(slot: Slot<Connection, Owner>): void
}

/** One place in the budget, from the decision to open a connection until the server has let go of it. */
export interface Slot<Connection, Owner> {
  readonly tenant: TenantQueue<Connection, Owner>
  /** `reserved`: waits until the connection that it replaces is closed. */
  state: 'reserved' | 'opening' | 'idle' | 'busy' | 'closing' | 'closed'
  connection: Connection | undefined
  /** Since when the slot has been in its state. */
  sinceMs: number
  /** When the connection has served long enough; set by the owner. Default: never. */
  expiresAtMs: number
  /** Eviction count of the tenant when the connection was opened: an older one is closed when it comes back. */
  readonly generation: number
  /** The slot that takes this one's place in the budget once it is closed. */
  successor: Slot<Connection, Owner> | undefined
  /** What the tenant was charged in advance when the connection was handed out. */
  chargedMs: number
  /** Busy, and back in a moment: nobody has it any more. */
  returning: boolean
}

/** Somebody who waits for a connection. */
export interface Waiter<Connection, Owner> {
  readonly sinceMs: number
  grant(slot: Slot<Connection, Owner>): void
  /** Called by whoever took the waiter out of its queue, never by the allocator. */
  reject(error: Error): void
}

/** One tenant's connections and waiters. Exists only while there are any. */
export interface TenantQueue<Connection, Owner> {
  readonly key: string
  owner: Owner | undefined
  /** Most recently used last. */
  readonly idle: Slot<Connection, Owner>[]
  /** In order of arrival. */
  readonly waiters: WaiterQueue<Waiter<Connection, Owner>>
  /** Slots in any state. */
  total: number
  opening: number
  returning: number
  generation: number
  /** Connection-milliseconds that the tenant may still use in this turn; negative: has used more than its share. */
  creditMs: number
  /** The period of contention that `creditMs` belongs to. */
  period: number
}

/** Connection-milliseconds a tenant gets each time its turn comes: about what pays for the reconnect that it costs. */
const quantumMs = 30
/** Nobody pays for longer than this: one long query must not lock a tenant out. */
const maxDebtMs = 1000

/**
 * Decides who gets which connection; does no I/O and has no clock of its own, so it can be tested and simulated.
 *
 * Who asks gets the tenant's most recently used idle connection; else a new one while the budget lasts; else one in
 * place of the least recently used idle connection of all; else waits. A connection that comes back serves its tenant's
 * own waiters until another tenant's has waited `affinityMs`; then turns are shared by deficit round robin, charged in
 * connection-milliseconds after use, the time to open included.
 */
export class Allocator<Connection, Owner = undefined> {
  readonly tenants = new Map<string, TenantQueue<Connection, Owner>>()
  /** Slots of the budget that are taken. */
  total = 0
  opening = 0
  waiting = 0
  evicted = 0
  readonly #limits: AllocatorLimits
  readonly #effects: AllocatorEffects<Connection, Owner>
  /** All idle slots, least recently used first. */
  readonly #idle = new Set<Slot<Connection, Owner>>()
  /** Tenants with waiters. */
  readonly #queues = new Set<TenantQueue<Connection, Owner>>()
  #period = 0
  #periodStartedAtMs = 0
  #averageUseMs = 1
  #draining = false

  constructor(limits: AllocatorLimits, effects: AllocatorEffects<Connection, Owner>) {
    this.#limits = limits
    this.#effects = effects
  }

  get idle(): number {
    return this.#idle.size
  }

  /** Takes the tenant's most recently used idle connection, if it has one. */
  takeIdle(key: string, nowMs: number): Slot<Connection, Owner> | undefined {
    const slot = this.tenants.get(key)?.idle.pop()
    if (slot === undefined) return undefined
    this.#idle.delete(slot)
    this.#lend(slot, nowMs)
    return slot
  }

  /** Queues a waiter; it may be granted a connection later, never during this call. False: the queue is full. */
  enqueue(key: string, owner: Owner, waiter: Waiter<Connection, Owner>, nowMs: number): boolean {
    const tenant = this.#tenant(key)
    tenant.owner = owner
    if (tenant.waiters.size >= this.#limits.maxWaitersPerTenant) {
      this.#forgetIfEmpty(tenant)
      return false
    }
    tenant.waiters.push(waiter)
    this.waiting += 1
    if (tenant.waiters.size === 1) this.#join(tenant, nowMs)
    if (this.#needsConnection(tenant)) this.#openWherePossible(nowMs)
    return true
  }

  /** Takes a waiter out of its queue. False: it was not in it any more. */
  leave(key: string, waiter: Waiter<Connection, Owner>): boolean {
    const tenant = this.tenants.get(key)
    if (tenant === undefined || !tenant.waiters.remove(waiter)) return false
    this.#left(tenant)
    return true
  }

  /** Takes out everybody who has waited since `sinceMs` or longer, to be told so. */
  leaveOverdue(sinceMs: number): Waiter<Connection, Owner>[] {
    const overdue: Waiter<Connection, Owner>[] = []
    for (const tenant of [...this.#queues]) {
      for (;;) {
        const oldest = tenant.waiters.first
        if (oldest === undefined || oldest.sinceMs > sinceMs) break
        overdue.push(oldest)
        this.#shift(tenant)
      }
    }
    return overdue
  }

  /** Since when the oldest waiter of all has waited. */
  oldestWaiterSinceMs(): number | undefined {
    let oldestMs = Infinity
    for (const tenant of this.#queues) oldestMs = Math.min(oldestMs, tenant.waiters.first?.sinceMs ?? Infinity)
    return oldestMs === Infinity ? undefined : oldestMs
  }

  opened(slot: Slot<Connection, Owner>, connection: Connection, nowMs: number): void {
    slot.connection = connection
    this.#openingEnded(slot, nowMs)
    slot.state = 'busy'
    slot.sinceMs = nowMs
    this.#place(slot, nowMs)
    this.#openWherePossible(nowMs)
  }

  /** Gives the slot back; the tenant's oldest waiter is taken out of the queue and returned, to be told why. */
  openFailed(slot: Slot<Connection, Owner>, nowMs: number): Waiter<Connection, Owner> | undefined {
    const { tenant } = slot
    this.#openingEnded(slot, nowMs)
    const waiter = this.#shift(tenant)
    this.#vacate(slot, nowMs)
    return waiter
  }

  /** Closes a busy connection that would be closed for another tenant as soon as it was released. False: it would not. */
  giveWay(slot: Slot<Connection, Owner>, nowMs: number): boolean {
    if (slot.state !== 'busy' || slot.tenant.waiters.size > 0 || this.#idle.size > 0) return false
    if (this.total < this.#limits.maxConnections || this.opening >= this.#limits.maxConcurrentConnects) return false
    const next = this.#nextTurn()
    if (next === undefined) return false
    this.#charge(slot, nowMs)
    this.#replace(slot, next, nowMs)
    return true
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
    this.#hasReturned(slot)
    if (this.#queues.size > 0) this.#charge(slot, nowMs)
    if (slot.expiresAtMs <= nowMs) this.discard(slot)
    else this.#place(slot, nowMs)
  }

  /** Closes an idle or busy connection; its slot is free once `closed` is reported. */
  discard(slot: Slot<Connection, Owner>): void {
    if (slot.state !== 'idle' && slot.state !== 'busy') return
    if (slot.state === 'idle') this.#takeOut(slot)
    this.#hasReturned(slot)
    slot.state = 'closing'
    this.#effects.close(slot)
  }

  /** The server has let go of the connection, asked for or not. */
  closed(slot: Slot<Connection, Owner>, nowMs: number): void {
    if (slot.state === 'closed' || slot.state === 'opening' || slot.state === 'reserved') return
    if (slot.state === 'idle') this.#takeOut(slot)
    this.#vacate(slot, nowMs)
  }

  /** Closes the tenant's connections: idle ones now, those in use or being opened when they come back. */
  evict(key: string): void {
    const tenant = this.tenants.get(key)
    if (tenant === undefined) return
    tenant.generation += 1
    for (const slot of [...tenant.idle]) this.discard(slot)
  }

  /** Closes everything, now or when it comes back; returns the waiters, to be told so. */
  drain(): Waiter<Connection, Owner>[] {
    this.#draining = true
    const waiters = [...this.#queues].flatMap((tenant) => tenant.waiters.takeAll())
    this.#queues.clear()
    this.waiting = 0
    for (const slot of [...this.#idle]) this.discard(slot)
    return waiters
  }

  /** Closes what has been idle since before `idleSinceMs` or is past its lifetime. */
  reap(idleSinceMs: number, nowMs: number): void {
    for (const slot of [...this.#idle]) {
      if (slot.sinceMs <= idleSinceMs || slot.expiresAtMs <= nowMs) this.discard(slot)
    }
  }

  #tenant(key: string): TenantQueue<Connection, Owner> {
    let tenant = this.tenants.get(key)
    if (tenant === undefined) {
      const counts = { total: 0, opening: 0, returning: 0, generation: 0, creditMs: 0, period: -1 }
      tenant = { key, owner: undefined, idle: [], waiters: new WaiterQueue(), ...counts }
      this.tenants.set(key, tenant)
    }
    return tenant
  }

  /** Debts and credits last as long as somebody waits: whoever used idle capacity owes nobody. */
  #join(tenant: TenantQueue<Connection, Owner>, nowMs: number): void {
    if (this.#queues.size === 0) {
      this.#period += 1
      this.#periodStartedAtMs = nowMs
    }
    if (tenant.period !== this.#period) tenant.creditMs = 0
    tenant.period = this.#period
    this.#queues.add(tenant)
  }

  #shift(tenant: TenantQueue<Connection, Owner>): Waiter<Connection, Owner> | undefined {
    const waiter = tenant.waiters.shift()
    if (waiter !== undefined) this.#left(tenant)
    return waiter
  }

  #left(tenant: TenantQueue<Connection, Owner>): void {
    this.waiting -= 1
    if (tenant.waiters.size > 0) return
    this.#queues.delete(tenant)
    tenant.creditMs = Math.min(tenant.creditMs, 0)
    this.#forgetIfEmpty(tenant)
  }

  #forgetIfEmpty(tenant: TenantQueue<Connection, Owner>): void {
    if (tenant.total === 0 && tenant.waiters.size === 0) this.tenants.delete(tenant.key)
  }

  #lend(slot: Slot<Connection, Owner>, nowMs: number): void {
    slot.state = 'busy'
    slot.sinceMs = nowMs
    slot.chargedMs = 0
    if (this.#queues.size > 0) {
      // In advance, or a tenant whose turn it is takes every connection before the first one comes back.
      slot.chargedMs = this.#averageUseMs
      this.#pay(slot.tenant, slot.chargedMs)
    }
  }

  #charge(slot: Slot<Connection, Owner>, nowMs: number): void {
    const usedMs = nowMs - Math.max(slot.sinceMs, this.#periodStartedAtMs)
    this.#averageUseMs += (usedMs - this.#averageUseMs) / 16
    this.#pay(slot.tenant, usedMs - slot.chargedMs)
  }

  #pay(tenant: TenantQueue<Connection, Owner>, ms: number): void {
    if (tenant.period !== this.#period) {
      tenant.period = this.#period
      tenant.creditMs = 0
    }
    tenant.creditMs = Math.max(tenant.creditMs - ms, -maxDebtMs)
  }

  /** Finds the next use of a connection that is open and in nobody's hands. */
  #place(slot: Slot<Connection, Owner>, nowMs: number): void {
    const { tenant } = slot
    if (this.#draining || slot.generation !== tenant.generation) {
      this.discard(slot)
    } else if (tenant.waiters.size === 0) {
      slot.state = 'idle'
      slot.sinceMs = nowMs
      tenant.idle.push(slot)
      this.#idle.add(slot)
      this.#openWherePossible(nowMs)
    } else {
      const next = this.#hasToYield(tenant, nowMs) ? this.#nextTurn(tenant) : tenant
      if (next === undefined || next === tenant) this.#grant(slot, nowMs)
      else this.#replace(slot, next, nowMs)
    }
  }

  #grant(slot: Slot<Connection, Owner>, nowMs: number): void {
    this.#lend(slot, nowMs)
    this.#shift(slot.tenant)?.grant(slot)
  }

  /** Whether the tenant's turn is over and another one, that a connection would help, has waited too long. */
  #hasToYield(tenant: TenantQueue<Connection, Owner>, nowMs: number): boolean {
    if (tenant.creditMs > 0 || this.opening >= this.#limits.maxConcurrentConnects) return false
    for (const other of this.#queues) {
      if (other === tenant || !this.#needsConnection(other)) continue
      const oldest = other.waiters.first
      if (oldest !== undefined && nowMs - oldest.sinceMs >= this.#limits.affinityMs) return true
    }
    return false
  }

  #needsConnection(tenant: TenantQueue<Connection, Owner>): boolean {
    return (
      tenant.waiters.size > tenant.opening + tenant.returning && tenant.total < this.#limits.maxConnectionsPerTenant
    )
  }

  /** Deficit round robin over the tenants that a connection would help, and `holder`, which has one in hand. */
  #nextTurn(holder?: TenantQueue<Connection, Owner>): TenantQueue<Connection, Owner> | undefined {
    let rounds = Infinity
    for (const tenant of this.#queues) {
      if (tenant !== holder && !this.#needsConnection(tenant)) continue
      if (tenant.creditMs > 0) return tenant
      rounds = Math.min(rounds, Math.floor(-tenant.creditMs / quantumMs) + 1)
    }
    if (rounds === Infinity) return undefined
    let next: TenantQueue<Connection, Owner> | undefined
    for (const tenant of this.#queues) {
      if (tenant !== holder && !this.#needsConnection(tenant)) continue
      tenant.creditMs += rounds * quantumMs
      if (next === undefined && tenant.creditMs > 0) next = tenant
    }
    return next
  }

  #openWherePossible(nowMs: number): void {
    while (!this.#draining && this.#queues.size > 0 && this.opening < this.#limits.maxConcurrentConnects) {
      const victim = this.total < this.#limits.maxConnections ? undefined : first(this.#idle)
      if (victim === undefined && this.total >= this.#limits.maxConnections) return
      const tenant = this.#nextTurn()
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
      returning: false,
    }
  }

  #open(slot: Slot<Connection, Owner>, nowMs: number): void {
    this.total += 1
    slot.state = 'opening'
    slot.sinceMs = nowMs
    this.#effects.open(slot)
  }

  #openingEnded(slot: Slot<Connection, Owner>, nowMs: number): void {
    this.opening -= 1
    slot.tenant.opening -= 1
    if (this.#queues.size > 0) this.#pay(slot.tenant, nowMs - slot.sinceMs)
  }

  #vacate(slot: Slot<Connection, Owner>, nowMs: number): void {
    const { tenant, successor } = slot
    this.#hasReturned(slot)
    slot.state = 'closed'
    slot.successor = undefined
    this.total -= 1
    tenant.total -= 1
    this.#forgetIfEmpty(tenant)
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
    this.#forgetIfEmpty(reserved.tenant)
  }

  #hasReturned(slot: Slot<Connection, Owner>): void {
    if (!slot.returning) return
    slot.returning = false
    slot.tenant.returning -= 1
  }

  #takeOut(slot: Slot<Connection, Owner>): void {
    this.#idle.delete(slot)
    const index = slot.tenant.idle.lastIndexOf(slot)
    if (index >= 0) slot.tenant.idle.splice(index, 1)
  }
}

function first<Item>(items: Set<Item>): Item | undefined {
  return items.values().next().value
}
