import { TenancyError } from '../../core/errors/errors.js'
import type { FleetCatalog, FleetSelection, NamedTenant } from '../../core/fleet/ports.js'
import type { FleetSelectionOptions } from '../../core/fleet/run.js'

/** The tenants that a caller has chosen. */
export interface ChosenTenants {
  readonly selection: FleetSelection
  /** Those that were named and have the label; undefined: none were named. */
  readonly named: readonly NamedTenant[] | undefined
}

/**
 * Finds the tenants that the options choose, before anything runs, so that a mistyped name changes nothing.
 *
 * @param withDeleted Also named tenants that are deleted, as long as they have their database
 * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND
 */
export async function chooseTenants(
  catalog: FleetCatalog,
  { tenants, label }: FleetSelectionOptions,
  withDeleted = false,
): Promise<ChosenTenants> {
  if (tenants === undefined) return { selection: { label }, named: undefined }
  const found = await catalog.findNamed(tenants)
  const known = new Set(found.flatMap(({ id, slug }) => [id, slug]))
  const unknown = tenants.filter((name) => !known.has(name))
  if (unknown.length > 0) throw notFound(unknown)
  const named = label === undefined ? found : found.filter(({ labels }) => labels.includes(label))
  const chosen = withDeleted ? named : named.filter(({ isInUse }) => isInUse)
  return { selection: { ids: chosen.map(({ id }) => id), withDeleted }, named }
}

function notFound(unknown: readonly string[]): TenancyError {
  const shown = unknown.slice(0, 10).map((name) => JSON.stringify(name.slice(0, 60)))
  return new TenancyError(
    'TENANCY_TENANT_NOT_FOUND',
    `No tenant ${shown.join(', ')}${unknown.length > shown.length ? ` and ${unknown.length - shown.length} more` : ''}: ` +
      'check the ids or slugs; nothing was begun',
  )
}
