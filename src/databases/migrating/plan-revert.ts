import { TenancyError } from '../../core/errors/errors.js'
import type { FleetDatabases } from '../../core/fleet/ports.js'
import type { Migration } from '../../core/tenants/migration.js'

/**
 * Finds the migrations that a revert is about, before any tenant is touched.
 *
 * @param whenBehind what this process does with a tenant that is behind when it is used
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID: there are not so many; TENANCY_DATABASE_SCHEMA_IRREVERSIBLE: nothing
 *   undoes one of them; TENANCY_CONFIG_INVALID: the next request would apply them again
 */
export function planRevert(
  files: readonly Migration[],
  last: number,
  whenBehind: string = 'migrate',
): Awaited<ReturnType<FleetDatabases['planRevert']>> {
  if (last > files.length) {
    throw new TenancyError('TENANCY_REQUEST_INVALID', `last: there are ${files.length} migrations, not ${last}`)
  }
  const reverted = files.slice(files.length - last).toReversed()
  const withoutDown = reverted.filter(({ down }) => down === undefined).map(({ name }) => name)
  if (withoutDown.length > 0) {
    throw new TenancyError(
      'TENANCY_DATABASE_SCHEMA_IRREVERSIBLE',
      `Nothing undoes ${withoutDown.join(', ')}: nothing was reverted`,
    )
  }
  if (whenBehind === 'migrate') {
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      'TENANT_SCHEMA_BEHIND is migrate: the next request of a tenant would apply what is reverted now. Set it to serve or refuse ' +
        'in every process that has these migrations, then revert',
    )
  }
  return { to: files.at(-last - 1)?.version ?? -1, names: reverted.map(({ name }) => name) }
}
