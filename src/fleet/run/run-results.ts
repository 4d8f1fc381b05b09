import type { FleetProgress } from '../../core/fleet/run.js'

const maxFailures = 20

/** Functions of the caller's that follow a run. */
export interface RunListeners<Result> {
  readonly onResult?: ((result: Result) => unknown) | undefined
  readonly onProgress?: ((progress: FleetProgress) => void) | undefined
}

/** Counts the results of a run and hands them on. */
export interface RunResults<Result extends { readonly outcome: string }> {
  /** Counts tenants that need no look, by what the catalog knows. */
  addUnseen(outcome: Result['outcome'], count: number): void
  /** Resolves when the caller has taken the result; never rejects. */
  add(result: Result): Promise<void>
  /** Whether a function of the caller's has failed: no result can be handed on any more. */
  readonly isBroken: boolean
  /** Results by outcome. */
  readonly counts: Readonly<Record<Result['outcome'], number>>
  readonly failed: number
  /** The first failures. */
  readonly failures: readonly Result[]
  /** @throws what a function of the caller's has thrown */
  rethrow(): void
}

/**
 * @param zero a count of 0 for every outcome
 * @param planned tenants that the run is about, for `onProgress`
 */
export function createRunResults<Result extends { readonly outcome: string }>(
  { onResult, onProgress }: RunListeners<Result>,
  zero: Readonly<Record<Result['outcome'], number>>,
  planned: number,
): RunResults<Result> {
  const counts: Record<string, number> = { ...zero }
  const failures: Result[] = []
  let failed = 0
  let done = 0
  let broken: { readonly error: unknown } | undefined
  let handing: Promise<void> = Promise.resolve()

  const count = (outcome: string, more: number) => {
    counts[outcome] = (counts[outcome] ?? 0) + more
  }
  const handOn = async (result: Result) => {
    if (broken) return
    try {
      await onResult?.(result)
      done += 1
      onProgress?.({ planned, done, failed })
    } catch (error) {
      broken = { error }
    }
  }

  return {
    counts: counts as Record<Result['outcome'], number>,
    failures,
    get failed() {
      return failed
    },
    get isBroken() {
      return broken !== undefined
    },
    addUnseen: count,
    add(result) {
      count(result.outcome, 1)
      if (result.outcome === 'failed') {
        failed += 1
        if (failures.length < maxFailures) failures.push(result)
      }
      handing = handing.then(() => handOn(result))
      return handing
    },
    rethrow() {
      if (broken) throw broken.error
    },
  }
}
