import type { FleetSeedReport, FleetSeedResult, FleetShare } from '../../index.js'
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
import { oneOf, share, wholeNumber } from '../values.js'

interface Input {
  readonly profile?: 'dev' | 'prod'
  readonly tenant?: readonly string[]
  readonly label?: string
  readonly canary?: FleetShare
  readonly stopAfter?: FleetShare
  readonly parallelism?: number
}

interface Result extends Omit<FleetSeedReport, 'failures' | 'stopped'> {
  readonly stopped: FleetSeedReport['stopped'] | null
  readonly failures: readonly FailedTenant[]
}

export const seedFleet = defineCommand<Input, Result>({
  name: 'seed',
  summary: 'Run the seeds of a profile in tenant databases',
  description:
    'Seeds are idempotent: running them again does no harm. Each runs in one transaction; a tenant that fails keeps those before it.',
  options: [
    {
      flags: '--profile PROFILE',
      description: 'dev or prod (default: TENANT_SEED_PROFILE)',
      parse: oneOf('dev', 'prod'),
    },
    { flags: '--tenant TENANT', description: 'only this one, again for more', isRepeatable: true },
    { flags: '--label LABEL', description: 'only tenants with this label' },
    { flags: '--canary N|N%', description: 'so many first, and the others only if none of them failed', parse: share },
    { flags: '--stop-after N|N%', description: 'begin no further tenant after so many failures', parse: share },
    { flags: '--parallelism N', description: 'tenants at a time, 1 to 64 (default: 2)', parse: wholeNumber(1, 64) },
  ],
  examples: [
    { command: 'fleet seed', says: 'All tenants' },
    { command: 'fleet seed --tenant acme --profile dev', says: 'One tenant, with the data of developers' },
  ],
  json: {
    seeded: 'number',
    failed: 'number',
    skipped: 'number',
    remaining: 'number',
    stopped: "'signal' | 'failures' | 'canary' | null",
    durationMs: 'number',
    failures: [failureShape],
  },
  exitCodes: [3],
  isWriting: true,
  async run(context, { tenant: tenants, ...how }) {
    const { tenancy, actor } = await context.open()
    const progress = await context.progress('Seeding')
    const failures: FailedTenant[] = []
    const { stopped = null, ...report } = await tenancy.fleet.seed({
      ...{ ...how, tenants, actor, signal: context.signal },
      onResult: (result: FleetSeedResult) => {
        if (result.outcome === 'failed' && failures.length < maxNamedFailures) failures.push(failedTenant(result))
      },
      onProgress: ({ done, planned, failed }) => progress.update(done, planned, failed),
    })
    return { ...report, stopped, failures }
  },
  render(result, page) {
    const { seeded, failed, skipped, durationMs, failures } = result
    page.line(
      `${seeded} seeded, ${failed} failed, ${skipped} skipped in ${tookText(durationMs)}`,
      failed > 0 ? 'red' : 'green',
    )
    renderFailures(page, failures, failed)
    const why = whyStopped({ ...result, stopped: result.stopped ?? undefined })
    if (why !== undefined) page.line(why, 'yellow')
  },
  exitCode: ({ stopped, failed }) => runExitCode({ stopped: stopped ?? undefined, failed }),
})
