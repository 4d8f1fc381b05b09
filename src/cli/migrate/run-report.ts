import type { FleetReport, FleetResult } from '../../index.js'
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

/** Most failed tenants that a report names. The count is of all. */
export const maxNamedFailures = 1000

export const failureShape = { id: 'string', slug: 'string', code: 'string', message: 'string' } as const satisfies Shape

/** Describes the failure of one tenant. */
export function failedTenant({ tenant, error }: Pick<FleetResult, 'tenant' | 'error'>): FailedTenant {
  const { code, message } = describeFailure(error)
  return { id: tenant.id, slug: tenant.slug, code, message }
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

/** Says why a run has not begun every tenant, and what to do; undefined: it has. */
export function whyStopped({ stopped, remaining }: Pick<FleetReport, 'stopped' | 'remaining'>): string | undefined {
  if (stopped === undefined) return undefined
  const reason = {
    signal: 'Interrupted',
    failures: 'Stopped after too many failures',
    canary: 'Stopped: a tenant of the first wave failed',
  }[stopped]
  const left = remaining === 1 ? '1 tenant was' : `${remaining} tenants were`
  return `${reason}: ${left} not begun. Run the command again: it goes on where it stopped.`
}

/** How a run over tenants ends. */
export function runExitCode({ stopped, failed }: Pick<FleetReport, 'stopped' | 'failed'>): ExitCode {
  if (stopped === 'signal') return exitCodes.interrupted
  return failed > 0 || stopped !== undefined ? exitCodes.failed : exitCodes.ok
}

/** Writes a time as reports do. */
export function tookText(durationMs: number): string {
  return durationMs < 1000 ? `${Math.round(durationMs)} ms` : durationText(durationMs / 1000)
}
