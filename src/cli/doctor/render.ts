import type { Page } from '../output/page.js'
import type { Style } from '../output/terminal.js'
import type { CheckResult } from './check.js'
import type { CheckStatus } from './finding.js'
import type { Diagnosis } from './run-checks.js'

const marks: Readonly<Record<CheckStatus, readonly [text: string, style: Style]>> = {
  ok: ['ok', 'green'],
  warning: ['warning', 'yellow'],
  problem: ['problem', 'red'],
  skipped: ['skipped', 'dim'],
}
const markWidth = 'warning'.length
const nameWidth = 'leases-and-orphans'.length

/** Writes one result: a line, and under it what to do. */
export function renderResult({ name, status, what, advice, fix, fixed }: CheckResult, page: Page): void {
  const { terminal } = page
  if (!terminal.isTerminal) {
    page.table([], [[status, name, what, advice, fixed]])
    return
  }
  const [mark, style] = marks[status]
  const indent = markWidth + 2 + nameWidth + 2
  const blank = ' '.repeat(indent)
  const write = (text: string, lineStyle: Style | undefined) => {
    for (const line of wrapped(text, terminal.width - indent)) {
      page.pieces(blank, lineStyle === undefined ? line : { text: line, style: lineStyle })
    }
  }
  const [first = '', ...others] = wrapped(what, terminal.width - indent)
  page.pieces({ text: mark.padEnd(markWidth), style }, `  ${name.padEnd(nameWidth)}  ${first}`)
  for (const line of others) write(line, undefined)
  if (fixed !== undefined) write(`Fixed: ${fixed}`, 'green')
  if (advice !== undefined) write(`→ ${advice}`, 'cyan')
  if (fix !== undefined) write(`--fix ${fix}`, 'dim')
}

/** Writes how many checks ended how. */
export function renderSummary({ counts }: Diagnosis, page: Page): void {
  if (!page.terminal.isTerminal) return
  const text = (['problem', 'warning', 'ok', 'skipped'] as const)
    .filter((status) => counts[status] > 0)
    .map((status) => `${counts[status]} ${plural(status, counts[status])}`)
    .join(', ')
  page.line()
  page.line(text, counts.problem > 0 ? 'red' : counts.warning > 0 ? 'yellow' : 'green')
}

function plural(status: CheckStatus, count: number): string {
  return (status === 'problem' || status === 'warning') && count > 1 ? `${status}s` : status
}

/** Breaks a text into lines, at spaces. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > Math.max(30, width)) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
