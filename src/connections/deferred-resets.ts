import type { SessionEntry } from './checkout.js'
import { IdleWork } from './idle-work.js'
import type { SessionClient } from './session/client/session-client.js'

/** How long a reset may be deferred. */
const deferralMs = 1000

/**
 * Resets that wait for the next use of their connection. While the budget is used up, many connections of rare tenants
 * are closed for another tenant before that. The wait is short: what was left in the session, a lock perhaps, may be
 * what others of its tenant wait for.
 */
export class DeferredResets {
  readonly #overdue: IdleWork

  /** `entries` has all idle ones among them. `reset` is called for those whose reset was deferred for too long. */
  constructor(entries: Iterable<SessionEntry>, reset: (entry: SessionEntry, nowMs: number) => void) {
    this.#overdue = new IdleWork(entries, { afterMs: deferralMs, isDue: (entry) => this.isDue(entry), run: reset })
  }

  /** Marks a connection that becomes idle now. */
  defer(client: SessionClient, nowMs: number): void {
    client.touched = true
    this.#overdue.plan(nowMs)
  }

  /** Whether the connection of an idle entry is to be reset before it is used. */
  isDue({ connection }: SessionEntry): boolean {
    return connection?.touched === true
  }

  stop(): void {
    this.#overdue.stop()
  }
}
