import type { LockMode } from '../../core/fleet/lock-modes.js'
import type { RuleName } from './rules.js'

/** Something that a migration should not do. */
export interface LintFinding {
  /** Name of the migration. */
  readonly file: string
  /** Line of the statement, from 1. */
  readonly line: number
  readonly rule: RuleName
  /** `error`: stops requests, loses data, breaks the running release or opens a hole. `warning`: may do so. */
  readonly severity: 'error' | 'warning'
  /** What happens, with the names of the objects. */
  readonly message: string
  /** What to do instead. */
  readonly advice: string
  /** Kind of the statement, such as `ALTER TABLE`. */
  readonly statement: string
  /** Whether a table that exists is written anew, which takes time and disk as it is large. */
  readonly rewrites: boolean
  /** The strongest lock that the statement takes on a table that exists; undefined: none that matters. */
  readonly lock: LockMode | undefined
}

/** A finding that a comment in the file allows. */
export interface IgnoredFinding extends LintFinding {
  /** The reason of the comment. */
  readonly reason: string
}

/** Something that the linter cannot judge: it is no pass. */
export interface LintNote {
  readonly file: string
  /** Undefined: all of it. */
  readonly line: number | undefined
  readonly message: string
}

/** What the linter found. */
export interface LintReport {
  /** In the order of files and lines. */
  readonly findings: readonly LintFinding[]
  readonly ignored: readonly IgnoredFinding[]
  /** What could not be judged: functions, and SQL that a migration makes at run time. */
  readonly notes: readonly LintNote[]
}
