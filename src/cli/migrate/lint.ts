import type { LintReport } from '../../index.js'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import { exitCodes } from '../exit-codes.js'

interface Input {
  readonly from?: string
}

interface Result extends Pick<LintReport, 'findings' | 'ignored' | 'notes'> {
  readonly errors: number
  readonly warnings: number
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

export const lintCommand = defineCommand<Input, Result>({
  name: 'lint',
  summary: 'Find what locks or rewrites tables, or breaks the running release',
  description:
    'Reads the folder of migrations and connects to nothing. Needs the package libpg-query. ' +
    'A comment `-- lint-ignore rule: reason` allows one rule in one statement. Ends with 1 when there is an error.',
  options: [
    {
      flags: '--from FILE',
      description: 'the first file that no tenant has (default: each is judged as if tenants had those before it)',
    },
  ],
  examples: [{ command: 'migrate lint --from 0007_orders_note.sql', says: 'Judge what the next release brings' }],
  json: {
    findings: [findingShape],
    ignored: [{ ...findingShape, reason: 'string' }],
    notes: [{ file: 'string', 'line?': 'number', message: 'string' }],
    errors: 'number',
    warnings: 'number',
  },
  async run(context, { from }) {
    const { config, schemaDir, extensions = config.extensions } = await context.options()
    const folder = schemaDir ?? config.schemaDir
    if (folder === undefined) {
      throw new CliError('CLI_CONFIG_INVALID', 'There is no folder of migrations: set TENANT_SCHEMA_DIR')
    }
    const { readMigrations } = await import('../../schema/read-migrations.js')
    const { lintMigrations } = await import('../../fleet/lint/lint-migrations.js')
    const code = 'TENANCY_DATABASE_SCHEMA_INVALID'
    const { migrations } = await readMigrations({ dir: folder }, { invalid: code })
    const files = migrations.map(({ name, up, inTransaction }) => ({
      ...{ name, inTransaction },
      sql: typeof up === 'string' ? up : undefined,
    }))
    if (from !== undefined && !files.some(({ name }) => name === from)) {
      throw new CliError('CLI_USAGE', `There is no migration ${JSON.stringify(from)} in ${folder}`)
    }
    const report = await lintMigrations({ files, firstPending: from, extensions })
    const count = (severity: string) => report.findings.filter((finding) => finding.severity === severity).length
    return { ...report, errors: count('error'), warnings: count('warning') }
  },
  render({ findings, ignored, notes, errors, warnings }, page) {
    for (const { file, line, severity, rule, message, advice, lock, rewrites } of findings) {
      page.line(`${file}:${line}: ${severity}: ${message} (${rule})`, severity === 'error' ? 'red' : 'yellow')
      const effects = [...(lock === undefined ? [] : [`lock: ${lock}`]), ...(rewrites ? ['rewrites'] : [])]
      if (effects.length > 0) page.line(`  ${effects.join(', ')}`)
      page.line(`  ${advice}`)
    }
    for (const { file, line, rule, reason } of ignored) page.line(`${file}:${line}: allowed: ${rule}: ${reason}`)
    for (const { file, line, message } of notes) {
      page.line(`${file}${line === undefined ? '' : `:${line}`}: not checked: ${message}`, 'yellow')
    }
    page.line(
      `${errors} errors, ${warnings} warnings, ${ignored.length} allowed, ${notes.length} not checked`,
      errors > 0 ? 'red' : 'green',
    )
  },
  exitCode: ({ errors }) => (errors > 0 ? exitCodes.failed : exitCodes.ok),
})
