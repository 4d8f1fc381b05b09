import type { FleetMigrateOptions, FleetReport, FleetResult } from '../core/fleet/fleet.js'
import type { FleetDatabases, FleetTenant } from '../core/fleet/ports.js'
import { chooseTenants } from './run/choose-tenants.js'
import { errorOf, runOverTenants, type TenantRun, type TenantRunParts } from './run/run-over-tenants.js'

/** What {@link migrateFleet} needs. */
export interface FleetParts extends TenantRunParts {
  readonly databases: FleetDatabases
}

type Outcome = Pick<FleetResult, 'outcome' | 'applied' | 'pending' | 'error'>

/** Migrates the tenants that the options say; see `Fleet.migrate`. */
export async function migrateFleet(parts: FleetParts, options: FleetMigrateOptions): Promise<FleetReport> {
  const { databases, catalog } = parts
  const { verify = false, dryRun = false, actor = null } = options
  const expected = options.estimate && { estimate: options.estimate }
  const { version, namesAfter } = await databases.schema()
  const chosen = await chooseTenants(catalog, options)
  const run: TenantRun<Outcome> = {
    ...{ options, chosen, withNewcomers: true, connections: 2 },
    behind: verify ? undefined : { version, current: 'current' },
    newcomersBehind: version,
    zero: { migrated: 0, current: 0, failed: 0, skipped: 0 },
    unused: { outcome: 'skipped', applied: [] },
    // An announcement is for a migration that follows at once.
    prepare: verify || options.beforeTenant ? undefined : (tenants) => databases.announce(tenants),
    async before({ id, slug, database }) {
      const pending = namesAfter(database.schemaVersion)
      if (pending.length > 0) await options.beforeTenant?.({ id, slug }, pending)
    },
    // A failed attempt was recorded: the next one has it forgotten.
    work: (tenant, attempt) =>
      migrateOne(databases, { ...tenant, hasFailed: tenant.hasFailed || attempt > 1 }, options),
    fail({ database }, error) {
      // Files before the one that failed were applied.
      databases.renew(database.id)
      return { outcome: 'failed', applied: [], error: errorOf(error) }
    },
    record: ({ counts, remaining, stopped, durationMs }) => {
      const took = { ...expected, durationMs: Math.round(durationMs) }
      return catalog.recordRun(actor, 'fleet.migrate', { version, ...counts, remaining, stopped, ...took })
    },
  }
  const dry: Partial<TenantRun<Outcome>> = {
    ...{ options: { ...options, canary: undefined }, withNewcomers: false, connections: verify ? 1 : 0 },
    prepare: undefined,
    before: undefined,
    async work(tenant) {
      const pending = await databases.pendingOf(tenant, verify)
      if (verify && pending.length === 0) return { outcome: 'current', applied: [] }
      return { outcome: 'skipped', applied: [], pending }
    },
    fail: (_tenant, error) => ({ outcome: 'failed', applied: [], error: errorOf(error) }),
  }
  const { record: _record, ...unrecorded } = run
  const { counts, ...end } = await runOverTenants(parts, dryRun ? { ...unrecorded, ...dry } : run)
  return { version, ...counts, ...end, ...expected }
}

async function migrateOne(
  databases: FleetDatabases,
  tenant: FleetTenant,
  { verify = false, lockTimeoutMs, statementTimeoutMs }: FleetMigrateOptions,
): Promise<Outcome> {
  const { outcome, applied } = await databases.migrate(tenant, { verify, lockTimeoutMs, statementTimeoutMs })
  if (outcome === 'migrated') databases.renew(tenant.database.id)
  return { outcome, applied }
}
