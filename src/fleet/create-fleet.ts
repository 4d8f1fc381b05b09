import { TenancyError } from '../core/errors/errors.js'
import type { Fleet } from '../core/fleet/fleet.js'
import { type FleetParts, migrateFleet } from './migrate-fleet.js'

const defaultNamed = 20

/** Creates the functions that migrate all tenants and count their versions. `close` begins no further tenant and waits for those under way. */
export function createFleet(parts: FleetParts): Pick<Fleet, 'migrate' | 'status'> & { close(): Promise<void> } {
  const running = new Set<Promise<unknown>>()
  let isClosing = false

  return {
    async migrate(options = {}) {
      if (isClosing) throw new TenancyError('TENANCY_CLOSED')
      const run = migrateFleet(parts, options, () => isClosing)
      running.add(run)
      return run.finally(() => running.delete(run))
    },

    async status({ limit = defaultNamed } = {}) {
      const { version } = await parts.databases.schema()
      const { behind, since } = await parts.catalog.overview({}, version)
      const versions = await parts.catalog.versions()
      const page = { after: undefined, behind: version, since, newOnly: false, limit }
      const named = behind === 0 ? [] : await parts.catalog.page({}, page)
      return {
        ...{ version, versions, behind },
        tenantsBehind: named.map(({ id, slug, schemaVersion }) => ({ id, slug, version: schemaVersion })),
      }
    },

    async close() {
      isClosing = true
      await Promise.allSettled(running)
    },
  }
}
