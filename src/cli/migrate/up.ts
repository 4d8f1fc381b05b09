import type { FleetEstimate, FleetReport, FleetResult, Tenancy } from '../../index.js'
import { bytesText } from '../backup/backup-progress.js'
import { countText } from '../../core/text.js'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import type { CommandContext } from '../context.js'
import type { Page } from '../output/page.js'
import type { BackupFirst, BackupFirstInput, BackupFirstReport } from './backup-first.js'
import { type MigrationInput, migrationOptionsOf, runOptions, waveOptions } from './run-options.js'
import {
  followRun,
  maxNamedFailures,
  renderCounts,
  renderFailures,
  renderRunEnd,
  type Reported,
  runExitCode,
  runShape,
  tookText,
} from './run-report.js'

interface Input extends MigrationInput {
  readonly dryRun?: boolean
  readonly verify?: boolean
  readonly backup?: string
  readonly backupKey?: readonly string[]
  readonly backupAnyway?: boolean
}

interface Result extends Reported<FleetReport> {
  readonly dryRun: boolean
  /** Of a dry run: which tenants would get which files, the first 1000. */
  readonly pending: readonly { readonly id: string; readonly slug: string; readonly files: readonly string[] }[]
  readonly backup?: BackupFirstReport
}

export const migrateUp = defineCommand<Input, Result>({
  name: 'up',
  summary: 'Apply the migrations that tenant databases lack',
  description:
    'One query of the catalog finds who is behind. A file is applied in one transaction; a tenant that fails keeps the files before ' +
    'it, and the others go on. Runs may overlap, and one that was ended is finished by the next. The template is rebuilt first: a ' +
    'file that does not run there stops the run before any tenant is touched. Ctrl-C lets the tenants under way finish. The estimate ' +
    'of the last rehearsal is shown before the run of all tenants, and beside what it took.',
  options: [
    ...waveOptions,
    {
      flags: '--dry-run',
      description: 'say who would get what, and change nothing: by the catalog, or with --verify by every ledger',
    },
    { flags: '--verify', description: 'look into the ledger of every database, not only of those that are behind' },
    {
      flags: '--backup FOLDER',
      description:
        'back up each tenant, to a folder of its own in this one, before files that rewrite tables, lock them for long or take ' +
        'data away, by the linter (needs libpg-query); one whose backup fails, or would be refused by a restore, is not migrated, and failed',
    },
    {
      flags: '--backup-key KEY',
      description: 'encrypt those backups to an age public key (age1…), again for more',
      isRepeatable: true,
    },
    {
      flags: '--backup-anyway',
      description:
        'migrate a tenant also where tenant restore would refuse its backup (default: it is a failed tenant)',
    },
    runOptions.lockTimeout,
    runOptions.statementTimeout,
  ],
  examples: [
    { command: 'migrate up --dry-run', says: 'What would be done' },
    { command: 'migrate up --canary 1% --stop-after 5', says: 'One in a hundred first; end after five failures' },
    { command: 'migrate up --backup /backups/before-0007', says: 'With a backup of each tenant before what rewrites' },
    { command: 'migrate up --tenant acme --json', says: 'One tenant, for a program' },
  ],
  json: {
    version: 'number',
    'estimate?': { tenants: 'number', ms: 'number' },
    migrated: 'number',
    current: 'number',
    ...runShape,
    dryRun: 'boolean',
    pending: [{ id: 'string', slug: 'string', files: ['string'] }],
    'backup?': {
      folder: 'string',
      files: [{ file: 'string', reasons: ['string'] }],
      made: 'number',
      bytes: 'number',
      backups: [{ id: 'string', slug: 'string', path: 'string', bytes: 'number' }],
    },
  },
  exitCodes: [3],
  isWriting: true,
  async run(context, { dryRun = false, verify, backup, backupKey, backupAnyway, ...how }) {
    if (backupKey !== undefined && backup === undefined) throw new CliError('CLI_USAGE', '--backup-key needs --backup')
    if (backupAnyway === true && backup === undefined) throw new CliError('CLI_USAGE', '--backup-anyway needs --backup')
    const { tenancy, actor } = await context.open(dryRun ? 'administer' : 'migrate')
    const ofAll = how.tenant === undefined && how.label === undefined
    const estimate = ofAll ? await sayEstimate(context, tenancy) : undefined
    const backups =
      backup === undefined
        ? undefined
        : await planBackups(context, tenancy, { backup, backupKey, backupAnyway, dryRun, actor })
    const pending: { id: string; slug: string; files: readonly string[] }[] = []
    const report = await followRun(
      context,
      'Migrating',
      (following) =>
        tenancy.fleet.migrate({
          ...migrationOptionsOf(how),
          ...{ ...following, dryRun, verify, estimate, beforeTenant: backups?.beforeTenant, actor },
        }),
      (result: FleetResult) => {
        if (result.pending !== undefined && pending.length < maxNamedFailures) {
          pending.push({ ...result.tenant, files: result.pending })
        }
      },
    )
    return { ...report, dryRun, pending, ...(backups && { backup: backups.report() }) }
  },
  render(result, page) {
    const { version, migrated, current, dryRun, estimate, durationMs, backup } = result
    if (dryRun) {
      renderPending(result, page)
      return
    }
    renderCounts(page, result, `${migrated} migrated to ${version}, ${current} current`)
    if (estimate) page.line(`Estimated: ${estimateText(estimate)}; it took ${tookText(durationMs)}`)
    if (backup !== undefined && backup.files.length > 0) {
      page.line(`${countText(backup.made, 'backup')} (${bytesText(backup.bytes)}) in ${backup.folder}`)
    }
    renderRunEnd(page, result)
  },
  exitCode: runExitCode,
})

