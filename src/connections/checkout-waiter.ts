import type { RequestScope } from '../core/context/request-scope.js'
import type { Waiter } from './allocation/ports.js'
import type { Checkout, CheckoutCallback, CheckoutPool } from './checkout.js'
import { abortedError } from './connection-errors.js'
import { connectionEvents } from './connection-events.js'
import type { SessionClient } from './session/client/session-client.js'

/** A caller in its tenant's queue. */
export class CheckoutWaiter implements Waiter<SessionClient, CheckoutPool> {
  readonly sinceMs: number
  /** The request of the caller. */
  readonly holder: RequestScope | undefined
  readonly pool: CheckoutPool
  /** Given by the caller, for this wait. */
  readonly #signal: AbortSignal | undefined
  readonly #done: CheckoutCallback
  #onAborted: (() => void) | undefined

  constructor(
    pool: CheckoutPool,
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

  /** Gives up when the request or the signal is aborted. `leave` takes the waiter out of its queue. */
  leaveWhenAborted(leave: () => boolean): void {
    this.#onAborted = () => {
      if (leave()) this.reject(abortedError(this.#signal?.reason))
    }
    this.holder?.onAborted(this.#onAborted)
    this.#signal?.addEventListener('abort', this.#onAborted)
  }

  grant(checkout: Checkout): void {
    this.#stopListening()
    checkout.user = this.holder
    this.#done(undefined, checkout)
  }

  reject(error: Error): void {
    this.#stopListening()
    connectionEvents.reject(this.pool, error, performance.now() - this.sinceMs)
    this.#done(error)
  }

  #stopListening(): void {
    if (this.#onAborted === undefined) return
    this.holder?.offAborted(this.#onAborted)
    this.#signal?.removeEventListener('abort', this.#onAborted)
  }
}
