import type { FleetMigrateOptions, FleetResult } from '../core/fleet/fleet.js'

const maxFailures = 20

/** Counts the results of a run and hands them on. */
export interface RunResults {
  /** Counts tenants that need no look, by what the catalog knows. */
  addCurrent(count: number): void
  /** Resolves when the caller has taken the result; never rejects. */
  add(result: FleetResult): Promise<void>
  /** Whether a function of the caller's has failed: no result can be handed on any more. */
  readonly isBroken: boolean
  /** Results by outcome. */
  readonly counts: Readonly<Record<FleetResult['outcome'], number>>
  /** The first failures. */
  readonly failures: readonly FleetResult[]
  /** @throws what a function of the caller's has thrown */
  rethrow(): void
}

/** @param planned tenants that the run is about, for `onProgress` */
export function createRunResults(
  { onResult, onProgress }: Pick<FleetMigrateOptions, 'onResult' | 'onProgress'>,
  planned: () => number,
): RunResults {
  const counts = { migrated: 0, current: 0, failed: 0, skipped: 0 }
  const failures: FleetResult[] = []
  let done = 0
  let broken: { readonly error: unknown } | undefined
  let handing: Promise<void> = Promise.resolve()

  const handOn = async (result: FleetResult) => {
    if (broken) return
    try {
      await onResult?.(result)
      done += 1
      onProgress?.({ planned: planned(), done, failed: counts.failed })
    } catch (error) {
      broken = { error }
    }
  }

  return {
    counts,
    failures,
    get isBroken() {
      return broken !== undefined
    },
    addCurrent(count) {
      counts.current += count
    },
    add(result) {
      counts[result.outcome] += 1
      if (result.outcome === 'failed' && failures.length < maxFailures) failures.push(result)
      handing = handing.then(() => handOn(result))
      return handing
    },
    rethrow() {
      if (broken) throw broken.error
    },
  }
}
