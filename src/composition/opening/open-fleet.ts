import { createFleetDatabases } from '../../catalog/tenants/fleet-databases.js'
import type { Fleet } from '../../core/fleet/fleet.js'
import { maxBuilderConnections } from '../../databases/tenant-databases.js'
import { createFleetCheck } from '../../fleet/drift/fleet-check.js'
import type { OpenCatalog } from './open-catalog.js'
import type { OpenDatabases } from './open-databases.js'

/** Most connections of the provisioning account that work on the fleet may have: those that the budget holds for builds. */
export const maxFleetParallelism = maxBuilderConnections

/** Makes the functions that work on all tenant databases. */
export function openFleet({ catalog }: OpenCatalog, { databases }: OpenDatabases): Fleet {
  return { check: createFleetCheck({ catalog: createFleetDatabases(catalog), databases }) }
}
