import type { PoolEntry, TenantQueue } from './ports.js'
import { RequestFrequency } from './request-frequency.js'

/** How many requests are remembered for each connection of the budget, to tell how often a tenant is asked for. */
const requestsRemembered = 20

/**
 * The idle connections of all tenants, the least recently used first. Chooses the one that is missed least: with plain
 * LRU, a run of tenants that come once closes the connections of those that come all the time.
 */
export class IdleConnections<Connection, Owner> {
  readonly #entries = new Set<PoolEntry<Connection, Owner>>()
  readonly #frequency: RequestFrequency

  constructor(maxConnections: number) {
    this.#frequency = new RequestFrequency(requestsRemembered * maxConnections)
  }

  get size(): number {
    return this.#entries.size
  }

  /** Counts a request for a connection. `tenant`: the queue of `key`, if there is one. */
  countRequest(key: string, tenant: TenantQueue<Connection, Owner> | undefined): void {
    // Checked out, or being closed.
    const inUse = tenant === undefined ? 0 : tenant.total - tenant.opening - tenant.idle.length
    this.#frequency.count(key, inUse + 1)
  }

  add(entry: PoolEntry<Connection, Owner>): void {
    entry.tenant.idle.push(entry)
    this.#entries.add(entry)
  }

  /** Takes the tenant's most recently used connection. */
  take(tenant: TenantQueue<Connection, Owner>): PoolEntry<Connection, Owner> | undefined {
    const entry = tenant.idle.pop()
    if (entry !== undefined) this.#entries.delete(entry)
    return entry
  }

  remove(entry: PoolEntry<Connection, Owner>): void {
    this.#entries.delete(entry)
    const index = entry.tenant.idle.lastIndexOf(entry)
    if (index >= 0) entry.tenant.idle.splice(index, 1)
  }

  /** The connection to close when room is needed. Among equals, it is the least recently used. */
  victim(): PoolEntry<Connection, Owner> | undefined {
    let victim: PoolEntry<Connection, Owner> | undefined
    let least = Infinity
    for (const entry of this.#entries) {
      const worth = this.worthOf(entry)
      if (worth >= least) continue
      least = worth
      victim = entry
    }
    return victim
  }

  /** How much a connection, idle or not, would be missed: how often all others of its tenant were in use. */
  worthOf({ tenant }: PoolEntry<Connection, Owner>): number {
    return this.#frequency.of(tenant.key, tenant.total)
  }

  [Symbol.iterator](): Iterator<PoolEntry<Connection, Owner>> {
    return this.#entries.values()
  }
}
