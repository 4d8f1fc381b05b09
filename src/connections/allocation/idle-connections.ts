import type { Slot, TenantQueue } from './ports.js'
import { RequestFrequency } from './request-frequency.js'

/** For each connection of the budget, so many requests tell how much a tenant is asked for. */
const requestsRemembered = 20

/**
 * Idle connections of all tenants, the least recently used first, and which of them is missed least. Plain LRU lets a run
 * of tenants that come once close the connections of those that come all the time.
 */
export class IdleConnections<Connection, Owner> {
  readonly #slots = new Set<Slot<Connection, Owner>>()
  readonly #frequency: RequestFrequency

  constructor(maxConnections: number) {
    this.#frequency = new RequestFrequency(requestsRemembered * maxConnections)
  }

  get size(): number {
    return this.#slots.size
  }

  /** Counts a request; `tenant` is what the tenant of this key has, if it has anything. */
  countRequest(key: string, tenant: TenantQueue<Connection, Owner> | undefined): void {
    // Lent, or being closed.
    const inUse = tenant === undefined ? 0 : tenant.total - tenant.opening - tenant.idle.length
    this.#frequency.count(key, inUse + 1)
  }

  add(slot: Slot<Connection, Owner>): void {
    slot.tenant.idle.push(slot)
    this.#slots.add(slot)
  }

  /** Takes the one of the tenant that was used last. */
  take(tenant: TenantQueue<Connection, Owner>): Slot<Connection, Owner> | undefined {
    const slot = tenant.idle.pop()
    if (slot !== undefined) this.#slots.delete(slot)
    return slot
  }

  remove(slot: Slot<Connection, Owner>): void {
    this.#slots.delete(slot)
    const index = slot.tenant.idle.lastIndexOf(slot)
    if (index >= 0) slot.tenant.idle.splice(index, 1)
  }

  /** The one to close when room is needed; of equals, the least recently used. */
  victim(): Slot<Connection, Owner> | undefined {
    let victim: Slot<Connection, Owner> | undefined
    let least = Infinity
    for (const slot of this.#slots) {
      const worth = this.worthOf(slot)
      if (worth >= least) continue
      least = worth
      victim = slot
    }
    return victim
  }

  /** How much a connection, idle or not, is missed when it is closed: how often the tenant's others were all in use. */
  worthOf({ tenant }: Slot<Connection, Owner>): number {
    return this.#frequency.of(tenant.key, tenant.total)
  }

  [Symbol.iterator](): Iterator<Slot<Connection, Owner>> {
    return this.#slots.values()
  }
}
