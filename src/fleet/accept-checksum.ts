import { TenancyError } from '../core/errors/errors.js'
import type { FleetAcceptOptions, FleetAcceptReport, FleetAcceptResult } from '../core/fleet/fleet-accept.js'
import type { FleetDatabases } from '../core/fleet/ports.js'
import { chooseTenants } from './run/choose-tenants.js'
import { errorOf, runOverTenants, type TenantRunParts } from './run/run-over-tenants.js'

/** What {@link acceptChecksum} needs. */
export interface AcceptParts extends TenantRunParts {
  readonly databases: Pick<FleetDatabases, 'planAccept' | 'acceptChecksum'>
}

type Outcome = Pick<FleetAcceptResult, 'outcome' | 'error'>

/** Accepts the new checksum of a file in the tenants that the options say; see `Fleet.acceptChecksum`. */
export async function acceptChecksum(parts: AcceptParts, options: FleetAcceptOptions): Promise<FleetAcceptReport> {
  const { catalog, databases } = parts
  const { version, name: migration, checksum } = await databases.planAccept(options.migration)
  // Deleted tenants as well: they may come back.
  const { named, selection } = await chooseTenants(catalog, options, true)
  const chosen = { named, selection: { ...selection, withDeleted: true } }
  const { total, behind } = await catalog.overview(chosen.selection, version)
  if (behind === total) {
    throw new TenancyError('TENANCY_REQUEST_INVALID', `migration: ${migration} was applied to none of these tenants`)
  }
  const { counts, ...end } = await runOverTenants<Outcome>(parts, {
    ...{ options, chosen, connections: 2, withNewcomers: true, newBy: 'arrival' },
    zero: { accepted: 0, current: 0, skipped: 0, failed: 0 },
    work: async (tenant) => ({ outcome: await databases.acceptChecksum(tenant, version) }),
    fail: (_tenant, error) => ({ outcome: 'failed', error: errorOf(error) }),
    record: ({ counts: all, remaining, stopped }) =>
      catalog.recordRun(options.actor ?? null, 'fleet.accept', { migration, checksum, ...all, remaining, stopped }),
  })
  return { migration, checksum, ...counts, ...end }
}
