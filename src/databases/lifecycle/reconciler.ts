import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../core/logger.js'

/** Reconciles in the background, from `start` to `close`. */
export interface Reconciler {
  start(): void
  /** Ends the wait, and waits for a pass that is under way. */
  close(): Promise<void>
}

/** What a {@link Reconciler} runs. */
export interface ReconcilerOptions {
  /** One pass; a thorough one looks at everything. */
  readonly reconcile: (isThorough: boolean) => Promise<unknown>
  /** Whether it is this process's turn. */
  readonly lead: () => Promise<boolean>
  /** Between two passes, give or take a fifth. */
  readonly intervalMs: number
  readonly logger: Logger
}

/** Every so many passes, one is thorough. */
const thoroughEvery = 12

/**
 * Reconciles at once and then at intervals. The first pass, a thorough one, is every process's own; of the later ones
 * one process does at a time. An error is logged, once while it lasts, and the next pass tries again. The timer does not
 * keep a process alive.
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
      // Aborted by close(), which is no error.
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
