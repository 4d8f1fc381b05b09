import type { SqlClient } from '../sql-client.js'

/** The tenant whose database a migration runs in. */
export interface MigrationTenant {
  readonly slug: string
  readonly databaseId: string
}

/**
 * A migration as a function.
 *
 * @param client a `pg` client inside of the migration's transaction. Do not end the transaction, and do not keep the client.
 * @param tenant undefined: the template, from which new tenants are cloned; it holds no data
 */
export type MigrationFunction = (client: SqlClient, tenant: MigrationTenant | undefined) => Promise<void>

/** One step of a schema. */
export interface Migration {
  /** Key in the ledger, and order: the number of its name, or its position from 0. */
  readonly version: number
  /** Name in the ledger, such as `0001_orders.sql`. */
  readonly name: string
  /** SHA-256, hexadecimal: of the file's text with line ends as `\n`; of a function, of its name. */
  readonly checksum: string
  /** False: statements are sent one by one, each on its own. */
  readonly inTransaction: boolean
  readonly up: string | MigrationFunction
  /** Undoes `up`; undefined: nothing does. */
  readonly down?: string | MigrationFunction | undefined
  /** As `inTransaction`, of `down`. Default: true. */
  readonly downInTransaction?: boolean
}

/** A migration that an application gives as functions. */
export interface TenantMigration {
  /** 1 to 200 characters; unique, and never changed once it has run: the ledger knows the function by it. */
  readonly name: string
  readonly up: MigrationFunction
  /** Undoes `up`. Default: the migration cannot be reverted. */
  readonly down?: MigrationFunction | undefined
}

/** The kinds of migration folders. */
export type MigrationFolderKind = 'sql' | 'drizzle' | 'prisma' | 'kysely'

/** A folder of migrations. */
export interface MigrationFolder {
  readonly dir: string
  /**
   * `sql`: `0001_name.sql`. `drizzle`: made by drizzle-kit. `prisma`: made by `prisma migrate`. `kysely`: files with `up(db)`, as
   * for Kysely's `FileMigrationProvider`. Default: detected from what is in the folder.
   */
  readonly kind?: MigrationFolderKind | undefined
  /** Where the tool keeps its own list in each database. Default: where it does without configuration. */
  readonly toolTable?: { readonly schema?: string | undefined; readonly table?: string | undefined } | undefined
}

/** Every tenant's schema: a folder of migrations, or a list of functions in the order in which they run. */
export type SchemaSource = MigrationFolder | { readonly migrations: readonly TenantMigration[] }

/**
 * Finds the number of a migration by its id: its name, as the ledger has it. A SQL file may be named without `.sql`, a folder
 * without `/migration.sql`.
 */
export function migrationVersion(
  migrations: readonly Pick<Migration, 'version' | 'name'>[],
  id: string,
): number | undefined {
  const names = new Set([id, `${id}.sql`, `${id}/migration.sql`])
  return migrations.find(({ name }) => names.has(name))?.version
}
