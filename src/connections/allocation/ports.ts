import type { Account } from './deficit-round-robin.js'
import type { WaiterLine } from './waiter-line.js'

/** Limits of an `Allocator`. */
export interface AllocatorLimits {
  /** Most connections of all tenants together, including those that are being opened or closed. */
  readonly maxConnections: number
  readonly maxConnectionsPerTenant: number
  /** Most connections that are being opened at a time. */
  readonly maxConcurrentConnects: number
  readonly maxWaitersPerTenant: number
  /** A tenant with waiters keeps its connections until a waiter of another tenant has waited this long. */
  readonly affinityMs: number
  /** Connection-milliseconds that a tenant gets each time its turn comes. */
  readonly quantumMs: number
  /**
   * While the budget is used up, a tenant that has a connection waits this long for one of its own to come back. If none
   * of its waiters has been served by then, it gets another connection.
   */
  readonly ownConnectionWaitMs: number
  /** A tenant without a connection that has waited this long comes before all others, whatever it owes. */
  readonly starvationMs: number
}

/** The actions that an `Allocator` asks for. The owner of the connections carries them out. */
export interface AllocatorEffects<Connection, Owner> {
  /** Opens a connection for `entry.tenant`. Answer with `opened` or `openFailed`, after this call has returned. */
  open(entry: PoolEntry<Connection, Owner>): void
  /** Closes the connection of `entry`. Answer with `closed` when the server has let go of it. */
  close(entry: PoolEntry<Connection, Owner>): void
  /** Call `reconsider` in `ms` milliseconds. */
  remind(ms: number): void
}

/** One connection of a tenant, from the decision to open it until the server has let go of it. */
export interface PoolEntry<Connection, Owner> {
  readonly tenant: TenantQueue<Connection, Owner>
  /** `reserved`: waits until the connection that it replaces is closed. */
  state: 'reserved' | 'opening' | 'idle' | 'busy' | 'closing' | 'closed'
  /** Undefined until it is open. */
  connection: Connection | undefined
  /** When the entry came into its state. */
  sinceMs: number
  /** When the connection has served long enough; set by the owner. Default: never. */
  expiresAtMs: number
  /**
   * The tenant's generation when the connection was opened. A connection of an older one is closed when it comes back.
   */
  readonly generation: number
  /** The entry that takes this one's place in the budget once it is closed. */
  successor: PoolEntry<Connection, Owner> | undefined
  /** What the tenant was charged in advance when the connection was handed out. */
  chargedMs: number
  /** The request that has checked the connection out, for as long as it likes; set by the owner. */
  holder: object | undefined
  /** The request that uses the connection now, checked out or for one query; set by the owner, for people. */
  user: object | undefined
  /** Busy, but no longer in use: it comes back in a moment. */
  returning: boolean
}

/** A caller that waits for a connection. */
export interface Waiter<Connection, Owner> {
  readonly sinceMs: number
  /** The request that waits, if there is one. */
  readonly holder: object | undefined
  grant(entry: PoolEntry<Connection, Owner>): void
  /** Called by the code that took the waiter out of its queue, never by the allocator. */
  reject(error: Error): void
}

/** One tenant's connections and waiters. Exists only while there are any. */
export interface TenantQueue<Connection, Owner> extends Account {
  readonly key: string
  owner: Owner | undefined
  /** Most recently used last. */
  readonly idle: PoolEntry<Connection, Owner>[]
  readonly waiters: WaiterLine<Waiter<Connection, Owner>>
  /** Entries in any state. */
  total: number
  opening: number
  returning: number
  /** Grows with each `disconnect`. */
  generation: number
  /** When one of its waiters got a connection last. */
  progressAtMs: number
  /** The server has no room for more of its connections: none is opened before this time. */
  heldUntilMs: number
  /** How many tries in a row found no room on the server. */
  deferrals: number
  /** How long its connections were checked out in total; for statistics. */
  usedMs: number
}
