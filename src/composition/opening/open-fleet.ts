import { maxCatalogConnections } from '../../catalog/catalog-pool.js'
import { createFleetDatabases } from '../../catalog/tenants/fleet-databases.js'
import { createFleetCatalog } from '../../catalog/tenants/fleet-catalog.js'
import type { Fleet } from '../../core/fleet/fleet.js'
import { checkConnectionBudget } from '../../databases/server/connection-budget.js'
import { maxBuilderConnections } from '../../databases/tenant-databases.js'
import { createFleet } from '../../fleet/create-fleet.js'
import { createFleetCheck } from '../../fleet/drift/fleet-check.js'
import { defaultParallelism } from '../../fleet/migrate-fleet.js'
import type { OpenCatalog } from './open-catalog.js'
import type { OpenDatabases } from './open-databases.js'
import type { Opening } from './opening.js'

/** Most connections of the provisioning account that work on the fleet may have: those that the budget holds for builds. */
export const maxFleetParallelism = maxBuilderConnections

/** Makes the functions that work on all tenants. Waits for nothing; closing waits for the tenants under way. */
export function openFleet(
  { config, closing }: Pick<Opening, 'config' | 'closing'>,
  { catalog }: Pick<OpenCatalog, 'catalog'>,
  { databases, scheduler }: Pick<OpenDatabases, 'databases' | 'scheduler'>,
): Fleet {
  const fleet = createFleet({
    catalog: createFleetCatalog(catalog),
    databases: {
      schema: () => databases.fleetSchema(),
      migrate: (tenant, how) => databases.migrateInFleet(tenant, how),
      // Two connections for each migration: one inside the database, and one for its lock.
      checkBudget: (parallelism) =>
        checkConnectionBudget(catalog, {
          tenants: config.pooler === undefined ? config.maxConnections : 0,
          catalog: maxCatalogConnections,
          listen: config.changesBy === 'listen' ? 1 : 0,
          watch: config.watch.intervalMs > 0 ? 1 : 0,
          builder: maxBuilderConnections + (parallelism - defaultParallelism) * 2,
          processes: config.processes,
        }),
      renew: (databaseId) => scheduler.disconnect(databaseId),
    },
  })
  closing.add(() => fleet.close())
  return {
    migrate: (options) => fleet.migrate(options),
    status: (options) => fleet.status(options),
    check: createFleetCheck({ catalog: createFleetDatabases(catalog), databases }),
  }
}
