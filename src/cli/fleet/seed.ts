import type { FleetSeedReport } from '../../index.js'
import { defineCommand } from '../command.js'
import { fleetOptionsOf, type WaveInput, waveOptions } from '../migrate/run-options.js'
import { followRun, renderCounts, renderRunEnd, type Reported, runExitCode, runShape } from '../migrate/run-report.js'
import { oneOf } from '../values.js'

interface Input extends WaveInput {
  readonly profile?: 'dev' | 'prod'
}

export const seedFleet = defineCommand<Input, Reported<FleetSeedReport>>({
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
    ...waveOptions,
  ],
  examples: [
    { command: 'fleet seed', says: 'All tenants' },
    { command: 'fleet seed --tenant acme --profile dev', says: 'One tenant, with the data of developers' },
  ],
  json: { seeded: 'number', ...runShape },
  exitCodes: [3],
  isWriting: true,
  async run(context, input) {
    const { tenancy, actor } = await context.open()
    return followRun(context, 'Seeding', (following) =>
      tenancy.fleet.seed({ ...fleetOptionsOf(input), ...following, actor }),
    )
  },
  render(result, page) {
    renderCounts(page, result, `${result.seeded} seeded`)
    renderRunEnd(page, result)
  },
  exitCode: runExitCode,
})
