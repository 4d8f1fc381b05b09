import type { Slot } from './allocation/ports.js'
import type { Allocator } from './allocation/allocator.js'
import { outsideOfRequests } from './caller-context.js'
import { findStuck, type Stuck } from './allocation/deadlock-search.js'
import type { TenantPgPool } from './tenant-pool.js'
import type { SessionClient } from './session/session-client.js'

/** Looks for works that wait for each other's connections as long as anybody waits, and names one to be turned away. */
export class DeadlockWatch {
  readonly #allocator: Allocator<SessionClient, TenantPgPool>
  readonly #checkMs: number
  readonly #onStuck: (stuck: Stuck<SessionClient, TenantPgPool>) => void
  #check: NodeJS.Timeout | undefined
  /** What each connection had read at the last check. */
  #bytesRead = new Map<Slot<SessionClient, TenantPgPool>, number>()

  constructor(
    allocator: Allocator<SessionClient, TenantPgPool>,
    checkMs: number,
    onStuck: (stuck: Stuck<SessionClient, TenantPgPool>) => void,
  ) {
    this.#allocator = allocator
    this.#checkMs = checkMs
    this.#onStuck = onStuck
  }

  /** Somebody waits who may hold a connection already. */
  watch(): void {
    this.#check ??= outsideOfRequests(() => setTimeout(() => this.#look(), this.#checkMs).unref())
  }

  stop(): void {
    clearTimeout(this.#check)
  }

  #look(): void {
    const before = this.#bytesRead
    this.#bytesRead = new Map([...this.#allocator.slots].map((slot) => [slot, slot.connection?.bytesRead ?? 0]))
    const stuck = findStuck(
      this.#allocator,
      (slot) => slot.connection?.resting === true && before.get(slot) === slot.connection.bytesRead,
    )
    if (stuck !== undefined) this.#onStuck(stuck)
    this.#check = undefined
    if (this.#allocator.waiting > 0) this.watch()
    else this.#bytesRead.clear()
  }
}
