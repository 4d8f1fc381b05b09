import type { FleetRevertOptions, FleetRevertReport, FleetRevertResult } from '../core/fleet/fleet-revert.js'
import type { FleetDatabases, FleetTenant } from '../core/fleet/ports.js'
import type { FleetParts } from './migrate-fleet.js'
import { chooseTenants } from './run/choose-tenants.js'
import { errorOf, runOverTenants, type TenantRun } from './run/run-over-tenants.js'

type Outcome = Pick<FleetRevertResult, 'outcome' | 'reverted' | 'error'>

/** Reverts the newest migrations of the tenants that the options say; see `Fleet.revert`. */
export async function revertFleet(parts: FleetParts, options: FleetRevertOptions): Promise<FleetRevertReport> {
  const { databases, catalog } = parts
  const { to, names } = await databases.planRevert(options.last)
  const run: TenantRun<Outcome> = {
    // What the run changes looks new to the catalog, and tenants that are created meanwhile are built new: run it again.
    ...{ options, chosen: await chooseTenants(catalog, options), withNewcomers: false, connections: 2 },
    zero: { reverted: 0, current: 0, failed: 0, skipped: 0 },
    unused: { outcome: 'skipped', reverted: [] },
    work: (tenant) => revertOne(databases, tenant, to, options),
    fail({ database }, error) {
      // Those before the one that failed were reverted.
      databases.renew(database.id)
      return { outcome: 'failed', reverted: [], error: errorOf(error) }
    },
    record: ({ counts, remaining, stopped }) =>
      catalog.recordRun(options.actor ?? null, 'fleet.revert', { version: to, ...counts, remaining, stopped }),
  }
  const { counts, ...end } = await runOverTenants(parts, run)
  return { version: to, migrations: names, ...counts, ...end }
}

async function revertOne(
  databases: FleetDatabases,
  tenant: FleetTenant,
  to: number,
  { lockTimeoutMs, statementTimeoutMs }: FleetRevertOptions,
): Promise<Outcome> {
  const reverted = await databases.revert(tenant, { to, lockTimeoutMs, statementTimeoutMs })
  if (reverted === undefined) return { outcome: 'skipped', reverted: [] }
  if (reverted.length > 0) databases.renew(tenant.database.id)
  return { outcome: reverted.length > 0 ? 'reverted' : 'current', reverted }
}
