import type { ServerAccount, TenantDatabaseTarget } from '../core/tenants/database-target.js'
import type { PoolEntry } from './allocation/ports.js'
import type { SessionClient } from './session/client/session-client.js'

/** The part of a tenant's pool that the scheduler needs. */
export interface CheckoutPool {
  readonly key: string
  /** For people. */
  readonly label: string
  /** Asked for each new connection. */
  resolveTarget(): Promise<TenantDatabaseTarget>
  /** The account that `resolveTarget` is likely to give, known without asking anybody. */
  expectedAccount(): ServerAccount | undefined
  /** Emits an event of the pool. */
  announce(event: 'connect' | 'remove' | 'error', ...values: unknown[]): void
  listenerCount(event: 'error'): number
}

/** A connection of the scheduler, in any state. */
export type SessionEntry = PoolEntry<SessionClient, CheckoutPool>

/** A connection that a caller has, until it is given back. */
export type Checkout = SessionEntry

/** Called once, with a checkout, or with the reason why there is none. */
export type CheckoutCallback = (error: Error | undefined, checkout?: Checkout) => void
