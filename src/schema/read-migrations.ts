import type { MigrationFolder, MigrationFolderKind, SchemaSource } from '../core/tenants/migration.js'
import { detectKind } from './detect-kind.js'
import { type FolderListing, readListing } from './folder-listing.js'
import { readDrizzleFolder } from './folders/drizzle.js'
import { readKyselyFolder } from './folders/kysely.js'
import { readPlainSql } from './folders/plain-sql.js'
import { readPrismaFolder } from './folders/prisma.js'
import { functionMigrations } from './functions.js'
import type { MigrationSet, MigrationSetCodes } from './migration-set.js'

type Reader = (listing: FolderListing, folder: MigrationFolder, codes: MigrationSetCodes) => Promise<MigrationSet>

const readers: Readonly<Record<MigrationFolderKind, Reader>> = {
  sql: (listing, _, codes) => readPlainSql(listing, codes),
  drizzle: readDrizzleFolder,
  prisma: readPrismaFolder,
  kysely: readKyselyFolder,
}

/**
 * Reads the migrations of a schema.
 *
 * @throws {@link TenancyError} `codes.invalid` naming what is wrong with the folder or the list; TENANCY_CONFIG_PEER_MISSING
 */
export async function readMigrations(source: SchemaSource, codes: MigrationSetCodes): Promise<MigrationSet> {
  if ('migrations' in source) return functionMigrations(source.migrations, codes)
  const listing = await readListing(source.dir, codes)
  return readers[source.kind ?? detectKind(listing, codes)](listing, source, codes)
}
