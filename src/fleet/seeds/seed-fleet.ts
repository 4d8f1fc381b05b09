import { TenancyError } from '../../core/errors/errors.js'
import type { FleetSeedOptions, FleetSeedReport, FleetSeedResult, SeedProfile } from '../../core/fleet/fleet-seed.js'
import type { FleetDatabases } from '../../core/fleet/ports.js'
import { chooseTenants } from '../run/choose-tenants.js'
import { errorOf, runOverTenants, type TenantRunParts } from '../run/run-over-tenants.js'
import { readSeeds, type SeedSources } from './read-seeds.js'
import { runSeeds } from './run-seeds.js'

/** What {@link seedFleet} needs. */
export interface SeedParts extends TenantRunParts {
  readonly databases: Pick<FleetDatabases, 'schema' | 'withOwner'>
  readonly seeds: SeedSources & { readonly profile: SeedProfile }
}

type Outcome = Pick<FleetSeedResult, 'outcome' | 'seeds' | 'error'>

/** Runs the seeds in the databases of the tenants that the options say; see `Fleet.seed`. */
export async function seedFleet(parts: SeedParts, options: FleetSeedOptions): Promise<FleetSeedReport> {
  const { catalog, databases } = parts
  const { profile = parts.seeds.profile, statementTimeoutMs, actor = null } = options
  const seeds = await readSeeds(parts.seeds, profile)
  const { version } = await databases.schema()
  const chosen = await chooseTenants(catalog, options)
  const { counts, ...end } = await runOverTenants<Outcome>(parts, {
    ...{ options, chosen, connections: 2, withNewcomers: true },
    zero: { seeded: 0, failed: 0, skipped: 0 },
    unused: { outcome: 'skipped', seeds: [] },
    async work(tenant) {
      const { id, slug, database } = tenant
      if ((database.schemaVersion ?? -1) < version) {
        throw new TenancyError(
          'TENANCY_DATABASE_SCHEMA_BEHIND',
          `Tenant "${slug}" has not every schema file of this process: migrate it first`,
        )
      }
      const run = { tenant: { id, slug }, statementTimeoutMs }
      return {
        outcome: 'seeded',
        seeds: await databases.withOwner(tenant, (client) => runSeeds(client, seeds, run)),
      }
    },
    fail: (_tenant, error) => ({
      ...{ outcome: 'failed', seeds: [], error: errorOf(error) },
    }),
    record: ({ counts: all, remaining, stopped }) =>
      catalog.recordRun(actor, 'fleet.seed', {
        ...{ profile, seeds: seeds.map(({ name }) => name), ...all, remaining, stopped },
      }),
  })
  return { ...counts, ...end }
}
