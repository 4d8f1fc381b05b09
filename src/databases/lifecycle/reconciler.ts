import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../core/logger.js'

/** Reconciles in the background, from `start` to `close`. */
export interface Reconciler {
  start(): void
  /** Ends the pause, and waits for a pass under way. */
  close(): Promise<void>
}

/** What {@link createReconciler} needs. */
export interface ReconcilerOptions {
  /** Runs one pass; a thorough one compares everything. */
  readonly reconcile: (isThorough: boolean) => Promise<unknown>
  /** Whether this process is the one that reconciles now. */
  readonly lead: () => Promise<boolean>
  /** Time between two passes, varied by a fifth, milliseconds. */
  readonly intervalMs: number
  readonly logger: Logger
}

/** One pass of so many is thorough. */
const thoroughEvery = 12

/**
 * Reconciles at once and then at intervals. Every process runs the first pass, which is thorough; later passes are run by
 * one process at a time. An error is logged once while it lasts, and the next pass tries again. The timer does not keep a
 * process alive.
 */
export function createReconciler({ reconcile, lead, intervalMs, logger }: ReconcilerOptions): Reconciler {
  const closing = new AbortController()
  const { signal } = closing
  let running: Promise<void> | undefined

  const run = async () => {
    let isFailing = false
    for (let pass = 0; !signal.aborted; pass += 1) {
      try {
        if (pass === 0 || (await lead())) await reconcile(pass % thoroughEvery === 0)
        isFailing = false
      } catch (error) {
        if (!isFailing && !signal.aborted) {
          logger.error({ err: error, retryInMs: intervalMs }, 'Tenant databases could not be reconciled')
        }
        isFailing = true
      }
      // close() aborts the pause, which is no error.
      await sleep(intervalMs * (0.8 + Math.random() * 0.4), undefined, { signal, ref: false }).catch(() => {})
    }
  }

  return {
    start: () => void (running ??= run()),
    async close() {
      closing.abort()
      await running
    },
  }
}
