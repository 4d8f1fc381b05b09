import type { PoolEntry, TenantQueue, Waiter } from './ports.js'
import type { Allocator } from './allocator.js'

/** A waiter that will never be served. */
export interface Stuck<Connection, Owner> {
  readonly tenant: TenantQueue<Connection, Owner>
  readonly waiter: Waiter<Connection, Owner>
}

/**
 * Finds requests that wait for each other: each holds a connection, and every connection that could serve it is held by
 * such a request. Answers with the waiter that came last, or undefined if everyone can still be served.
 *
 * @param isUnused whether the connection has not been used for a while. One that is in use comes back some day: requests
 *   do several things at a time, and a request that waits may give back what it holds before it is served.
 */
export function findStuck<Connection, Owner>(
  allocator: Allocator<Connection, Owner>,
  isUnused: (entry: PoolEntry<Connection, Owner>) => boolean,
): Stuck<Connection, Owner> | undefined {
  const waits = new Map<object, Stuck<Connection, Owner>[]>()
  for (const tenant of allocator.tenants.values()) {
    for (const waiter of tenant.waiters.items) {
      if (waiter.holder === undefined) continue
      const others = waits.get(waiter.holder)
      if (others === undefined) waits.set(waiter.holder, [{ tenant, waiter }])
      else others.push({ tenant, waiter })
    }
  }
  if (waits.size === 0) return undefined

  const { maxConnections, maxConnectionsPerTenant } = allocator.limits
  const entries = [...allocator.budget.entries]
  const comesBack = (entry: PoolEntry<Connection, Owner>): boolean =>
    entry.state !== 'busy' || entry.holder === undefined || !waits.has(entry.holder) || !isUnused(entry)
  const isServable = ({ tenant }: Stuck<Connection, Owner>): boolean =>
    tenant.opening > 0 ||
    entries.some((entry) => entry.tenant === tenant && comesBack(entry)) ||
    (tenant.total < maxConnectionsPerTenant && (entries.length < maxConnections || entries.some(comesBack)))

  // A request that can be served goes on and gives back what it holds. Those that are left in the end are stuck.
  for (let before = Infinity; waits.size < before;) {
    before = waits.size
    for (const [holder, waiting] of waits) {
      const holdsNone = !entries.some((entry) => entry.holder === holder)
      if (holdsNone || waiting.some(isServable)) waits.delete(holder)
    }
  }
  return [...waits.values()].flat().toSorted((a, b) => b.waiter.sinceMs - a.waiter.sinceMs)[0]
}
