import type { LintReport } from '../../index.js'
import { defineCommand } from '../command.js'
import { exitCodes } from '../exit-codes.js'
import { readLintInput } from './lint-input.js'

interface Input {
  readonly since?: string
}

interface Result extends LintReport {
  /** As `--json` leaves it out. */
  readonly text?: string
}

const findingShape = {
  file: 'string',
  line: 'number',
  rule: 'string',
  severity: "'error' | 'warning'",
  message: 'string',
  advice: 'string',
  statement: 'string',
  rewrites: 'boolean',
  'lock?': 'string',
} as const

export const lintMigrations = defineCommand<Input, Result>({
  name: 'lint',
  summary: 'Say which migrations lock or rewrite tables, by PostgreSQL’s own parser',
  description: 'Needs no server, and the package libpg-query. Exit code 1: there is an error; warnings are not.',
  options: [{ flags: '--since FILE', description: 'the first migration that no tenant has (default: all are judged)' }],
  examples: [{ command: 'migrate lint --since 0007_invoices.sql', says: 'What the next run brings' }],
  json: {
    findings: [findingShape],
    ignored: [{ ...findingShape, reason: 'string' }],
    notes: [{ file: 'string', 'line?': 'number', message: 'string' }],
  },
  async run(context, { since }) {
    const { files: read, extensions } = await readLintInput(context)
    const { lintMigrations: lint, renderLint } = await import('../../index.js')
    const files = read.map(({ version: _version, ...file }) => file)
    const report = await lint({ files, firstPending: since, extensions })
    return context.isJson ? report : { ...report, text: renderLint(report) }
  },
  render({ text, findings, notes }, page) {
    page.line(findings.length + notes.length === 0 ? 'Nothing found' : text)
  },
  exitCode: ({ findings }) => (findings.some(({ severity }) => severity === 'error') ? exitCodes.failed : exitCodes.ok),
})
