import type * as Jiti from 'jiti'
import { readFile } from 'node:fs/promises'
import * as nodeModule from 'node:module'
import { join } from 'node:path'
import { TenancyError } from '../../core/errors/errors.js'
import type { Migration, MigrationFolder } from '../../core/tenants/migration.js'
import { sha256 } from '../../postgres/files/sql-folder.js'
import { isScript } from '../detect-kind.js'
import type { FolderListing } from '../folder-listing.js'
import { type KyselyMigration, withKysely } from '../kysely-client.js'
import type { MigrationSet, MigrationSetCodes } from '../migration-set.js'
import { kyselyLedger } from '../tools/kysely-ledger.js'

/**
 * Reads a folder as Kysely's `FileMigrationProvider` does: files of JavaScript or TypeScript that export `up(db)` and perhaps
 * `down(db)`, in the order of their names.
 *
 * @throws {@link TenancyError} `codes.invalid`, TENANCY_CONFIG_PEER_MISSING (`kysely`)
 */
export async function readKyselyFolder(
  { path, files }: FolderListing,
  { toolTable = {} }: Pick<MigrationFolder, 'toolTable'>,
  codes: MigrationSetCodes,
): Promise<MigrationSet> {
  const byName = new Map<string, string>()
  for (const file of files.filter(isScript)) {
    const name = file.slice(0, file.lastIndexOf('.'))
    const twin = byName.get(name)
    if (twin !== undefined)
      throw new TenancyError(codes.invalid, `${path}: ${twin} and ${file} are the same migration: remove one`)
    byName.set(name, file)
  }
  const names = [...byName].toSorted(([one], [other]) => (one < other ? -1 : 1))
  const migrations: Migration[] = []
  // One after the other: they may import the same modules.
  for (const [version, [name, file]] of names.entries()) {
    const text = (await readFile(join(path, file), 'utf8')).replaceAll('\r\n', '\n')
    const checksum = sha256(text)
    const { up, down } = await loadMigration(join(path, file), codes)
    migrations.push({
      ...{ version, name, checksum, inTransaction: true, up: await withKysely(up) },
      ...(down && { down: await withKysely(down) }),
    })
  }
  return { kind: 'kysely', migrations, tool: kyselyLedger(migrations, toolTable) }
}

interface KyselyModule {
  readonly up: KyselyMigration
  readonly down?: KyselyMigration
}

async function loadMigration(path: string, codes: MigrationSetCodes): Promise<KyselyModule> {
  let loaded: unknown
  try {
    // Not imported: in a bundle, its code and the banner that bundles commonly start with declare the same name.
    const { createJiti } = nodeModule.createRequire(import.meta.url)('jiti') as typeof Jiti
    // Without its caches: a file that was corrected is read again, and nobody else's files on the disk are run.
    loaded = await createJiti(import.meta.url, { fsCache: false, moduleCache: false }).import(path)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TenancyError(codes.invalid, `${path} cannot be loaded: ${reason}`, { cause })
  }
  const own = [(loaded as { default?: unknown } | undefined)?.default, loaded].find(isMigration)
  if (own === undefined)
    throw new TenancyError(codes.invalid, `${path} exports no function "up": it is no migration of Kysely`)
  return own
}

function isMigration(value: unknown): value is KyselyModule {
  const { up, down } = (value ?? {}) as { up?: unknown; down?: unknown }
  return typeof up === 'function' && (down === undefined || typeof down === 'function')
}
