import { createFleetDatabases } from '../../catalog/tenants/fleet-databases.js'
import { createFleetCatalog } from '../../catalog/tenants/fleet-catalog.js'
import type { Fleet } from '../../core/fleet/fleet.js'
import { maxBuilderConnections } from '../../databases/tenant-databases.js'
import { createFleet } from '../../fleet/create-fleet.js'
import { createFleetCheck } from '../../fleet/drift/fleet-check.js'
import { defaultParallelism } from '../../fleet/migrate-fleet.js'
import { checkBudget } from './check-budget.js'
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
      checkBudget: (parallelism) => checkBudget(catalog, config, (parallelism - defaultParallelism) * 2),
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
