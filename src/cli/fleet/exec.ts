import { readFile } from 'node:fs/promises'
import type { FleetExecReport, FleetExecResult } from '../../index.js'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import { fleetOptionsOf, type WaveInput, waveOptions } from '../migrate/run-options.js'
import { followRun, renderRunEnd, type Reported, runExitCode, runShape, tookText } from '../migrate/run-report.js'
import { wholeNumber } from '../values.js'

interface Input extends WaveInput {
  readonly sql?: string
  readonly file?: string
  readonly write?: boolean
  readonly maxRows?: number
  readonly statementTimeout?: number
}

interface TenantRows {
  readonly slug: string
  readonly command: string
  readonly rowCount: number | null
  readonly isTruncated: boolean
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

interface Result extends Reported<FleetExecReport> {
  readonly results: readonly TenantRows[]
}

export const execOnFleet = defineCommand<Input, Result>({
  name: 'exec',
  summary: 'Run a statement or script in tenant databases, and list the rows with the tenant’s slug',
  description:
    'As the owner of the application’s objects, in one transaction for each tenant, read only unless --write is given. With --write on ' +
    'a terminal you type write to confirm. The rows of all tenants are kept until the end.',
  arguments: [{ name: 'sql', description: 'the statement, unless --file is given', isOptional: true }],
  options: [
    { flags: '--file FILE', description: 'a file with the statement or script' },
    { flags: '--write', description: 'let it change data' },
    ...waveOptions,
    {
      flags: '--max-rows N',
      description: 'most rows of a statement, 1 to 100000 (default: 1000)',
      parse: wholeNumber(1, 100_000),
    },
    {
      flags: '--statement-timeout MS',
      description: 'longest time of a statement (default: 30000)',
      parse: wholeNumber(1, 86_400_000),
    },
  ],
  examples: [{ command: 'fleet exec "select count(*) from notes"', says: 'A row for each tenant' }],
  json: {
    done: 'number',
    results: [{ slug: 'string', command: 'string', rowCount: 'number | null', isTruncated: 'boolean', rows: ['any'] }],
    ...runShape,
  },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { sql: given, file, write = false, statementTimeout: statementTimeoutMs, ...how }) {
    if ((given === undefined) === (file === undefined))
      throw new CliError('CLI_USAGE', 'Give either a statement or --file')
    const sql = given ?? (await readScript(file ?? ''))
    const { tenancy, actor } = await context.open()
    if (write) {
      await context.confirm({
        typed: 'write',
        consequences: ['The statement may change the data of every chosen tenant.'],
      })
    }
    const results: TenantRows[] = []
    const report = await followRun(
      context,
      'Running',
      (following) =>
        tenancy.fleet.exec({ ...fleetOptionsOf(how), ...following, sql, write, statementTimeoutMs, actor }),
      ({ tenant, statements }: FleetExecResult) => {
        results.push(...statements.map((statement) => ({ slug: tenant.slug, ...statement })))
      },
    )
    return { ...report, results }
  },
  render(result, page) {
    const { done, failed, skipped, durationMs, results } = result
    const rows = results.flatMap(({ slug, rows: found }) => found.map((row) => ({ slug, row })))
    const columns = [...new Set(rows.flatMap(({ row }) => Object.keys(row)))]
    page.table(
      ['TENANT', ...columns],
      rows.map(({ slug, row }) => [slug, ...columns.map((column) => shown(row[column]))]),
    )
    if (results.some(({ isTruncated }) => isTruncated)) page.line('There were more rows: --max-rows', 'yellow')
    page.hint(`${done} done, ${failed} failed, ${skipped} skipped in ${tookText(durationMs)}`)
    renderRunEnd(page, result)
  },
  exitCode: runExitCode,
})

async function readScript(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new CliError('CLI_USAGE', `The file ${path} cannot be read`, { cause: error })
  })
}

function shown(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}
