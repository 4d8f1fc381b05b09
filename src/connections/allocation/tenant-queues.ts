import type { TenantQueue, Waiter } from './ports.js'
import { DeficitRoundRobin } from './deficit-round-robin.js'
import { WaiterLine } from './waiter-line.js'

/** The tenants that have connections or waiters. Knows whose turn it is among those with waiters. */
export class TenantQueues<Connection, Owner> {
  readonly byKey = new Map<string, TenantQueue<Connection, Owner>>()
  /** Accounts for what tenants with waiters have used. */
  readonly roundRobin: DeficitRoundRobin<TenantQueue<Connection, Owner>>
  readonly #starvationMs: number
  #waiting = 0

  /** @param limits see `AllocatorLimits` */
  constructor(limits: { readonly quantumMs: number; readonly starvationMs: number }) {
    this.roundRobin = new DeficitRoundRobin(limits.quantumMs)
    this.#starvationMs = limits.starvationMs
  }

  /** Waiters of all tenants. */
  get waiting(): number {
    return this.#waiting
  }

  /** Tenants with waiters. */
  get contenders(): ReadonlySet<TenantQueue<Connection, Owner>> {
    return this.roundRobin.members
  }

  /** Finds the tenant's queue, or makes one. */
  of(key: string): TenantQueue<Connection, Owner> {
    let tenant = this.byKey.get(key)
    if (tenant === undefined) {
      const counts = {
        total: 0,
        opening: 0,
        returning: 0,
        generation: 0,
        progressAtMs: 0,
        heldUntilMs: 0,
        deferrals: 0,
        creditMs: 0,
        period: -1,
        usedMs: 0,
      }
      tenant = { key, owner: undefined, idle: [], waiters: new WaiterLine(), ...counts }
      this.byKey.set(key, tenant)
    }
    return tenant
  }

  forgetIfEmpty(tenant: TenantQueue<Connection, Owner>): void {
    if (tenant.total === 0 && tenant.waiters.size === 0) this.byKey.delete(tenant.key)
  }

  /** `isNested`: the waiter comes before those of its tenant that are not nested. */
  push(
    tenant: TenantQueue<Connection, Owner>,
    waiter: Waiter<Connection, Owner>,
    isNested: boolean,
    nowMs: number,
  ): void {
    tenant.waiters.push(waiter, isNested)
    this.#waiting += 1
    if (tenant.waiters.size === 1) this.roundRobin.join(tenant, nowMs)
  }

  /** Takes out the tenant's next waiter. */
  shift(tenant: TenantQueue<Connection, Owner>): Waiter<Connection, Owner> | undefined {
    const waiter = tenant.waiters.shift()
    if (waiter !== undefined) this.#left(tenant)
    return waiter
  }

  /** Takes a waiter out of its queue. False: it was no longer in it. */
  remove(key: string, waiter: Waiter<Connection, Owner>): boolean {
    const tenant = this.byKey.get(key)
    if (tenant === undefined || !tenant.waiters.remove(waiter)) return false
    this.#left(tenant)
    return true
  }

  /** Takes out the waiters that have waited since `sinceMs` or longer. */
  takeOverdue(sinceMs: number): Waiter<Connection, Owner>[] {
    const all: Waiter<Connection, Owner>[] = []
    for (const tenant of [...this.contenders]) {
      const overdue = tenant.waiters.takeOverdue(sinceMs)
      if (overdue.length > 0) this.#left(tenant, overdue.length)
      all.push(...overdue)
    }
    return all
  }

  takeAll(): Waiter<Connection, Owner>[] {
    return this.takeOverdue(Infinity)
  }

  /** When the oldest waiter of all began to wait. */
  get oldestSinceMs(): number | undefined {
    let oldestMs = Infinity
    for (const tenant of this.contenders) oldestMs = Math.min(oldestMs, tenant.waiters.oldestSinceMs)
    return oldestMs === Infinity ? undefined : oldestMs
  }

  /** Chooses among the tenants for which `isServed` is true. One that starves without a connection comes first. */
  next(
    nowMs: number,
    isServed: (tenant: TenantQueue<Connection, Owner>) => boolean,
  ): TenantQueue<Connection, Owner> | undefined {
    return this.#starving(nowMs, isServed) ?? this.roundRobin.next(isServed)
  }

  /** A turn comes late where debts are large and newcomers many. No waiter's deadline may pass because of that. */
  #starving(
    nowMs: number,
    isServed: (tenant: TenantQueue<Connection, Owner>) => boolean,
  ): TenantQueue<Connection, Owner> | undefined {
    let starving: TenantQueue<Connection, Owner> | undefined
    let oldestMs = nowMs - this.#starvationMs
    for (const tenant of this.contenders) {
      if (tenant.total > 0 || tenant.waiters.oldestSinceMs > oldestMs || !isServed(tenant)) continue
      oldestMs = tenant.waiters.oldestSinceMs
      starving = tenant
    }
    return starving
  }

  #left(tenant: TenantQueue<Connection, Owner>, count = 1): void {
    this.#waiting -= count
    if (tenant.waiters.size > 0) return
    this.roundRobin.leave(tenant)
    this.forgetIfEmpty(tenant)
  }
}
