import type { Slot, TenantQueue, Waiter } from './ports.js'
import type { Allocator } from './allocator.js'

/** A caller who waits for what will never come. */
export interface Stuck<Connection, Owner> {
  readonly tenant: TenantQueue<Connection, Owner>
  readonly waiter: Waiter<Connection, Owner>
}

/**
 * Finds works that hold connections and wait for others of the same works: whatever could serve them is held by
 * somebody of whom the same is true. Answers with the one who came last, or undefined if everybody can still be served.
 *
 * @param isUnused whether nobody has used this connection for a while. One that is in use comes back some day: works
 *   do several things at a time, and not everybody who holds and waits holds until he has waited.
 */
export function findStuck<Connection, Owner>(
  allocator: Allocator<Connection, Owner>,
  isUnused: (slot: Slot<Connection, Owner>) => boolean,
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
  const slots = [...allocator.slots]
  const comesBack = (slot: Slot<Connection, Owner>): boolean =>
    slot.state !== 'busy' || slot.holder === undefined || !waits.has(slot.holder) || !isUnused(slot)
  const isServable = ({ tenant }: Stuck<Connection, Owner>): boolean =>
    tenant.opening > 0 ||
    slots.some((slot) => slot.tenant === tenant && comesBack(slot)) ||
    (tenant.total < maxConnectionsPerTenant && (slots.length < maxConnections || slots.some(comesBack)))

  // Whoever can be served goes on and gives back what he holds; what is left when nobody can is stuck.
  for (let before = Infinity; waits.size < before;) {
    before = waits.size
    for (const [holder, waiting] of waits) {
      const holdsNone = !slots.some((slot) => slot.holder === holder)
      if (holdsNone || waiting.some(isServable)) waits.delete(holder)
    }
  }
  return [...waits.values()].flat().toSorted((a, b) => b.waiter.sinceMs - a.waiter.sinceMs)[0]
}
