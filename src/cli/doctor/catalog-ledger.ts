import { shippedMigrations } from '../../catalog/shipped-migrations.js'
import type { SqlClient } from '../../core/sql-client.js'

const failed = 'TENANCY_CATALOG_MIGRATION_FAILED'

/** Names of this version's migrations of the catalog, in order. */
export async function ownMigrations(): Promise<string[]> {
  const files = await shippedMigrations({ invalid: failed, failed, blocked: failed })
  return files.map(({ name }) => name)
}

/** Names of this version's migrations that a catalog lacks. */
export async function pendingCatalogMigrations(client: SqlClient): Promise<string[]> {
  const applied = await appliedMigrations(client)
  return (await ownMigrations()).filter((name) => !applied.includes(name))
}

/** Names of the files in the catalog's ledger, in order; none: the database is empty. */
export async function appliedMigrations(client: SqlClient): Promise<string[]> {
  const found = await client.query("select where to_regclass('public.schema_migrations') is not null")
  if (found.rowCount === 0) return []
  const { rows } = await client.query<{ name: string }>('select name from public.schema_migrations order by version')
  return rows.map(({ name }) => name)
}
