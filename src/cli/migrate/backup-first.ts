import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { findLongWork, type LongWork } from './long-work.js'
import { findTenancyError } from '../../core/errors/errors.js'
import {
  type FleetTenantName,
  type LintInput,
  lintMigrations,
  type LintReport,
  type Tenancy,
  TenancyError,
} from '../../index.js'
import { CliError } from '../cli-error.js'
import type { CommandContext } from '../context.js'
import { readLintInput } from './lint-input.js'

/** What `migrate up` was given for backups. */
export interface BackupFirstInput {
  readonly backup: string
  readonly backupKey?: readonly string[] | undefined
  /** Whether a tenant is migrated whose backup a restore would refuse. */
  readonly backupAnyway?: boolean | undefined
  /** Makes no folder. */
  readonly dryRun: boolean
  readonly actor: string | undefined
}

/** A backup that was made before a tenant was migrated. */
export interface MadeBackup extends FleetTenantName {
  readonly path: string
  readonly bytes: number
}

/** What became of `--backup`. */
export interface BackupFirstReport {
  readonly folder: string
  /** Pending migrations that are preceded by a backup; empty: none was needed. */
  readonly files: readonly LongWork[]
  readonly made: number
  readonly bytes: number
  /** The first 1000. */
  readonly backups: readonly MadeBackup[]
}

/** Backups of a run of migrations. */
export interface BackupFirst {
  /** Migrations that a tenant is backed up before. */
  readonly files: readonly LongWork[]
  /** Backs a tenant up if it lacks one of those files. */
  readonly beforeTenant: (tenant: FleetTenantName, pending: readonly string[]) => Promise<void>
  report(): BackupFirstReport
}

const maxNamed = 1000
const maxProblems = 5

async function lint(files: readonly LintInput[], extensions: readonly string[]): Promise<LintReport> {
  try {
    return await lintMigrations({ files, extensions })
  } catch (error) {
    if (findTenancyError(error)?.code !== 'TENANCY_CONFIG_PEER_MISSING') throw error
    throw new TenancyError(
      'TENANCY_CONFIG_PEER_MISSING',
      'migrate up --backup asks the linter which pending files rewrite tables or take data away, and the linter needs PostgreSQL’s parser: ' +
        'npm install libpg-query@18. Without it, run tenant backup for the tenants, then migrate up without --backup',
      { cause: error },
    )
  }
}

/**
 * Asks the linter which pending migrations rewrite tables, lock them for long or take data away, and makes the folder of backups if
 * there is one.
 *
 * @throws {@link CliError} CLI_USAGE: the folder cannot be made; TENANCY_CONFIG_PEER_MISSING: the linter has no parser
 */
export async function prepareBackups(
  context: CommandContext,
  tenancy: Pick<Tenancy, 'backup' | 'fleet'>,
  { backup: folder, backupKey: encryptTo, backupAnyway = false, dryRun, actor }: BackupFirstInput,
): Promise<BackupFirst> {
  const { versions } = await tenancy.fleet.status({ limit: 0 })
  const oldest = Math.min(...versions.map(({ version }) => version ?? -1))
  const { files: all, extensions } = await readLintInput(context)
  const pending = new Set(all.filter(({ version }) => version > oldest).map(({ name }) => name))
  const linted = all.map(({ version: _version, ...file }) => file)
  // Each file is judged as if the tenant had those before it: some have.
  const files =
    pending.size === 0 ? [] : findLongWork(await lint(linted, extensions)).filter(({ file }) => pending.has(file))
  if (files.length > 0 && !dryRun) {
    await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
      throw new CliError('CLI_USAGE', `--backup: ${folder} cannot be made: ${(cause as Error).message}`, { cause })
    })
  }
  const needed = new Set(files.map(({ file }) => file))
  const startedAt = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const backups: MadeBackup[] = []
  let made = 0
  let bytes = 0
  return {
    files,
    async beforeTenant({ id, slug }, lacking) {
      if (!lacking.some((file) => needed.has(file))) return
      const path = join(folder, `${slug}-${startedAt}`)
      // Ctrl-C lets the tenants under way finish.
      const written = await tenancy.backup({ tenant: id, to: path, encryptTo, actor })
      made += 1
      bytes += written.bytes
      if (backups.length < maxNamed) backups.push({ id, slug, path, bytes: written.bytes })
      const problems = written.restoreProblems.slice(0, maxProblems)
      if (problems.length > 0 && !backupAnyway) {
        throw new TenancyError(
          'TENANCY_DATABASE_COPY_REFUSED',
          `Not migrated: tenant restore would refuse its backup in ${path}: ${problems.join('; ')}. ` +
            'Bring the database in line with the schema files, or pass --backup-anyway',
        )
      }
    },
    report: () => ({ folder, files, made, bytes, backups }),
  }
}
