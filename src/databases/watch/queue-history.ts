import { fullQueue, type QueueFacts } from './offenders.js'

/** Keeps what successive checks have shown of the NOTIFY queue. */
export interface QueueHistory {
  /**
   * Adds what a check has shown, and returns what is known by now.
   *
   * @param holder the session that PostgreSQL named at this check
   * @param sentAt when the check was sent, milliseconds; the sessions that it shows existed then
   * @param seenAt when its answer came, milliseconds
   */
  record(usage: number, holder: number | undefined, sentAt: number, seenAt: number): QueueFacts
  /** Starts anew, because the queue has room and PostgreSQL was not asked for a name. */
  clear(): void
}

/** An empty history. */
export function createQueueHistory(): QueueHistory {
  let unnamedSince: number | undefined
  let fullSince: number | undefined
  let lastUsage = 0
  const clear = () => {
    unnamedSince = undefined
    fullSince = undefined
    lastUsage = 0
  }
  return {
    record(usage, holder, sentAt, seenAt) {
      unnamedSince = holder === undefined ? (unnamedSince ?? seenAt) : undefined
      // A lower usage shows that the queue was emptied in between: another session may hold it since.
      if (usage < fullQueue) fullSince = undefined
      else if (fullSince === undefined || usage < lastUsage) fullSince = seenAt
      lastUsage = usage
      const since = (from: number | undefined) => (from === undefined ? 0 : Math.max(0, sentAt - from))
      return { holder, unnamedMs: since(unnamedSince), fullMs: since(fullSince) }
    },
    clear,
  }
}
