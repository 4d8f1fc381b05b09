import { createFleetCatalog } from '../../catalog/tenants/fleet-catalog.js'
import type { FleetConnections } from '../../core/fleet/ports.js'
import type { Fleet } from '../../core/fleet/fleet.js'
import { runScript } from '../../databases/owner/script-run.js'
import { createFleet } from '../../fleet/create-fleet.js'
import { checkBudget } from './check-budget.js'
import type { OpenCatalog } from './open-catalog.js'
import type { OpenDatabases } from './open-databases.js'
import type { Opening } from './opening.js'

/** Makes the functions that work on all tenants. Waits for nothing; closing waits for the tenants under way. */
export function openFleet(
  { config, closing, seedDir, seeds }: Pick<Opening, 'config' | 'closing' | 'seedDir' | 'seeds'>,
  { catalog }: Pick<OpenCatalog, 'catalog'>,
  { databases, scheduler }: Pick<OpenDatabases, 'databases' | 'scheduler'>,
): Fleet {
  const fleet = createFleet({
    catalog: createFleetCatalog(catalog),
    connections: {
      reserve: createReservations((connections) => checkBudget(catalog, config, connections)),
      inSlot: (work) => databases.fleet.inSlot(work),
    },
    databases: {
      ...databases.fleet,
      withOwner: ({ database, slug }, work) => databases.withOwner(database, slug, work),
      runScript: ({ database, slug }, script) =>
        databases.withOwner(database, slug, (client) => runScript(client, slug, script)),
      ...databases.acceptance,
      renew: (databaseId) => scheduler.disconnect(databaseId),
    },
    inspection: databases,
    rehearsals: databases.rehearsals,
    seeds: { folder: seedDir ?? config.seedDir, functions: seeds, profile: config.seedProfile },
  })
  closing.add(() => fleet.close())
  return fleet
}

/** Adds up what the runs of this process have reserved. `check` throws when the server has no room for so many. */
function createReservations(check: (connections: number) => Promise<void>): FleetConnections['reserve'] {
  let reserved = 0
  return async (connections) => {
    reserved += connections
    const release = () => {
      reserved -= connections
    }
    try {
      await check(reserved)
    } catch (error) {
      release()
      throw error
    }
    return release
  }
}
