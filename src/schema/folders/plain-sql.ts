import { TenancyError } from '../../core/errors/errors.js'
import { baseOf, isSqlName, numberOf, orderByNumber } from '../../postgres/files/sql-folder.js'
import type { FolderListing } from '../folder-listing.js'
import type { MigrationSet, MigrationSetCodes } from '../migration-set.js'
import { readSqlMigrations } from './sql-migrations.js'

const downEnding = '.down.sql'

/**
 * Reads a folder of plain SQL: `0001_name.sql` and folders `20240101120000_name/migration.sql`, in the order of their numbers.
 * `0001_name.down.sql`, or `down.sql` in such a folder, undoes it.
 *
 * @throws {@link TenancyError} `codes.invalid`
 */
export async function readPlainSql(listing: FolderListing, codes: MigrationSetCodes): Promise<MigrationSet> {
  const { path, files, folders } = listing
  const downs = new Set(files.filter((name) => name.endsWith(downEnding)))
  const ofFiles = files
    .filter((name) => isSqlName(name) && !downs.has(name))
    .map((name) => {
      const base = baseOf(name)
      const down = `${base}${downEnding}`
      return { base, name, down: downs.has(down) ? down : undefined }
    })
  const ofFolders = folders
    .filter(({ name }) => numberOf(name) !== undefined)
    .map(({ name, files: inside }) => ({
      base: name,
      name: `${name}/migration.sql`,
      down: inside.includes('down.sql') ? `${name}/down.sql` : undefined,
    }))
  const ordered = orderByNumber(path, [...ofFiles, ...ofFolders], codes)
  refuseOrphans(path, downs, ordered, codes)
  return { kind: 'sql', migrations: await readSqlMigrations(path, ordered, codes) }
}

/** A file that undoes nothing is a misspelt one: whoever wrote it counts on it. */
export function refuseOrphans(
  path: string,
  downs: ReadonlySet<string>,
  used: readonly { readonly down: string | undefined }[],
  codes: MigrationSetCodes,
): void {
  const known = new Set(used.map(({ down }) => down))
  const orphans = [...downs].filter((name) => !known.has(name))
  if (orphans.length === 0) return
  throw new TenancyError(codes.invalid, `SQL files of ${path}: ${orphans.join(', ')}: there is no file that it undoes`)
}
