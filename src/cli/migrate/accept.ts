import type { FleetAcceptReport } from '../../index.js'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import type { CommandContext } from '../context.js'
import { fleetOptionsOf, type RunInput, runOptions } from './run-options.js'
import { followRun, renderCounts, renderRunEnd, type Reported, runExitCode, runShape } from './run-report.js'

interface Input extends RunInput {
  readonly migration: string
}

const afterwards =
  'Backups from before can be restored by a release with the earlier text alone: keep that release, and make new backups.'

export const acceptMigration = defineCommand<Input, Reported<FleetAcceptReport>>({
  name: 'accept',
  summary: 'Accept that the text of an applied migration has changed',
  description:
    'For a comment that was changed, or a guard that a new server needs: what the file does must be what it did. Ledgers get the ' +
    'checksum that it has now, and so does the list of drizzle-kit or Prisma; nothing else of them changes, and nothing is run. ' +
    'Processes with the earlier text refuse to migrate afterwards: deploy the new one first. Backups from before cannot be restored with the new text, but only by a ' +
    'release that has the earlier one: keep it, and make new backups.',
  arguments: [{ name: 'migration', description: 'name of the file' }],
  options: [runOptions.parallelism, runOptions.stopAfter, runOptions.tenant, runOptions.label],
  examples: [
    { command: 'migrate accept 0001_orders.sql', says: 'In every tenant; asks you to type 0001_orders.sql' },
    { command: 'migrate accept 0001_orders.sql --tenant acme --yes', says: 'In one tenant' },
  ],
  json: { migration: 'string', checksum: 'string', accepted: 'number', current: 'number', ...runShape },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { migration, ...how }) {
    await checkName(context, migration)
    const { tenancy, actor } = await context.open('migrate')
    await context.confirm({
      typed: migration,
      consequences: [
        `What ${migration} says now is taken for what was applied: nothing compares the two.`,
        'Processes that still have the earlier text refuse to migrate.',
        afterwards,
      ],
    })
    return followRun(context, 'Accepting', (following) =>
      tenancy.fleet.acceptChecksum({ ...fleetOptionsOf(how), ...following, migration, actor }),
    )
  },
  render(result, page) {
    const { migration, accepted, current } = result
    renderCounts(page, result, `${migration}: ${accepted} accepted, ${current} current`)
    if (accepted > 0) page.line(afterwards, 'yellow')
    renderRunEnd(page, result)
  },
  exitCode: runExitCode,
})

/** @throws {@link CliError} CLI_NOT_FOUND */
async function checkName(context: CommandContext, migration: string): Promise<void> {
  const [{ readLintInput }, { migrationVersion }] = await Promise.all([
    import('./lint-input.js'),
    import('../../core/tenants/migration.js'),
  ])
  const { files } = await readLintInput(context)
  if (migrationVersion(files, migration) !== undefined) return
  throw new CliError('CLI_NOT_FOUND', `There is no migration ${JSON.stringify(migration.slice(0, 200))}`)
}
