import { createFleetCatalog } from '../../src/catalog/tenants/fleet-catalog.js'
import type { SqlPool } from '../../src/core/sql-client.js'
import type { DatabaseInspection } from '../../src/core/fleet/fleet-check.js'
import type { FleetConnections, FleetDatabases, FleetTenant } from '../../src/core/fleet/ports.js'
import type { RehearsalDatabases } from '../../src/core/fleet/rehearsal.js'
import { createFleet } from '../../src/fleet/create-fleet.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'

/** A catalog with as many tenants as a test wants, whose databases are on no server. */
export interface CatalogFleet {
  readonly catalog: TestDatabase
  readonly fleet: ReturnType<typeof createFleet>
  /** Slugs of the tenants that were migrated or tried, in order. */
  readonly tried: string[]
  /** Most tenants at a time. */
  readonly most: () => number
  /** Texts of the queries that the catalog was asked. */
  readonly queries: string[]
  /** What migrating a tenant does before the catalog is told. Default: nothing. */
  work: (tenant: FleetTenant) => Promise<void>
  addTenants(count: number, schemaVersion: number | null, slug?: string): Promise<void>
}

/** Makes a catalog without tenants, and a fleet on it whose newest schema file has the number 2. */
export async function createCatalogFleet(): Promise<CatalogFleet> {
  const catalog = await createTestCatalog()
  const queries: string[] = []
  const counted: SqlPool = {
    query: (text, values) => {
      queries.push(text)
      return catalog.pool.query(text, values)
    },
    connect: () => catalog.pool.connect(),
  }
  const tried: string[] = []
  let running = 0
  let most = 0
  const files = [
    { version: 1, name: '0001_one.sql' },
    { version: 2, name: '0002_two.sql' },
  ]
  const nothing = async () => {
    throw new Error('No database can be looked into')
  }
  const databases: FleetDatabases = {
    newestVersion: async () => 2,
    announce: async (tenants) => [...tenants],
    schema: async () => ({
      version: 2,
      namesAfter: (version) => files.filter((file) => file.version > (version ?? -1)).map(({ name }) => name),
    }),
    pendingOf: async ({ database }) =>
      files.filter((file) => file.version > (database.schemaVersion ?? -1)).map(({ name }) => name),
    async migrate(tenant) {
      tried.push(tenant.slug)
      running += 1
      most = Math.max(most, running)
      try {
        await made.work(tenant)
        await catalog.pool.query('update tenant_databases set schema_version = 2 where id = $1', [tenant.database.id])
        return { outcome: 'migrated', applied: ['0002_two.sql'] }
      } finally {
        running -= 1
      }
    },
    planRevert: async () => ({ to: 1, names: ['0002_two.sql'] }),
    revert: async () => [],
    planAccept: () => nothing(),
    acceptChecksum: () => nothing(),
    renew() {},
    withOwner: () => nothing(),
    runScript: () => nothing(),
  }
  const connections: FleetConnections = { reserve: async () => () => {}, inSlot: (work) => work() }
  const seeds = { folder: undefined, functions: [], profile: 'dev' } as const
  const inspection: DatabaseInspection = { inspect: nothing, inspectTemplate: nothing }
  const rehearsals: RehearsalDatabases = { sizes: nothing, rowCounts: nothing, rehearse: nothing }
  const made: CatalogFleet = {
    catalog,
    fleet: createFleet({
      ...{ catalog: createFleetCatalog(counted), connections, databases, inspection, rehearsals, seeds },
    }),
    tried,
    most: () => most,
    queries,
    work: async () => {},
    async addTenants(count, schemaVersion, slug = 'tenant') {
      await catalog.pool.query(
        `with server as (
           insert into database_servers (name) values ('default') on conflict (name) do update set name = excluded.name returning id
         ), made as (
           insert into tenant_databases (id, server_id, name, role_name, state, schema_version)
           select gen_random_uuid(), server.id, $3 || number, $3 || number, 'assigned', $2
           from server, generate_series(1, $1::integer) as number returning id, name
         ) insert into tenants (id, slug, name, database_id) select gen_random_uuid(), name, name, id from made`,
        [count, schemaVersion, `${slug}-`],
      )
    },
  }
  return made
}
