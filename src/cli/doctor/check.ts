import type { DoctorContext } from './context.js'
import type { CheckStatus, Finding } from './finding.js'

export { combine, type Finding, ok, problem, skipped, Unmet, warning } from './finding.js'

/** One thing that the doctor looks at. It changes nothing. */
export interface Check {
  /** Kebab-case; stable, because scripts read it. */
  readonly name: string
  /** Longest time that it may take. Default: 10,000. */
  readonly timeoutMs?: number
  run(context: DoctorContext): Promise<Finding> | Finding
}

/** The result of a check, as `doctor --json` prints it. */
export interface CheckResult {
  readonly name: string
  readonly status: CheckStatus
  readonly what: string
  readonly advice?: string
  /** What `--fix` would do, or, once it was done, nothing. */
  readonly fix?: string
  /** What `--fix` did. */
  readonly fixed?: string
  readonly durationMs: number
}
