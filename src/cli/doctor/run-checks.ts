import { setTimeout as sleep } from 'node:timers/promises'
import type { Check, CheckResult } from './check.js'
import type { DoctorContext } from './context.js'
import { type CheckStatus, type Finding, Unmet } from './finding.js'

/** Options of {@link runChecks}. */
export interface RunChecksOptions {
  /** Whether repairs that are safe are made. Default: false. */
  readonly fix?: boolean
  /** Replaces secrets in what checks say. */
  readonly hide: (text: string) => string
  /** Aborted: no further check begins, and the run rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Receives each result in the order of the checks. */
  readonly onResult?: (result: CheckResult) => void
}

/** What the doctor says in all. */
export interface Diagnosis {
  /** The worst of all results. */
  readonly status: Exclude<CheckStatus, 'skipped'>
  readonly counts: Readonly<Record<CheckStatus, number>>
  readonly checks: readonly CheckResult[]
}

const defaultTimeoutMs = 10_000
const fixTimeoutMs = 300_000

/**
 * Runs checks one after the other. A check that throws or takes too long is a result; the others go on.
 */
export async function runChecks(
  checks: readonly Check[],
  context: DoctorContext,
  options: RunChecksOptions,
): Promise<Diagnosis> {
  const results: CheckResult[] = []
  for (const check of checks) {
    options.signal?.throwIfAborted()
    const result = await runCheck(check, context, options)
    results.push(result)
    options.onResult?.(result)
  }
  const counts = { ok: 0, warning: 0, problem: 0, skipped: 0 }
  for (const { status } of results) counts[status] += 1
  return { status: counts.problem > 0 ? 'problem' : counts.warning > 0 ? 'warning' : 'ok', counts, checks: results }
}

async function runCheck(check: Check, context: DoctorContext, options: RunChecksOptions): Promise<CheckResult> {
  const startedMs = performance.now()
  const first = await findingOf(check, context)
  const { finding, fixed } =
    options.fix && first.fix ? await repair(check, context, first) : { finding: first, fixed: '' }
  const { status, what, advice, fix } = finding
  return {
    name: check.name,
    status,
    what: options.hide(what),
    ...(advice === undefined ? {} : { advice: options.hide(advice) }),
    ...(fix === undefined ? {} : { fix: fix.what }),
    ...(fixed === '' ? {} : { fixed: options.hide(fixed) }),
    durationMs: Math.round(performance.now() - startedMs),
  }
}

async function findingOf(check: Check, context: DoctorContext): Promise<Finding> {
  const { timeoutMs = defaultTimeoutMs } = check
  try {
    return await within(timeoutMs, async () => check.run(context))
  } catch (error) {
    if (error instanceof Unmet) return { status: 'skipped', what: `Needs ${error.need}` }
    return {
      status: 'problem',
      what: `This check failed: ${messageOf(error)}`,
      advice: 'If the message does not say why, please report it: the check should have',
    }
  }
}

/** Makes a repair, and checks again. */
async function repair(
  check: Check,
  context: DoctorContext,
  found: Finding,
): Promise<{ readonly finding: Finding; readonly fixed: string }> {
  const { fix } = found
  if (fix === undefined) return { finding: found, fixed: '' }
  try {
    const fixed = await within(fixTimeoutMs, () => fix.apply())
    return { finding: await findingOf(check, context), fixed }
  } catch (error) {
    const reason = error instanceof Unmet ? error.message : messageOf(error)
    return { finding: { ...found, what: `${found.what}; --fix failed: ${reason}` }, fixed: '' }
  }
}

async function within<Result>(timeoutMs: number, work: () => Promise<Result>): Promise<Result> {
  const cancel = new AbortController()
  const late = sleep(timeoutMs, undefined, { signal: cancel.signal }).then(() => {
    throw new Error(`no answer within ${timeoutMs / 1000} s`)
  })
  try {
    return await Promise.race([work(), late])
  } finally {
    cancel.abort()
    late.catch(() => {})
  }
}

/** An error's own words and, where it has none (`AggregateError` of a refused connection), those of its parts. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join(', ')
  return error instanceof Error ? error.message || error.name : String(error)
}
