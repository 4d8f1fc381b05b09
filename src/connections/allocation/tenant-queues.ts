import type { TenantQueue, Waiter } from './ports.js'
import { DeficitRoundRobin } from './deficit-round-robin.js'
import { WaiterLine } from './waiter-line.js'

/** The tenants that have connections or waiters, and whose turn it is among those who wait. */
export class TenantQueues<Connection, Owner> {
  readonly byKey = new Map<string, TenantQueue<Connection, Owner>>()
  /** What tenants with waiters have used. */
  readonly turns: DeficitRoundRobin<TenantQueue<Connection, Owner>>
  readonly #starvationMs: number
  #waiting = 0

  /** @param limits see `AllocatorLimits` */
  constructor(limits: { readonly quantumMs: number; readonly starvationMs: number }) {
    this.turns = new DeficitRoundRobin(limits.quantumMs)
    this.#starvationMs = limits.starvationMs
  }

  /** Waiters of all tenants. */
  get waiting(): number {
    return this.#waiting
  }

  /** Tenants with waiters. */
  get contenders(): ReadonlySet<TenantQueue<Connection, Owner>> {
    return this.turns.members
  }

  /** The tenant's queue, made when it has none. */
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

  /** `isNested`: it comes before those of its tenant that are not. */
  push(
    tenant: TenantQueue<Connection, Owner>,
    waiter: Waiter<Connection, Owner>,
    isNested: boolean,
    nowMs: number,
  ): void {
    tenant.waiters.push(waiter, isNested)
    this.#waiting += 1
    if (tenant.waiters.size === 1) this.turns.join(tenant, nowMs)
  }

  /** Takes out who is next in the tenant's queue. */
  shift(tenant: TenantQueue<Connection, Owner>): Waiter<Connection, Owner> | undefined {
    const waiter = tenant.waiters.shift()
    if (waiter !== undefined) this.#left(tenant)
    return waiter
  }

  /** Takes a waiter out of its queue. False: it was not in it any more. */
  remove(key: string, waiter: Waiter<Connection, Owner>): boolean {
    const tenant = this.byKey.get(key)
    if (tenant === undefined || !tenant.waiters.remove(waiter)) return false
    this.#left(tenant)
    return true
  }

  /** Takes out everybody who has waited since `sinceMs` or longer. */
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

  /** Since when the oldest waiter of all has waited. */
  get oldestSinceMs(): number | undefined {
    let oldestMs = Infinity
    for (const tenant of this.contenders) oldestMs = Math.min(oldestMs, tenant.waiters.oldestSinceMs)
    return oldestMs === Infinity ? undefined : oldestMs
  }

  /** Whose turn it is among those that `isServed` names; who has no connection and starves comes first. */
  next(
    nowMs: number,
    isServed: (tenant: TenantQueue<Connection, Owner>) => boolean,
  ): TenantQueue<Connection, Owner> | undefined {
    return this.#starving(nowMs) ?? this.turns.next(isServed)
  }

  /** DeficitRoundRobin take as long as debts are large and newcomers many; nobody's deadline may pass over that. */
  #starving(nowMs: number): TenantQueue<Connection, Owner> | undefined {
    let starving: TenantQueue<Connection, Owner> | undefined
    let oldestMs = nowMs - this.#starvationMs
    for (const tenant of this.contenders) {
      if (tenant.total > 0 || tenant.waiters.oldestSinceMs > oldestMs) continue
      oldestMs = tenant.waiters.oldestSinceMs
      starving = tenant
    }
    return starving
  }

  #left(tenant: TenantQueue<Connection, Owner>, count = 1): void {
    this.#waiting -= count
    if (tenant.waiters.size > 0) return
    this.turns.leave(tenant)
    this.forgetIfEmpty(tenant)
  }
}
