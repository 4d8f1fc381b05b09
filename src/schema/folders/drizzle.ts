import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { MigrationFolder } from '../../core/tenants/migration.js'
import { isSqlName } from '../../postgres/files/sql-folder.js'
import { hasJournal } from '../detect-kind.js'
import type { FolderListing } from '../folder-listing.js'
import type { MigrationSet, MigrationSetCodes } from '../migration-set.js'
import { drizzleLedger } from '../tools/drizzle-ledger.js'
import { versionsOf } from '../versions.js'
import { refuseOrphans } from './plain-sql.js'
import { readSqlMigrations, type SqlMigrationFiles } from './sql-migrations.js'

/** A migration of drizzle-kit. */
interface DrizzleFiles extends SqlMigrationFiles {
  /** Its `created_at` in drizzle's table: milliseconds. */
  readonly when: number
  /** Its name in drizzle's table, since 1.0. */
  readonly tag: string
}

const dialect = { hasBreakpoints: true }

/**
 * Reads a folder of drizzle-kit: its journal (`meta/_journal.json`) with files `0000_name.sql`, or, since 1.0, folders
 * `20240101120000_name/migration.sql`. `0000_name.down.sql`, or `down.sql` in such a folder, undoes it.
 *
 * @throws {@link TenancyError} `codes.invalid`
 */
export async function readDrizzleFolder(
  listing: FolderListing,
  { toolTable = {} }: Pick<MigrationFolder, 'toolTable'>,
  codes: MigrationSetCodes,
): Promise<MigrationSet> {
  const isJournal = hasJournal(listing)
  const files = isJournal ? await filesOfJournal(listing, codes) : filesOfFolders(listing, codes)
  const migrations = await readSqlMigrations(listing.path, files, codes, dialect)
  const entries = migrations.map((migration, index) => {
    const { when = 0, tag = '' } = files[index] ?? {}
    return { migration, when, tag }
  })
  return { kind: 'drizzle', migrations, tool: drizzleLedger(entries, toolTable, isJournal ? 'journal' : 'folders') }
}

const journalSchema = z.object({
  dialect: z.string().optional(),
  entries: z.array(z.object({ when: z.number(), tag: z.string().regex(/^[^/\\]+$/) })),
})

async function filesOfJournal({ path, files }: FolderListing, codes: MigrationSetCodes): Promise<DrizzleFiles[]> {
  const journalPath = join(path, 'meta', '_journal.json')
  const parsed = journalSchema.safeParse(await readJson(journalPath, codes))
  if (!parsed.success) {
    throw new TenancyError(
      codes.invalid,
      `${journalPath} is no journal of drizzle-kit: ${z.prettifyError(parsed.error)}`,
    )
  }
  const { entries, dialect: database = 'postgresql' } = parsed.data
  if (database !== 'postgresql') {
    throw new TenancyError(
      codes.invalid,
      `${journalPath} is of dialect ${JSON.stringify(database)}: it must be postgresql`,
    )
  }
  const tags = entries.map(({ tag }) => tag)
  const twice = tags.filter((tag, index) => tags.indexOf(tag) !== index)
  const missing = tags.filter((tag) => !files.includes(`${tag}.sql`))
  const sqlFiles = files.filter((name) => isSqlName(name))
  const extra = sqlFiles.filter((name) => !name.endsWith('.down.sql') && !tags.includes(name.slice(0, -4)))
  const problems = [
    ...twice.map((tag) => `${tag} is in the journal twice`),
    ...missing.map((tag) => `${tag}.sql is in the journal and not in the folder`),
    ...extra.map((name) => `${name} is not in the journal`),
  ]
  if (problems.length > 0) throw new TenancyError(codes.invalid, `${path}: ${problems.join('; ')}`)
  const versions = versionsOf(tags)
  const result = entries.map(({ tag, when }, index) => {
    const down = `${tag}.down.sql`
    return {
      ...{ version: versions[index] ?? index, name: `${tag}.sql`, when, tag },
      down: files.includes(down) ? down : undefined,
    }
  })
  refuseOrphans(path, new Set(sqlFiles.filter((name) => name.endsWith('.down.sql'))), result, codes)
  return result
}

async function readJson(path: string, codes: MigrationSetCodes): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (cause) {
    throw new TenancyError(codes.invalid, `${path} cannot be read as JSON`, { cause })
  }
}

function filesOfFolders({ path, folders }: FolderListing, codes: MigrationSetCodes): DrizzleFiles[] {
  const migrations = folders.filter(({ files }) => files.includes('migration.sql'))
  const unnumbered = migrations.filter(({ name }) => !/^\d{14}/.test(name)).map(({ name }) => name)
  if (unnumbered.length > 0 || migrations.length === 0) {
    const reason =
      unnumbered.length > 0
        ? `no date of 14 digits in ${unnumbered.join(', ')}`
        : 'no meta/_journal.json and no folder with migration.sql'
    throw new TenancyError(codes.invalid, `${path} is no folder of drizzle-kit: ${reason}`)
  }
  const versions = versionsOf(migrations.map(({ name }) => name))
  return migrations.map(({ name, files }, index) => ({
    ...{ version: versions[index] ?? index, name: `${name}/migration.sql`, when: millisecondsOf(name), tag: name },
    down: files.includes('down.sql') ? `${name}/down.sql` : undefined,
  }))
}

/** The date that a folder's name begins with, as drizzle reads it. */
function millisecondsOf(name: string): number {
  const part = (start: number, end: number) => Number(name.slice(start, end))
  return Date.UTC(part(0, 4), part(4, 6) - 1, part(6, 8), part(8, 10), part(10, 12), part(12, 14))
}
