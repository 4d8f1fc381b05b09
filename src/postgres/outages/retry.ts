import { setTimeout as sleep } from 'node:timers/promises'

/** Conditions under which {@link retry} tries again. Attempts count from 1. */
export interface RetryRule {
  /** Tells whether another attempt makes sense after an attempt failed. */
  readonly mayRetry: (error: unknown, attempt: number) => boolean
  /** Pause after an attempt that failed, milliseconds. */
  readonly pauseMs: (attempt: number) => number
}

/** Runs `work` until it succeeds, or fails in a way that another attempt does not help; then with that error. */
export async function retry<Result>(
  work: (attempt: number) => Promise<Result>,
  { mayRetry, pauseMs }: RetryRule,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(attempt)
    } catch (error) {
      if (!mayRetry(error, attempt)) throw error
    }
    await sleep(pauseMs(attempt))
  }
}