/** Says what the last rehearsal of these files expects, and gives it; undefined: there is none, or nothing to do. */
async function sayEstimate(context: CommandContext, { fleet }: Tenancy): Promise<FleetEstimate | undefined> {
  const rehearsal = await fleet.lastRehearsal()
  if (rehearsal?.estimate === undefined) return undefined
  const { version, behind } = await fleet.status({ limit: 0 })
  if (rehearsal.version !== version || behind === 0) return undefined
  const problems = rehearsal.problems === 0 ? '' : `, and named ${countText(rehearsal.problems, 'problem')}`
  context.say(
    `The rehearsal of ${rehearsal.at.toISOString()} estimated ${estimateText(rehearsal.estimate)}${problems}.`,
  )
  return rehearsal.estimate
}

const estimateText = ({ tenants, ms }: FleetEstimate) => `${countText(tenants, 'tenant')} in about ${tookText(ms)}`

async function planBackups(context: CommandContext, tenancy: Tenancy, input: BackupFirstInput): Promise<BackupFirst> {
  const { prepareBackups } = await import('./backup-first.js')
  const plan = await prepareBackups(context, tenancy, input)
  context.say(
    plan.files.length === 0
      ? 'No pending migration rewrites a table, locks it for long or takes data away: no backup is made.'
      : `Each tenant is backed up before ${plan.files.map(({ file }) => file).join(', ')}:`,
  )
  for (const { file, reasons } of plan.files) for (const reason of reasons) context.say(`  ${file}: ${reason}`)
  return plan
}

function renderPending({ version, skipped, pending, failed, failures }: Result, page: Page): void {
  page.line(
    skipped === 0 && failed > 0
      ? `${countText(failed, 'tenant')} would fail:`
      : pending.length === 0
        ? `Nothing to do: every tenant is at ${version}`
        : `${countText(skipped, 'tenant')} would be migrated to ${version}:`,
  )
  page.table(
    ['TENANT', 'FILES'],
    pending.map(({ slug, files }) => [slug, files.join(', ')]),
  )
  if (skipped > pending.length) page.line(`… and ${skipped - pending.length} more`)
  renderFailures(page, failures, failed)
}
