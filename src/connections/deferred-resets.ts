import { outsideOfRequests } from './caller-context.js'
import type { SessionEntry } from './checkout.js'
import type { SessionClient } from './session/session-client.js'

/** How long a reset may be deferred. */
const deferralMs = 1000

/**
 * Resets that wait for the next use of their connection. While the budget is used up, many connections of rare tenants
 * are closed for another tenant before that. The wait is short: what was left in the session, a lock perhaps, may be
 * what others of its tenant wait for.
 */
export class DeferredResets {
  readonly #entries: Iterable<SessionEntry>
  readonly #reset: (entry: SessionEntry, nowMs: number) => void
  #timer: NodeJS.Timeout | undefined

  /** `entries` has all idle ones among them. `reset` is called for those whose reset was deferred for too long. */
  constructor(entries: Iterable<SessionEntry>, reset: (entry: SessionEntry, nowMs: number) => void) {
    this.#entries = entries
    this.#reset = reset
  }

  /** Marks a connection that becomes idle now. */
  defer(client: SessionClient, nowMs: number): void {
    client.touched = true
    this.#timer ??= outsideOfRequests(() => this.#await(nowMs, nowMs))
  }

  /** Whether the connection of an idle entry is to be reset before it is used. */
  isDue({ connection }: SessionEntry): boolean {
    return connection?.touched === true
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** One timer serves all: it waits for the connection that has been idle for the longest time. */
  #await(idleSinceMs: number, nowMs: number): NodeJS.Timeout {
    const onOverdue = (): void => {
      const atMs = performance.now()
      let nextSinceMs = Infinity
      for (const entry of this.#entries) {
        if (entry.state !== 'idle' || !this.isDue(entry)) continue
        if (entry.sinceMs + deferralMs <= atMs) this.#reset(entry, atMs)
        else nextSinceMs = Math.min(nextSinceMs, entry.sinceMs)
      }
      this.#timer = nextSinceMs === Infinity ? undefined : this.#await(nextSinceMs, atMs)
    }
    return setTimeout(onOverdue, Math.ceil(idleSinceMs + deferralMs - nowMs) + 1).unref()
  }
}
