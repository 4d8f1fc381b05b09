import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../core/logger.js'

/** What keeps databases in stock. */
export interface Stock {
  /** Builds until the stock is full; rejects with the first error. */
  fill(): Promise<void>
  /** Fills in the background; errors are logged and tried again, later and later. */
  refill(): void
  /** Starts no further build and waits for the background to end. */
  close(): Promise<void>
}

/** How a stock is filled. */
export interface StockOptions {
  /** Runs before every fill in the background: clears away what died. */
  readonly reconcile: () => Promise<unknown>
  /** Builds one database; false when the stock is full. */
  readonly buildOne: () => Promise<boolean>
  /** How many builds to ask for at a time. */
  readonly workers: number
  readonly logger: Logger
  /** First pause after an error, doubled up to 60 times that. Default: 500. */
  readonly retryDelayMs?: number
}

/** A stock that is filled by `buildOne`. */
export function createStock({ reconcile, buildOne, workers, logger, retryDelayMs = 500 }: StockOptions): Stock {
  const closing = new AbortController()
  let background: Promise<void> | undefined
  let isWanted = false

  const work = async () => {
    while (!closing.signal.aborted && (await buildOne())) continue
  }
  const fill = async () => {
    const results = await Promise.allSettled(Array.from({ length: workers }, work))
    const failure = results.find((result) => result.status === 'rejected')
    if (failure) throw failure.reason
  }

  const fillUntilDone = async () => {
    for (let delayMs = retryDelayMs; isWanted && !closing.signal.aborted;) {
      isWanted = false
      try {
        await reconcile()
        await fill()
        delayMs = retryDelayMs
      } catch (error) {
        if (closing.signal.aborted) return
        logger.error({ err: error, retryInMs: delayMs }, 'No tenant database could be built for the stock')
        isWanted = true
        // Aborted by close(), which is no error.
        await sleep(delayMs, undefined, { signal: closing.signal, ref: false }).catch(() => {})
        delayMs = Math.min(delayMs * 2, retryDelayMs * 60)
      }
    }
  }

  const refill = () => {
    isWanted = true
    background ??= fillUntilDone().finally(() => {
      background = undefined
      // Asked for again after the last look.
      if (isWanted && !closing.signal.aborted) refill()
    })
  }

  return {
    fill,
    refill,
    async close() {
      closing.abort()
      await background
    },
  }
}
