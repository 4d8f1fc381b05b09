import { TenancyError } from '../core/errors/errors.js'
import type { MigrationFolderKind } from '../core/tenants/migration.js'
import { isSqlName } from '../postgres/files/sql-folder.js'
import type { FolderListing } from './folder-listing.js'
import type { MigrationSetCodes } from './migration-set.js'

/** `meta/_journal.json`, which drizzle-kit before 1.0 keeps. */
export const hasJournal = ({ folders }: FolderListing): boolean =>
  folders.some(({ name, files }) => name === 'meta' && files.includes('_journal.json'))

/** Folders of drizzle-kit 1.0: each has a snapshot beside its SQL. */
const snapshotFolders = ({ folders }: FolderListing): string[] =>
  folders
    .filter(({ files }) => files.includes('migration.sql') && files.includes('snapshot.json'))
    .map(({ name }) => name)

const lockFile = 'migration_lock.toml'
const script = /\.(?:[jt]s|m[jt]s)$/
const declaration = /\.d\.m?ts$/

/** Tells whether Kysely's `FileMigrationProvider` would load a file. */
export const isScript = (name: string): boolean => script.test(name) && !declaration.test(name)

/**
 * Tells which tool has written a folder, by what is in it. A folder of plain SQL may hold other files; scripts among them count
 * only if their names begin with a digit, as migrations do.
 *
 * @throws {@link TenancyError} `codes.invalid`: it could be of two kinds; the message names what was seen
 */
export function detectKind(listing: FolderListing, codes: MigrationSetCodes): MigrationFolderKind {
  const { path, files, folders } = listing
  const sqlFiles = files.filter((name) => isSqlName(name))
  const sqlFolders = folders.filter(({ files: inside }) => inside.includes('migration.sql')).map(({ name }) => name)
  const snapshots = snapshotFolders(listing)
  const scripts = files.filter(isScript)
  const isDrizzle = hasJournal(listing) || snapshots.length > 0
  const isPrisma = files.includes(lockFile)
  const hasSql = sqlFiles.length > 0 || sqlFolders.length > 0
  const migrationScripts = hasSql ? scripts.filter((name) => /^\d/.test(name)) : scripts
  const found: [kind: MigrationFolderKind, evidence: string][] = []
  if (isDrizzle) found.push(['drizzle', hasJournal(listing) ? 'meta/_journal.json' : `${snapshots[0]}/snapshot.json`])
  if (isPrisma) found.push(['prisma', lockFile])
  // Beside drizzle-kit's files, `drizzle-kit pull` writes schema.ts and relations.ts.
  if (migrationScripts.length > 0 && (!isDrizzle || migrationScripts.some((name) => /^\d/.test(name)))) {
    found.push(['kysely', migrationScripts[0] ?? ''])
  }
  const numbered = sqlFiles.find((name) => /^\d/.test(name))
  if (!isDrizzle && numbered !== undefined) found.push(['sql', numbered])
  if (!isDrizzle && !isPrisma && numbered === undefined && sqlFolders.length > 0)
    found.push(['sql', `${sqlFolders[0]}/migration.sql`])
  if (hasJournal(listing) && sqlFolders.length > 0 && snapshots.length > 0) {
    throw new TenancyError(
      codes.invalid,
      `${path} holds both layouts of drizzle-kit: meta/_journal.json and ${snapshots[0]}/snapshot.json: run "drizzle-kit up", or remove one`,
    )
  }
  if (found.length <= 1) return found[0]?.[0] ?? 'sql'
  const seen = found.map(([kind, evidence]) => `${evidence} (${kind})`).join(' and ')
  throw new TenancyError(
    codes.invalid,
    `${path} could be a folder of several kinds: it has ${seen}. Name the kind, { dir, kind }, or move the files apart`,
  )
}
