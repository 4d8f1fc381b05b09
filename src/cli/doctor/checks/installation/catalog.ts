import { migrateCatalog } from '../../../../catalog/migrate.js'
import { deriveLockKey } from '../../../../postgres/advisory-lock.js'
import { appliedMigrations, ownMigrations } from '../../catalog-ledger.js'
import { type Check, ok, problem, skipped, Unmet, warning } from '../../check.js'

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
    const names = await ownMigrations()
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
