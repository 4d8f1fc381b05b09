import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TenancyError } from '../../core/errors/errors.js'
import type { MigrationFolder } from '../../core/tenants/migration.js'
import type { FolderListing } from '../folder-listing.js'
import type { MigrationSet, MigrationSetCodes } from '../migration-set.js'
import { prismaLedger } from '../tools/prisma-ledger.js'
import { versionsOf } from '../versions.js'
import { readSqlMigrations } from './sql-migrations.js'

const lockFile = 'migration_lock.toml'

/**
 * Reads a folder of `prisma migrate`: folders `20240101120000_name/migration.sql`, in the order of their names. A `down.sql`
 * beside it undoes it.
 *
 * @throws {@link TenancyError} `codes.invalid`
 */
export async function readPrismaFolder(
  { path, files, folders }: FolderListing,
  { toolTable = {} }: Pick<MigrationFolder, 'toolTable'>,
  codes: MigrationSetCodes,
): Promise<MigrationSet> {
  if (files.includes(lockFile)) await requirePostgres(path, codes)
  const unfinished = folders.filter((folder) => !folder.files.includes('migration.sql')).map(({ name }) => name)
  if (unfinished.length > 0) {
    throw new TenancyError(codes.invalid, `${path}: no migration.sql in ${unfinished.join(', ')}: remove these folders`)
  }
  const versions = versionsOf(folders.map(({ name }) => name))
  const wanted = folders.map(({ name, files: inside }, index) => ({
    version: versions[index] ?? index,
    name: `${name}/migration.sql`,
    down: inside.includes('down.sql') ? `${name}/down.sql` : undefined,
  }))
  const migrations = await readSqlMigrations(path, wanted, codes, { sendsSingleStatements: true })
  return { kind: 'prisma', migrations, tool: prismaLedger(migrations, toolTable) }
}

async function requirePostgres(path: string, codes: MigrationSetCodes): Promise<void> {
  const text = await readFile(join(path, lockFile), 'utf8')
  const provider = /^\s*provider\s*=\s*"([^"]*)"/m.exec(text)?.[1]
  if (provider === undefined || provider === 'postgresql') return
  throw new TenancyError(
    codes.invalid,
    `${path}/${lockFile} is of provider ${JSON.stringify(provider)}: it must be postgresql`,
  )
}
