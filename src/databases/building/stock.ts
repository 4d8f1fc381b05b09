import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../core/logger.js'

/** Keeps ready databases in stock. */
export interface Stock {
  /** Builds until the stock is full; rejects with the first error. */
  fill(): Promise<void>
  /** Fills in the background; after an error it is logged and tried again, with growing pauses. */
  refill(): void
  /** Starts no further build and waits for the background to end. */
  close(): Promise<void>
}

/** Options of {@link createStock}. */
export interface StockOptions {
  /** Runs before every fill in the background: drops what dead processes left. */
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
        // close() aborts the pause, which is no error.
        await sleep(delayMs, undefined, { signal: closing.signal, ref: false }).catch(() => {})
        delayMs = Math.min(delayMs * 2, retryDelayMs * 60)
      }
    }
  }

  const refill = () => {
    isWanted = true
    background ??= fillUntilDone().finally(() => {
      background = undefined
      // refill() was called after the last check of `isWanted`.
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
