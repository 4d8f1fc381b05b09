import type { FleetRevertReport } from '../../index.js'
import { defineCommand } from '../command.js'
import { wholeNumber } from '../values.js'
import { type MigrationInput, migrationOptionsOf, runOptions, waveOptions } from './run-options.js'
import { followRun, renderCounts, renderRunEnd, type Reported, runExitCode, runShape } from './run-report.js'

interface Input extends MigrationInput {
  readonly last?: number
}

export const migrateDown = defineCommand<Input, Reported<FleetRevertReport>>({
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
    ...waveOptions,
    runOptions.lockTimeout,
    runOptions.statementTimeout,
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
    ...runShape,
  },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { last = 1, ...how }) {
    const { tenancy, actor } = await context.open('migrate')
    await context.confirm({
      typed: 'down',
      consequences: [
        `The last ${last === 1 ? 'migration' : `${last} migrations`} of the folder ${last === 1 ? 'is' : 'are'} undone in ` +
          `${how.tenant === undefined && how.label === undefined ? 'every tenant' : 'each of these tenants'}.`,
        'What the files that undo them drop is gone; `migrate up` brings back the structure and not the data.',
      ],
    })
    return followRun(context, 'Reverting', (following) =>
      tenancy.fleet.revert({ ...migrationOptionsOf(how), ...following, last, actor }),
    )
  },
  render(result, page) {
    const { version, migrations, reverted, current } = result
    renderCounts(page, result, `${reverted} reverted to ${version}, ${current} current`)
    page.line(`Undone: ${migrations.join(', ')}`)
    renderRunEnd(page, result)
  },
  exitCode: runExitCode,
})
