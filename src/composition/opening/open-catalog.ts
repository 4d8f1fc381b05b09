import { devAccess, prodAccess } from '../../access/index.js'
import { seedAccess } from '../../catalog/access/seed/seed.js'
import { type CatalogPool, createCatalogPool } from '../../catalog/catalog-pool.js'
import { migrateCatalog } from '../../catalog/migrate.js'
import { createTenantDatabaseRecords } from '../../catalog/tenants/tenant-databases.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import { bindSecret } from '../../databases/server/bind-secret.js'
import { ensureCatalogDatabase } from '../../databases/server/catalog-database.js'
import { deriveLockKey } from '../../postgres/advisory-lock.js'
import { checkBudget } from './check-budget.js'
import { type OpenServer, openServer } from './open-server.js'
import type { Opening } from './opening.js'

/** The first step of opening an installation: the server, and the catalog on it. */
export interface OpenCatalog {
  readonly server: OpenServer
  readonly catalog: CatalogPool
  /** The provisioning account, connected to the catalog database. */
  readonly catalogAccount: ServerAccount
  readonly records: TenantDatabaseRecords
}

/**
 * Opens the server and the catalog database, migrates the catalog and seeds its access rules. Refuses a server that cannot
 * hold the configured connections, and a secret that is not the installation's.
 *
 * @throws {@link TenancyError} TENANCY_CATALOG_*, TENANCY_EMBEDDED_*, TENANCY_CONNECTION_BUDGET_TOO_LARGE,
 *   TENANCY_CONFIG_SECRET_MISMATCH
 */
export async function openCatalog({ config, logger, closing, access, operator }: Opening): Promise<OpenCatalog> {
  const server = await openServer(config, logger)
  closing.add(() => server.close())

  const catalogAccount = await ensureCatalogDatabase(server.account, config.catalogDatabase)
  const catalog = createCatalogPool(catalogAccount, { operator })
  closing.add(() => catalog.end())
  await checkBudget(catalog, config)
  await migrateCatalog(catalog, undefined, { key: deriveLockKey(server.secret, 'catalog migrations') })
  await bindSecret(catalog, server.secret)
  // A profile stands in for a missing definition of the application, and takes nothing away from an earlier one: version 0.
  const profile = { ...(config.seedProfile === 'dev' ? devAccess : prodAccess), version: 0 }
  await seedAccess(catalog, access ?? profile)

  return { server, catalog, catalogAccount, records: createTenantDatabaseRecords(catalog) }
}
