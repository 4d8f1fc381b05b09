import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { findTenancyError } from '../core/errors/errors.js'
import type { Logger } from '../core/logger.js'

/** Runs tasks that no answer waits for. */
export interface BackgroundWork {
  /**
   * Starts a task after a short random delay. Otherwise the next request would have to wait for it, and its time would tell
   * whether there was a task. A failure is logged with `fields`, without the error's message, which may repeat what was to be
   * sent.
   */
  start(task: () => Promise<void>, fields: Readonly<Record<string, string>>): void
  /** Resolves when all started tasks have ended. */
  settle(): Promise<void>
}

/** Creates a {@link BackgroundWork}. `failure`: the log message for a task that fails. */
export function createBackgroundWork(logger: Logger, failure: string): BackgroundWork {
  const running = new Set<Promise<void>>()
  return {
    start(task, fields) {
      const run = sleep(randomInt(20, 120))
        .then(task)
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
