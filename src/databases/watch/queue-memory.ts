import { fullQueue, type QueueFacts } from './verdict.js'

/** Remembers the NOTIFY queue from look to look. */
export interface QueueMemory {
  /**
   * Takes what a look has shown.
   *
   * @param holder the session that PostgreSQL named at this look
   * @param sentAt when the look was sent, milliseconds; sessions are at least as old as then
   * @param seenAt when its answer came
   */
  see(usage: number, holder: number | undefined, sentAt: number, seenAt: number): QueueFacts
  /** Nobody was asked for a name, since there is room. */
  forget(): void
}

/** A memory that knows nothing yet. */
export function createQueueMemory(): QueueMemory {
  let unnamedSince: number | undefined
  let fullSince: number | undefined
  let lastUsage = 0
  const forget = () => {
    unnamedSince = undefined
    fullSince = undefined
    lastUsage = 0
  }
  return {
    see(usage, holder, sentAt, seenAt) {
      unnamedSince = holder === undefined ? (unnamedSince ?? seenAt) : undefined
      // A fall shows that the queue went on: another session may hold it since.
      if (usage < fullQueue) fullSince = undefined
      else if (fullSince === undefined || usage < lastUsage) fullSince = seenAt
      lastUsage = usage
      const since = (from: number | undefined) => (from === undefined ? 0 : Math.max(0, sentAt - from))
      return { holder, unnamedMs: since(unnamedSince), fullMs: since(fullSince) }
    },
    forget,
  }
}
