import type { Allocator } from './allocation/allocator.js'
import { findStuck, type Stuck } from './allocation/deadlock-search.js'
import { outsideOfRequests } from './caller-context.js'
import type { CheckoutPool, SessionEntry } from './checkout.js'
import type { SessionClient } from './session/client/session-client.js'

/** Looks for requests that wait for each other's connections, as long as any waits. Names one of them to be refused. */
export class DeadlockWatch {
  readonly #allocator: Allocator<SessionClient, CheckoutPool>
  readonly #checkMs: number
  readonly #onStuck: (stuck: Stuck<SessionClient, CheckoutPool>) => void
  #check: NodeJS.Timeout | undefined
  /** How much each connection had read at the last check. */
  #bytesRead = new Map<SessionEntry, number>()

  constructor(
    allocator: Allocator<SessionClient, CheckoutPool>,
    checkMs: number,
    onStuck: (stuck: Stuck<SessionClient, CheckoutPool>) => void,
  ) {
    this.#allocator = allocator
    this.#checkMs = checkMs
    this.#onStuck = onStuck
  }

  /** Call it when a request waits: it may hold a connection already. */
  watch(): void {
    this.#check ??= outsideOfRequests(() => setTimeout(() => this.#look(), this.#checkMs).unref())
  }

  stop(): void {
    clearTimeout(this.#check)
  }

  #look(): void {
    const before = this.#bytesRead
    const { entries } = this.#allocator.budget
    this.#bytesRead = new Map([...entries].map((entry) => [entry, entry.connection?.bytesRead ?? 0]))
    const stuck = findStuck(
      this.#allocator,
      (entry) => entry.connection?.resting === true && before.get(entry) === entry.connection.bytesRead,
    )
    if (stuck !== undefined) this.#onStuck(stuck)
    this.#check = undefined
    if (this.#allocator.waiting > 0) this.watch()
    else this.#bytesRead.clear()
  }
}
