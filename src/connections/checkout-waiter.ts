import type { RequestScope } from '../core/context/current.js'
import type { Waiter } from './allocation/ports.js'
import { abortedError } from './connection-errors.js'
import { connectionEvents } from './connection-events.js'
import type { Lease } from './connection-dispatcher.js'
import type { TenantPgPool } from './tenant-pool.js'
import type { SessionClient } from './session/session-client.js'

/** Told once: the lease, or why there is none. */
export type CheckoutCallback = (error: Error | undefined, lease?: Lease) => void

/** A caller in the queue. */
export class CheckoutWaiter implements Waiter<SessionClient, TenantPgPool> {
  readonly sinceMs: number
  /** The work that the caller does. */
  readonly holder: RequestScope | undefined
  readonly pool: TenantPgPool
  /** Given by the caller, for this wait. */
  readonly #signal: AbortSignal | undefined
  readonly #done: CheckoutCallback
  #onGone: (() => void) | undefined

  constructor(
    pool: TenantPgPool,
    sinceMs: number,
    holder: RequestScope | undefined,
    signal: AbortSignal | undefined,
    done: CheckoutCallback,
  ) {
    this.pool = pool
    this.sinceMs = sinceMs
    this.holder = holder
    this.#signal = signal
    this.#done = done
  }

  /** Gives up when nobody wants the result any more; `leave` takes the waiter out of its queue. */
  leaveWhenGone(leave: () => boolean): void {
    this.#onGone = () => {
      if (leave()) this.reject(abortedError(this.#signal?.reason))
    }
    this.holder?.onAborted(this.#onGone)
    this.#signal?.addEventListener('abort', this.#onGone)
  }

  grant(lease: Lease): void {
    this.#settle()
    lease.user = this.holder
    this.#done(undefined, lease)
  }

  reject(error: Error): void {
    this.#settle()
    connectionEvents.reject(this.pool, error, performance.now() - this.sinceMs)
    this.#done(error)
  }

  #settle(): void {
    if (this.#onGone === undefined) return
    this.holder?.offAborted(this.#onGone)
    this.#signal?.removeEventListener('abort', this.#onGone)
  }
}
