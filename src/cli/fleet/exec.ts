import { readFile } from 'node:fs/promises'
import type { FleetExecReport, FleetExecResult, FleetShare } from '../../index.js'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import {
  type FailedTenant,
  failedTenant,
  failureShape,
  maxNamedFailures,
  renderFailures,
  runExitCode,
  tookText,
  whyStopped,
} from '../migrate/run-report.js'
import { share, wholeNumber } from '../values.js'

interface Input {
  readonly sql?: string
  readonly file?: string
  readonly write?: boolean
  readonly tenant?: readonly string[]
  readonly label?: string
  readonly canary?: FleetShare
  readonly stopAfter?: FleetShare
  readonly parallelism?: number
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

interface Result extends Omit<FleetExecReport, 'failures' | 'stopped'> {
  readonly stopped: FleetExecReport['stopped'] | null
  readonly results: readonly TenantRows[]
  readonly failures: readonly FailedTenant[]
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
    { flags: '--tenant TENANT', description: 'only this one, again for more', isRepeatable: true },
    { flags: '--label LABEL', description: 'only tenants with this label' },
    { flags: '--canary N|N%', description: 'so many first, and the others only if none of them failed', parse: share },
    { flags: '--stop-after N|N%', description: 'begin no further tenant after so many failures', parse: share },
    { flags: '--parallelism N', description: 'tenants at a time, 1 to 64 (default: 2)', parse: wholeNumber(1, 64) },
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
    failed: 'number',
    skipped: 'number',
    remaining: 'number',
    stopped: "'signal' | 'failures' | 'canary' | null",
    durationMs: 'number',
    results: [{ slug: 'string', command: 'string', rowCount: 'number | null', isTruncated: 'boolean', rows: ['any'] }],
    failures: [failureShape],
  },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { sql: given, file, write = false, tenant: tenants, statementTimeout, ...how }) {
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
    const progress = await context.progress('Running')
    const failures: FailedTenant[] = []
    const results: TenantRows[] = []
    const { stopped = null, ...report } = await tenancy.fleet.exec({
      ...{ ...how, sql, write, tenants, actor, signal: context.signal, statementTimeoutMs: statementTimeout },
      onResult: (result: FleetExecResult) => {
        if (result.outcome === 'failed' && failures.length < maxNamedFailures) failures.push(failedTenant(result))
        results.push(...result.statements.map((statement) => ({ slug: result.tenant.slug, ...statement })))
      },
      onProgress: ({ done, planned, failed }) => progress.update(done, planned, failed),
    })
    return { ...report, stopped, results, failures }
  },
  render(result, page) {
    const { done, failed, skipped, durationMs, results, failures } = result
    const rows = results.flatMap(({ slug, rows: found }) => found.map((row) => ({ slug, row })))
    const columns = [...new Set(rows.flatMap(({ row }) => Object.keys(row)))]
    page.table(
      ['TENANT', ...columns],
      rows.map(({ slug, row }) => [slug, ...columns.map((column) => shown(row[column]))]),
    )
    if (results.some(({ isTruncated }) => isTruncated)) page.line('There were more rows: --max-rows', 'yellow')
    page.hint(`${done} done, ${failed} failed, ${skipped} skipped in ${tookText(durationMs)}`)
    renderFailures(page, failures, failed)
    const why = whyStopped({ ...result, stopped: result.stopped ?? undefined })
    if (why !== undefined) page.line(why, 'yellow')
  },
  exitCode: ({ stopped, failed }) => runExitCode({ stopped: stopped ?? undefined, failed }),
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
