import { migrateCatalog } from '../../../../catalog/migrate.js'
import { shippedMigrations } from '../../../../catalog/shipped-migrations.js'
import type { SqlClient } from '../../../../core/sql-client.js'
import { deriveLockKey } from '../../../../postgres/advisory-lock.js'
import { type Check, ok, problem, skipped, Unmet, warning } from '../../check.js'

const failed = 'TENANCY_CATALOG_MIGRATION_FAILED'
const codes = { invalid: failed, failed, blocked: failed } as const

/** The catalog has every migration of this version. */
export const catalog: Check = {
  name: 'catalog',
  async run(context) {
    const { secret } = await context.server()
    const { catalogDatabase: name } = context.config()
    let pool
    try {
      pool = await context.catalogDatabase()
    } catch (error) {
      if (!(error instanceof Unmet)) throw error
      return skipped(`There is no catalog ${name} yet: the first start of the application makes it`)
    }
    const applied = await appliedMigrations(pool)
    const names = (await shippedMigrations(codes)).map((file) => file.name)
    const strangers = applied.filter((file) => !names.includes(file))
    const pending = names.filter((file) => !applied.includes(file))
    if (strangers.length > 0 && pending.length > 0) {
      return problem(
        `The catalog ${name} has ${strangers[0]}, which this version does not know, and lacks ${pending[0]}`,
        'It was made by another version of tenants2fast: name another database in TENANT_CATALOG_DB',
      )
    }
    if (strangers.length > 0) {
      return warning(
        `A newer version of tenants2fast has migrated the catalog ${name} (${strangers.at(-1)})`,
        'Fine during a deployment; otherwise run the newer version here, too',
      )
    }
    if (pending.length === 0) return ok(`The catalog ${name} is up to date (${applied.at(-1)})`)
    return problem(
      `The catalog ${name} lacks ${pending.join(', ')}`,
      'The next start of the application applies them, or --fix',
      {
        what: 'applies the catalog’s migrations',
        async apply() {
          const done = await migrateCatalog(pool, undefined, { key: deriveLockKey(secret, 'catalog migrations') })
          return `Applied ${done.join(', ')}`
        },
      },
    )
  },
}

/** Names of this version's migrations that a catalog lacks. */
export async function pendingCatalogMigrations(client: SqlClient): Promise<string[]> {
  const applied = await appliedMigrations(client)
  return (await shippedMigrations(codes)).map(({ name }) => name).filter((name) => !applied.includes(name))
}

/** Names of the files in the catalog's ledger, in order; none: the database is empty. */
async function appliedMigrations(client: SqlClient): Promise<string[]> {
  const found = await client.query("select where to_regclass('public.schema_migrations') is not null")
  if (found.rowCount === 0) return []
  const { rows } = await client.query<{ name: string }>('select name from public.schema_migrations order by version')
  return rows.map(({ name }) => name)
}
