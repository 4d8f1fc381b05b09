import { outsideOfRequests } from './caller-context.js'
import type { SessionEntry } from './checkout.js'

/** The work of {@link IdleWork}. */
export interface IdleWorkOptions {
  /** How long a connection has to be idle first. */
  readonly afterMs: number
  /** Whether there is something to do on an idle connection. */
  readonly isDue: (entry: SessionEntry) => boolean
  readonly run: (entry: SessionEntry, nowMs: number) => void
}

/** Work on connections for which nobody waits: it is done once they have been idle for a while. */
export class IdleWork {
  readonly #entries: Iterable<SessionEntry>
  readonly #options: IdleWorkOptions
  #timer: NodeJS.Timeout | undefined

  /** `entries` has all idle ones among them. */
  constructor(entries: Iterable<SessionEntry>, options: IdleWorkOptions) {
    this.#entries = entries
    this.#options = options
  }

  /** Call it when a connection becomes idle that work is due on. */
  plan(nowMs: number): void {
    this.#timer ??= outsideOfRequests(() => this.#await(nowMs, nowMs))
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** One timer serves all: it waits for the connection that has been idle for the longest time. */
  #await(idleSinceMs: number, nowMs: number): NodeJS.Timeout {
    const { afterMs, isDue, run } = this.#options
    const onDue = (): void => {
      const atMs = performance.now()
      let nextSinceMs = Infinity
      for (const entry of this.#entries) {
        if (entry.state !== 'idle' || !isDue(entry)) continue
        if (entry.sinceMs + afterMs <= atMs) run(entry, atMs)
        else nextSinceMs = Math.min(nextSinceMs, entry.sinceMs)
      }
      this.#timer = nextSinceMs === Infinity ? undefined : this.#await(nextSinceMs, atMs)
    }
    return setTimeout(onDue, Math.ceil(idleSinceMs + afterMs - nowMs) + 1).unref()
  }
}
