import { setTimeout as sleep } from 'node:timers/promises'
import type { ChangeLog } from '../../core/change-log.js'
import type { ChangeFeed } from './change-feed.js'

// The log keeps changes for a day; the rest of the day is left to transactions that stay open.
const longestGapMs = 3_600_000

/** Reads the log of changes repeatedly until the feed is closed. Rejects when a read fails. */
export async function followChanges(log: ChangeLog, feed: ChangeFeed): Promise<void> {
  const { maxStalenessMs, signal } = feed
  let snapshot: string | undefined
  let lookedAtMs = performance.now()
  while (!signal.aborted) {
    const nowMs = performance.now()
    // A process that was stopped for long may have missed changes that the log no longer has.
    if (nowMs - lookedAtMs > longestGapMs) snapshot = undefined
    const seen = await log.readChanges(snapshot)
    if (snapshot === undefined) feed.announceAll()
    for (const message of seen.changes) feed.announce(message)
    feed.confirm(nowMs)
    snapshot = seen.snapshot
    lookedAtMs = nowMs
    await sleep(maxStalenessMs / 4, undefined, { signal, ref: false }).catch(() => {})
  }
}
