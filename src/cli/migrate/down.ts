import type { FleetRevertReport, FleetRevertResult, FleetShare } from '../../index.js'
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
  readonly last?: number
  readonly canary?: FleetShare
  readonly parallelism?: number
  readonly stopAfter?: FleetShare
  readonly tenant?: readonly string[]
  readonly label?: string
  readonly statementTimeout?: number
  readonly lockTimeout?: number
}

interface Result extends Omit<FleetRevertReport, 'failures' | 'stopped'> {
  readonly stopped: FleetRevertReport['stopped'] | null
  readonly failures: readonly FailedTenant[]
}

export const migrateDown = defineCommand<Input, Result>({
  name: 'down',
  summary: 'Undo the newest migrations of tenant databases',
  description:
    'Runs what undoes the last migrations of the folder (`0007_name.down.sql`), the newest first, in every tenant that has them. If ' +
    'nothing undoes one of them, nothing runs. Deploy the release before first: new tenants are built from the folder of the ' +
    'running release. TENANT_SCHEMA_BEHIND must not be migrate. Ctrl-C lets the tenants under way finish.',
  options: [
    {
      flags: '--last N',
      description: 'how many migrations of the folder to undo (default: 1)',
      parse: wholeNumber(1, 10_000),
    },
    {
      flags: '--canary N|N%',
      description: 'so many tenants first, and the others only if none of them failed',
      parse: share,
    },
    { flags: '--parallelism N', description: 'tenants at a time, 1 to 64 (default: 2)', parse: wholeNumber(1, 64) },
    { flags: '--stop-after N|N%', description: 'begin no further tenant after so many failures', parse: share },
    { flags: '--tenant TENANT', description: 'only this one, again for more', isRepeatable: true },
    { flags: '--label LABEL', description: 'only tenants with this label' },
    {
      flags: '--lock-timeout MS',
      description: 'longest wait of a statement for a lock (default: TENANT_SCHEMA_LOCK_TIMEOUT_MS)',
      parse: wholeNumber(1, 600_000),
    },
    {
      flags: '--statement-timeout MS',
      description: 'longest time of a statement (default: no limit)',
      parse: wholeNumber(1, 86_400_000),
    },
  ],
  examples: [
    { command: 'migrate down --tenant acme', says: 'Undo the newest migration of one tenant; asks you to type down' },
    { command: 'migrate down --last 2 --canary 1% --yes', says: 'The last two of all tenants, for a program' },
  ],
  json: {
    version: 'number',
    migrations: ['string'],
    reverted: 'number',
    current: 'number',
    failed: 'number',
    skipped: 'number',
    remaining: 'number',
    stopped: "'signal' | 'failures' | 'canary' | null",
    durationMs: 'number',
    failures: [failureShape],
  },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { last = 1, tenant: tenants, label, lockTimeout, statementTimeout, ...how }) {
    const { canary, parallelism, stopAfter } = how
    const { tenancy, actor } = await context.open('migrate')
    await context.confirm({
      typed: 'down',
      consequences: [
        `The last ${last === 1 ? 'migration' : `${last} migrations`} of the folder ${last === 1 ? 'is' : 'are'} undone in ` +
          `${tenants === undefined && label === undefined ? 'every tenant' : 'each of these tenants'}.`,
        'What the files that undo them drop is gone; `migrate up` brings back the structure and not the data.',
      ],
    })
    const progress = await context.progress('Reverting')
    const failures: FailedTenant[] = []
    const { stopped = null, ...report } = await tenancy.fleet.revert({
      last,
      canary,
      parallelism,
      stopAfter,
      tenants,
      label,
      lockTimeoutMs: lockTimeout,
      statementTimeoutMs: statementTimeout,
      signal: context.signal,
      onResult: (result: FleetRevertResult) => {
        if (result.outcome === 'failed' && failures.length < maxNamedFailures) failures.push(failedTenant(result))
      },
      onProgress: ({ done, planned, failed }) => progress.update(done, planned, failed),
      actor,
    })
    return { ...report, stopped, failures }
  },
  render(result, page) {
    const { version, migrations, reverted, current, failed, skipped, durationMs, failures } = result
    page.line(
      `${reverted} reverted to ${version}, ${current} current, ${failed} failed, ${skipped} skipped in ${tookText(durationMs)}`,
      failed > 0 ? 'red' : 'green',
    )
    page.line(`Undone: ${migrations.join(', ')}`)
    renderFailures(page, failures, failed)
    const why = whyStopped({ ...result, stopped: result.stopped ?? undefined })
    if (why !== undefined) page.line(why, 'yellow')
  },
  exitCode: ({ stopped, failed }) => runExitCode({ stopped: stopped ?? undefined, failed }),
})
