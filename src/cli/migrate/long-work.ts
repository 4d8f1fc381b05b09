import type { LintReport, RuleName } from '../../index.js'

/**
 * Rules about statements that keep requests waiting while every row of a table is read or written, or that take rows or columns
 * away. What writes a table anew is found by `LintFinding.rewrites`, whatever the rule.
 */
const rulesOfLongWork: ReadonlySet<RuleName> = new Set<RuleName>([
  ...(['index-not-concurrent', 'reindex-not-concurrent', 'refresh-not-concurrent', 'set-not-null'] as const),
  ...(['constraint-not-valid', 'validate-same-transaction', 'unique-without-index', 'exclusion-constraint'] as const),
  ...(['attach-partition', 'write-under-lock', 'lock-table', 'rewrite-table', 'write-all-rows'] as const),
  ...(['drop-column', 'drop-table', 'truncate'] as const),
])

/** A migration that is better preceded by a backup. */
export interface LongWork {
  readonly file: string
  /** Messages of the findings, in the order of lines. */
  readonly reasons: readonly string[]
}

/**
 * Names the migrations that rewrite tables, lock them for long or take data away: by findings, whether a comment allows them or not,
 * and by notes, because what cannot be judged may do so.
 */
export function findLongWork({ findings, ignored, notes }: LintReport): LongWork[] {
  const found = [...findings, ...ignored]
    .filter(({ rewrites, rule }) => rewrites || rulesOfLongWork.has(rule))
    .toSorted((a, b) => a.line - b.line)
  const reasons = new Map<string, string[]>()
  for (const { file, message } of [...found, ...notes]) reasons.set(file, [...(reasons.get(file) ?? []), message])
  return [...reasons].map(([file, messages]) => ({ file, reasons: messages }))
}
