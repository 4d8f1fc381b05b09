import type { Work } from '../core/context.js'
import type { Waiter } from './allocation.js'
import { abandonedError } from './connection-errors.js'
import { connectionEvents } from './connection-events.js'
import type { Lease } from './lease-office.js'
import type { SchedulerPool } from './scheduler-pool.js'
import type { SessionClient } from './session-client.js'

/** Told once: the lease, or why there is none. */
export type LeaseCallback = (error: Error | undefined, lease?: Lease) => void

/** A caller in the queue. */
export class LeaseWaiter implements Waiter<SessionClient, SchedulerPool> {
  readonly sinceMs: number
  /** The work that the caller does. */
  readonly holder: Work | undefined
  readonly pool: SchedulerPool
  /** Given by the caller, for this wait. */
  readonly #signal: AbortSignal | undefined
  readonly #done: LeaseCallback
  #onGone: (() => void) | undefined

  constructor(
    pool: SchedulerPool,
    sinceMs: number,
    holder: Work | undefined,
    signal: AbortSignal | undefined,
    done: LeaseCallback,
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
      if (leave()) this.reject(abandonedError(this.#signal?.reason))
    }
    this.holder?.onAbandoned(this.#onGone)
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
    this.holder?.offAbandoned(this.#onGone)
    this.#signal?.removeEventListener('abort', this.#onGone)
  }
}
