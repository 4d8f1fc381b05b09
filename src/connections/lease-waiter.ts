import type { Work } from '../core/context.js'
import type { Waiter } from './allocator.js'
import { abortedError } from './connection-errors.js'
import { connectionEvents } from './connection-events.js'
import type { Lease } from './lease-office.js'
import type { SchedulerPool } from './scheduler-pool.js'
import type { SessionClient } from './session-client.js'

/** Told once: the lease, or why there is none. */
export type LeaseCallback = (error: Error | undefined, lease?: Lease) => void

/** A caller in the queue. */
export class LeaseWaiter implements Waiter<SessionClient, SchedulerPool> {
  readonly sinceMs: number
  readonly holder: Work | undefined
  readonly #pool: SchedulerPool
  readonly #signals: AbortSignal[] = []
  readonly #done: LeaseCallback
  #onAbort: (() => void) | undefined

  constructor(pool: SchedulerPool, sinceMs: number, holder: Work | undefined, done: LeaseCallback) {
    this.#pool = pool
    this.sinceMs = sinceMs
    this.holder = holder
    this.#done = done
  }

  /** Gives up when one of the signals is aborted; `leave` takes the waiter out of its queue. */
  leaveOnAbort(signals: readonly AbortSignal[], leave: () => boolean): void {
    this.#onAbort = () => {
      if (leave()) this.reject(abortedError(this.#signals))
    }
    for (const signal of signals) {
      this.#signals.push(signal)
      signal.addEventListener('abort', this.#onAbort)
    }
  }

  grant(lease: Lease): void {
    this.#settle()
    this.#done(undefined, lease)
  }

  reject(error: Error): void {
    this.#settle()
    connectionEvents.reject(this.#pool, error, performance.now() - this.sinceMs)
    this.#done(error)
  }

  #settle(): void {
    if (this.#onAbort === undefined) return
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#onAbort)
  }
}
