import type { FleetReport, FleetResult, FleetShare } from '../../index.js'
import { defineCommand } from '../command.js'
import { share, wholeNumber } from '../values.js'
import {
  type FailedTenant,
  failedTenant,
  failureShape,
  maxNamedFailures,
  renderFailures,
  runExitCode,
  tookText,
  whyStopped,
} from './run-report.js'

interface Input {
  readonly canary?: FleetShare
  readonly parallelism?: number
  readonly stopAfter?: FleetShare
  readonly dryRun?: boolean
  readonly verify?: boolean
  readonly tenant?: readonly string[]
  readonly lockTimeout?: number
}

interface Result extends Omit<FleetReport, 'failures' | 'stopped'> {
  readonly dryRun: boolean
  readonly stopped: FleetReport['stopped'] | null
  readonly failures: readonly FailedTenant[]
  /** Of a dry run: which tenants would get which files, the first 1000. */
  readonly pending: readonly { readonly id: string; readonly slug: string; readonly files: readonly string[] }[]
}

export const migrateUp = defineCommand<Input, Result>({
  name: 'up',
  summary: 'Apply the migrations that tenant databases lack',
  description:
    'One query of the catalog finds who is behind. A file is applied in one transaction; a tenant that fails keeps the files before ' +
    'it, and the others go on. Runs may overlap, and one that was ended is finished by the next. The template is rebuilt first: a ' +
    'file that does not run there stops the run before any tenant is touched. Ctrl-C lets the tenants under way finish.',
  options: [
    {
      flags: '--canary N|N%',
      description: 'migrate so many first, and the others only if none of them failed',
      parse: share,
    },
    { flags: '--parallelism N', description: 'tenants at a time, 1 to 64 (default: 2)', parse: wholeNumber(1, 64) },
    { flags: '--stop-after N|N%', description: 'begin no further tenant after so many failures', parse: share },
    { flags: '--tenant TENANT', description: 'only this one, again for more', isRepeatable: true },
    { flags: '--dry-run', description: 'say who would get what, and change nothing' },
    { flags: '--verify', description: 'look into the ledger of every database, not only of those that are behind' },
    {
      flags: '--lock-timeout MS',
      description: 'longest wait of a statement for a lock (default: TENANT_SCHEMA_LOCK_TIMEOUT_MS)',
      parse: wholeNumber(1, 600_000),
    },
  ],
  examples: [
    { command: 'migrate up --dry-run', says: 'What would be done' },
    { command: 'migrate up --canary 1% --stop-after 5', says: 'One in a hundred first; end after five failures' },
    { command: 'migrate up --tenant acme --json', says: 'One tenant, for a program' },
  ],
  json: {
    version: 'number',
    migrated: 'number',
    current: 'number',
    failed: 'number',
    skipped: 'number',
    remaining: 'number',
    stopped: "'signal' | 'failures' | 'canary' | null",
    durationMs: 'number',
    dryRun: 'boolean',
    failures: [failureShape],
    pending: [{ id: 'string', slug: 'string', files: ['string'] }],
  },
  exitCodes: [3],
  isWriting: true,
  async run(context, { canary, parallelism, stopAfter, dryRun = false, verify, tenant: tenants, lockTimeout }) {
    const { tenancy, actor } = await context.open(dryRun ? 'administer' : 'migrate')
    const progress = await context.progress('Migrating')
    const failures: FailedTenant[] = []
    const pending: { id: string; slug: string; files: readonly string[] }[] = []
    const onResult = (result: FleetResult) => {
      if (result.outcome === 'failed' && failures.length < maxNamedFailures) failures.push(failedTenant(result))
      if (result.pending !== undefined && pending.length < maxNamedFailures) {
        pending.push({ ...result.tenant, files: result.pending })
      }
    }
    const { stopped = null, ...report } = await tenancy.fleet.migrate({
      canary,
      parallelism,
      stopAfter,
      dryRun,
      verify,
      tenants,
      lockTimeoutMs: lockTimeout,
      signal: context.signal,
      onResult,
      onProgress: ({ done, planned, failed }) => progress.update(done, planned, failed),
      actor,
    })
    return { ...report, stopped, dryRun, failures, pending }
  },
  render(result, page) {
    const { version, migrated, current, failed, skipped, durationMs, dryRun, pending, failures } = result
    if (dryRun) {
      page.line(
        pending.length === 0
          ? `Nothing to do: every tenant is at ${version}`
          : `${skipped} tenants would be migrated to ${version}:`,
      )
      page.table(
        ['TENANT', 'FILES'],
        pending.map(({ slug, files }) => [slug, files.join(', ')]),
      )
      if (skipped > pending.length) page.line(`… and ${skipped - pending.length} more`)
      return
    }
    page.line(
      `${migrated} migrated to ${version}, ${current} current, ${failed} failed, ${skipped} skipped in ${tookText(durationMs)}`,
      failed > 0 ? 'red' : 'green',
    )
    renderFailures(page, failures, failed)
    const why = whyStopped({ ...result, stopped: result.stopped ?? undefined })
    if (why !== undefined) page.line(why, 'yellow')
  },
  exitCode: ({ stopped, failed }) => runExitCode({ stopped: stopped ?? undefined, failed }),
})
