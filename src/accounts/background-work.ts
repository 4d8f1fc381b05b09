import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { findTenancyError } from '../core/errors/errors.js'
import type { Logger } from '../core/logger.js'

/** Work that no answer waits for. */
export interface BackgroundWork {
  /**
   * Starts `work` a moment later, at random: else a request that follows at once would wait for it, and tell whether there was
   * any. A failure is logged with `fields`; what the error says is not, it may repeat what was to be sent.
   */
  start(work: () => Promise<void>, fields: Readonly<Record<string, string>>): void
  /** Resolves when everything started until then has ended. */
  settle(): Promise<void>
}

/** Makes a {@link BackgroundWork}. `failure`: what the log says when a piece of it fails. */
export function createBackgroundWork(logger: Logger, failure: string): BackgroundWork {
  const running = new Set<Promise<void>>()
  return {
    start(work, fields) {
      const run = sleep(randomInt(20, 120))
        .then(work)
        .catch((error: unknown) => logger.error({ ...fields, error: nameOf(error) }, failure))
        .finally(() => running.delete(run))
      running.add(run)
    },
    async settle() {
      while (running.size > 0) await Promise.all(running)
    },
  }
}

function nameOf(error: unknown): string {
  return findTenancyError(error)?.code ?? (error instanceof Error ? error.name : typeof error)
}
