import type { Slot } from './allocation/ports.js'
import { outsideOfRequests } from './caller-context.js'
import type { SessionClient } from './session/session-client.js'

/** How long a reset may be put off. */
const deferralMs = 1000

/**
 * Resets that wait for the next use of their connection. Where connections are short, many of those of rare tenants are
 * closed for another tenant before that. It is not for long: what was left in the session, a lock perhaps, may be what
 * others of its tenant wait for.
 */
export class DeferredResets<Owner> {
  readonly #slots: Iterable<Slot<SessionClient, Owner>>
  readonly #reset: (slot: Slot<SessionClient, Owner>, nowMs: number) => void
  #timer: NodeJS.Timeout | undefined

  /** `slots`: among them are all that are idle. `reset` is called for those that have been idle for too long. */
  constructor(
    slots: Iterable<Slot<SessionClient, Owner>>,
    reset: (slot: Slot<SessionClient, Owner>, nowMs: number) => void,
  ) {
    this.#slots = slots
    this.#reset = reset
  }

  /** Marks a connection that becomes idle now. */
  defer(client: SessionClient, nowMs: number): void {
    client.touched = true
    this.#timer ??= outsideOfRequests(() => this.#await(nowMs, nowMs))
  }

  /** Whether the connection of an idle slot is to be reset before anybody uses it. */
  isDue({ connection }: Slot<SessionClient, Owner>): boolean {
    return connection?.touched === true
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** One timer for all: it waits for the connection that has been idle for longest now. */
  #await(idleSinceMs: number, nowMs: number): NodeJS.Timeout {
    const onOverdue = (): void => {
      const atMs = performance.now()
      let nextSinceMs = Infinity
      for (const slot of this.#slots) {
        if (slot.state !== 'idle' || !this.isDue(slot)) continue
        if (slot.sinceMs + deferralMs <= atMs) this.#reset(slot, atMs)
        else nextSinceMs = Math.min(nextSinceMs, slot.sinceMs)
      }
      this.#timer = nextSinceMs === Infinity ? undefined : this.#await(nextSinceMs, atMs)
    }
    return setTimeout(onOverdue, Math.ceil(idleSinceMs + deferralMs - nowMs) + 1).unref()
  }
}
