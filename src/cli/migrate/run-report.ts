import type { FleetProgress, FleetReport, FleetResult, FleetStopReason } from '../../index.js'
import { countText } from '../../core/text.js'
import type { CommandContext } from '../context.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Page } from '../output/page.js'
import { durationText } from '../output/progress.js'
import { describeFailure } from '../report-failure.js'
import type { Shape } from '../shapes.js'

/** A tenant that a run failed for. */
export interface FailedTenant {
  readonly id: string
  readonly slug: string
  readonly code: string
  readonly message: string
}

/** What every report of a run over tenants has. */
interface RunReport {
  readonly failed: number
  readonly remaining: number
  readonly durationMs: number
  readonly stopped: FleetStopReason | undefined
  readonly failures: readonly unknown[]
}

/** A report as commands write it. */
export type Reported<Report extends RunReport> = Omit<Report, 'failures' | 'stopped'> & {
  readonly stopped: FleetStopReason | null
  /** The first {@link maxNamedFailures}. */
  readonly failures: readonly FailedTenant[]
}

/** Most failed tenants that a report names. The count is of all. */
export const maxNamedFailures = 1000

export const failureShape = { id: 'string', slug: 'string', code: 'string', message: 'string' } as const satisfies Shape

/** What reports of runs have in common, with `--json`. */
export const runShape = {
  failed: 'number',
  skipped: 'number',
  remaining: 'number',
  stopped: "'signal' | 'failures' | 'canary' | null",
  durationMs: 'number',
  failures: [failureShape],
} as const satisfies Shape

/** Describes the failure of one tenant. */
export function failedTenant({ tenant, error }: Pick<FleetResult, 'tenant' | 'error'>): FailedTenant {
  const { code, message } = describeFailure(error)
  return { id: tenant.id, slug: tenant.slug, code, message }
}

type AnyResult = Pick<FleetResult, 'tenant' | 'error'> & { readonly outcome: string }

/** What a run is given so that a command can follow it. */
export interface Following<Result> {
  readonly signal: AbortSignal
  readonly onResult: (result: Result) => void
  readonly onProgress: (progress: FleetProgress) => void
}

/**
 * Follows a run: shows how far it is, collects those that failed, ends it on Ctrl-C.
 *
 * @param onResult receives each result, too
 */
export async function followRun<Result extends AnyResult, Report extends RunReport>(
  context: CommandContext,
  what: string,
  run: (following: Following<Result>) => Promise<Report>,
  onResult?: (result: Result) => void,
): Promise<Reported<Report>> {
  const progress = await context.progress(what)
  const failures: FailedTenant[] = []
  const {
    stopped = null,
    failures: _first,
    ...report
  } = await run({
    signal: context.signal,
    onResult(result) {
      if (result.outcome === 'failed' && failures.length < maxNamedFailures) failures.push(failedTenant(result))
      onResult?.(result)
    },
    onProgress: ({ done, planned, failed }) => progress.update(done, planned, failed),
  })
  return { ...report, stopped, failures }
}

/** Shows those that failed. */
export function renderFailures(page: Page, failures: readonly FailedTenant[], failed: number): void {
  if (failed === 0) return
  page.line()
  page.table(
    ['FAILED', 'CODE', 'WHY'],
    failures.map(({ slug, code, message }) => [{ text: slug, style: 'red' }, code, message]),
  )
  if (failed > failures.length) page.line(`… and ${failed - failures.length} more`)
}

type RunEnd = Pick<Reported<FleetReport>, 'failed' | 'failures' | 'stopped' | 'remaining'>

/** Shows those that failed, and why the run has not begun every tenant. */
export function renderRunEnd(page: Page, { failed, failures, stopped, remaining }: RunEnd): void {
  renderFailures(page, failures, failed)
  if (stopped === null) return
  const reason = {
    signal: 'Interrupted',
    failures: 'Stopped after too many failures',
    canary: 'Stopped: a tenant of the first wave failed',
  }[stopped]
  const left = countText(remaining, 'tenant was', 'tenants were')
  page.line(`${reason}: ${left} not begun. Run the command again: it goes on where it stopped.`, 'yellow')
}

/** How a run over tenants ends. */
export function runExitCode({ stopped, failed }: Pick<RunEnd, 'stopped' | 'failed'>): ExitCode {
  if (stopped === 'signal') return exitCodes.interrupted
  return failed > 0 || stopped !== null ? exitCodes.failed : exitCodes.ok
}

/** Writes a time as reports do. */
export function tookText(durationMs: number): string {
  return durationMs < 1000 ? `${Math.round(durationMs)} ms` : durationText(durationMs / 1000)
}

/** The first line of a report: what was done, how many failed, and how long it took. */
export function renderCounts(page: Page, { failed, skipped, durationMs }: Counts, done: string): void {
  const text = `${done}, ${failed} failed, ${skipped} skipped in ${tookText(durationMs)}`
  page.line(text, failed > 0 ? 'red' : 'green')
}

interface Counts extends Pick<RunReport, 'failed' | 'durationMs'> {
  readonly skipped: number
}
