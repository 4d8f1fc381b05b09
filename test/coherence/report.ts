import type { Checker } from './checker.js'
import type { AccessWriter } from './access-writer.js'

/** Prints what was measured, one line for each fault and mode. */
export function printFigures(checker: Checker, writers: readonly AccessWriter[], seed: number): void {
  const changes = writers.reduce((total, writer) => total + writer.changes, 0)
  const lines = [...checker.figures].map(([name, { answers, allowed, unavailable, unanswered, staleMs, tookMs }]) => {
    const sorted = tookMs.toSorted((a, b) => a - b)
    const percentile = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1)
    return (
      `${name}: ${answers} answers, ${allowed} allowed, ${unavailable} unavailable, ${unanswered} unanswered; ` +
      `an "allowed" was ${staleMs.toFixed(1)} ms late at most; p50 ${percentile(0.5)} ms, p99 ${percentile(0.99)} ms`
    )
  })
  console.log(`T2F_SEED=${seed}: ${changes} changes, ${checker.violations.length} violations\n${lines.join('\n')}`)
}
