import { TenancyError } from '../core/errors/errors.js'
import type { DatabaseInspection } from '../core/fleet/fleet-check.js'
import type { Fleet } from '../core/fleet/fleet.js'
import type { FleetCatalog, FleetConnections, FleetDatabases } from '../core/fleet/ports.js'
import type { RehearsalDatabases } from '../core/fleet/rehearsal.js'
import { acceptChecksum } from './accept-checksum.js'
import { createFleetCheck } from './drift/fleet-check.js'
import { execOnFleet } from './exec-fleet.js'
import { migrateFleet } from './migrate-fleet.js'
import { readLastRehearsal } from './rehearse/recorded-rehearsal.js'
import { rehearseFleet } from './rehearse/rehearse-fleet.js'
import { seedFleet, type SeedParts } from './seeds/seed-fleet.js'
import { revertFleet } from './revert-fleet.js'

/** What {@link createFleet} needs. */
export interface FleetPorts {
  readonly catalog: FleetCatalog
  readonly connections: FleetConnections
  readonly databases: FleetDatabases
  readonly inspection: DatabaseInspection
  readonly rehearsals: RehearsalDatabases
  readonly seeds: SeedParts['seeds']
}

const defaultNamed = 20

/** Creates the functions over all tenants. `close` begins no further tenant and waits for those under way. */
export function createFleet({ catalog, connections, databases, inspection, rehearsals, seeds }: FleetPorts): Fleet & {
  close(): Promise<void>
} {
  const running = new Set<Promise<unknown>>()
  let isClosing = false
  const run = { catalog, connections, isClosing: () => isClosing }
  const check = createFleetCheck({ ...run, databases: inspection })

  /** Refuses work of a closing fleet, and has `close` wait for what is under way. */
  const whileOpen = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (isClosing) throw new TenancyError('TENANCY_CLOSED')
    const working = work()
    running.add(working)
    return working.finally(() => running.delete(working))
  }

  return {
    migrate: (options = {}) => whileOpen(() => migrateFleet({ ...run, databases }, options)),
    rehearse: (options = {}) => whileOpen(() => rehearseFleet({ ...run, databases, rehearsals }, options)),
    lastRehearsal: () => whileOpen(() => readLastRehearsal(catalog)),
    revert: (options) => whileOpen(() => revertFleet({ ...run, databases }, options)),
    acceptChecksum: (options) => whileOpen(() => acceptChecksum({ ...run, databases }, options)),
    check: (options = {}) => whileOpen(() => check(options)),
    seed: (options = {}) => whileOpen(() => seedFleet({ ...run, databases, seeds }, options)),
    exec: (options) => whileOpen(() => execOnFleet({ ...run, databases }, options)),

    async status({ limit = defaultNamed } = {}) {
      const version = await databases.newestVersion()
      const { behind, since } = await catalog.overview({}, version)
      const versions = await catalog.versions()
      const page = { after: undefined, behind: version, since, newOnly: false, limit }
      const named = behind === 0 ? [] : await catalog.page({}, page)
      return {
        ...{ version, versions, behind, ...(await catalog.failures(limit)) },
        tenantsBehind: named.map(({ id, slug, database }) => ({ id, slug, version: database.schemaVersion })),
      }
    },

    async close() {
      isClosing = true
      await Promise.allSettled(running)
    },
  }
}
