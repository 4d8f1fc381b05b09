import { countText } from '../../core/text.js'
import type { LintReport } from './findings.js'

/**
 * Renders a report of the linter as text: for each finding its place, rule, message and advice, then what was not judged, and the
 * counts.
 *
 * @example
 * console.log(renderLint(await lintMigrations({ files })))
 */
export function renderLint({ findings, ignored, notes }: LintReport): string {
  const count = (severity: string) => findings.filter((finding) => finding.severity === severity).length
  return [
    ...findings.flatMap(({ file, line, severity, rule, message, advice, lock, rewrites }) => [
      `${file}:${line}: ${severity}: ${message} (${rule})`,
      `  ${[lock === undefined ? [] : `lock: ${lock}`, rewrites ? 'rewrites' : []].flat().join(', ')}`.trimEnd(),
      `  ${advice}`,
    ]),
    ...ignored.map(({ file, line, rule, reason }) => `${file}:${line}: allowed: ${rule}: ${reason}`),
    ...notes.map(
      ({ file, line, message }) => `${file}${line === undefined ? '' : `:${line}`}: not checked: ${message}`,
    ),
    `${countText(count('error'), 'error')}, ${countText(count('warning'), 'warning')}, ${ignored.length} allowed, ${notes.length} not checked`,
  ]
    .filter((line) => line !== '')
    .join('\n')
}
