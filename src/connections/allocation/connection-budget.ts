import type { AllocatorLimits, PoolEntry, TenantQueue } from './ports.js'

/** Counts the connections of all tenants, from the decision to open one until the server has let go of it. */
export class ConnectionBudget<Connection, Owner> {
  /** Every connection that counts. A reserved one joins when the connection that it replaces leaves. */
  readonly entries = new Set<PoolEntry<Connection, Owner>>()
  /** Connections that are being opened, reserved ones included. */
  opening = 0
  /** Connections closed to make room for another tenant. */
  evictions = 0
  /** The budget has been used up, and not half of it has become free since. */
  isCrowded = false
  readonly #limits: AllocatorLimits

  constructor(limits: AllocatorLimits) {
    this.#limits = limits
  }

  get total(): number {
    return this.entries.size
  }

  get isUsedUp(): boolean {
    return this.total >= this.#limits.maxConnections
  }

  /** Whether another connection may be opened now, as far as the number of concurrent connects goes. */
  get mayConnect(): boolean {
    return this.opening < this.#limits.maxConcurrentConnects
  }

  /** Whether as many unreserved places as connects may run at a time become free in a moment. */
  get isVacating(): boolean {
    let count = 0
    for (const entry of this.entries) if (entry.state === 'closing' && entry.successor === undefined) count += 1
    return count >= this.#limits.maxConcurrentConnects
  }

  /** Makes an entry that does not count against the budget yet. */
  reserve(tenant: TenantQueue<Connection, Owner>, nowMs: number): PoolEntry<Connection, Owner> {
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

  /** Gives an entry up that was reserved and never opened. */
  cancel(reserved: PoolEntry<Connection, Owner>): void {
    this.connectEnded(reserved)
    reserved.tenant.total -= 1
    reserved.state = 'closed'
  }

  /** From now on a reserved entry counts. */
  add(reserved: PoolEntry<Connection, Owner>, nowMs: number): void {
    this.entries.add(reserved)
    if (this.isUsedUp) this.isCrowded = true
    reserved.state = 'opening'
    reserved.sinceMs = nowMs
  }

  /** The connect of an entry has succeeded, failed or been given up. */
  connectEnded({ tenant }: PoolEntry<Connection, Owner>): void {
    this.opening -= 1
    tenant.opening -= 1
  }

  /** Frees the place of an entry; returns the one that was reserved in its place. */
  remove(entry: PoolEntry<Connection, Owner>): PoolEntry<Connection, Owner> | undefined {
    const { successor } = entry
    entry.state = 'closed'
    entry.successor = undefined
    entry.holder = undefined
    this.entries.delete(entry)
    if (this.total < this.#limits.maxConnections / 2) this.isCrowded = false
    entry.tenant.total -= 1
    return successor
  }
}
