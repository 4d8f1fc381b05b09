import type { Account } from './deficit-round-robin.js'
import type { WaiterLine } from './waiter-line.js'

/** Limits of an `Allocator`. */
export interface AllocatorLimits {
  /** Most connections of all tenants together, those being opened and closed included. */
  readonly maxConnections: number
  readonly maxConnectionsPerTenant: number
  /** Most connections being opened at a time. */
  readonly maxConcurrentConnects: number
  readonly maxWaitersPerTenant: number
  /** A tenant with waiters keeps its connections until a waiter of another tenant has waited this long. */
  readonly affinityMs: number
  /** Connection-milliseconds that a tenant gets each time its turn comes. */
  readonly quantumMs: number
  /**
   * While the budget is used up, a tenant that has a connection gets another one when nobody who waits for it has been
   * served for this long.
   */
  readonly patienceMs: number
  /** Who has no connection and has waited this long comes before everybody whose turn it is, whatever it owes. */
  readonly starvationMs: number
}

/** What an `Allocator` asks of whoever owns the connections. */
export interface AllocatorEffects<Connection, Owner> {
  /** Opens a connection for `slot.tenant`; answer with `opened` or `openFailed`, not before this call returned. */
  open(slot: Slot<Connection, Owner>): void
  /** Closes the connection of `slot`; answer with `closed` when the server has let go of it. */
  close(slot: Slot<Connection, Owner>): void
  /** Call `reconsider` in `ms` milliseconds. */
  remind(ms: number): void
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
  /** Whose work has checked the connection out, to use it as long as it likes; set by the owner. */
  holder: object | undefined
  /** Whose work uses the connection now, checked out or for one query; set by the owner, for people. */
  user: object | undefined
  /** Busy, and back in a moment: nobody has it any more. */
  returning: boolean
}

/** Somebody who waits for a connection. */
export interface Waiter<Connection, Owner> {
  readonly sinceMs: number
  /** The work that waits, if that is known. */
  readonly holder: object | undefined
  grant(slot: Slot<Connection, Owner>): void
  /** Called by whoever took the waiter out of its queue, never by the allocator. */
  reject(error: Error): void
}

/** One tenant's connections and waiters. Exists only while there are any. */
export interface TenantQueue<Connection, Owner> extends Account {
  readonly key: string
  owner: Owner | undefined
  /** Most recently used last. */
  readonly idle: Slot<Connection, Owner>[]
  readonly waiters: WaiterLine<Waiter<Connection, Owner>>
  /** Slots in any state. */
  total: number
  opening: number
  returning: number
  generation: number
  /** When somebody who waited got a connection last. */
  progressAtMs: number
  /** The server has no room for more of its connections: none is opened before. */
  heldUntilMs: number
  /** How many tries in a row to open one found no room. */
  deferrals: number
  /** How long connections were lent, in total; for statistics. */
  usedMs: number
}
