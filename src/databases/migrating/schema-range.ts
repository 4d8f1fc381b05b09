import { TenancyError } from '../../core/errors/errors.js'
import { type Migration, migrationVersion } from '../../core/tenants/migration.js'

/** The versions of tenants that a process serves. Undefined: no limit. */
export interface SchemaRange {
  readonly minimum: number | undefined
  readonly maximum: number | undefined
}

/**
 * Finds the numbers of the migrations that bound the range.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: an unknown id, or a minimum above the maximum
 */
export function readSchemaRange(
  migrations: readonly Pick<Migration, 'version' | 'name'>[],
  options: { readonly minimumSchema?: string | undefined; readonly maximumSchema?: string | undefined },
): SchemaRange & { readonly versionOf: (migration: string) => number | undefined } {
  const versionOf = (migration: string) => migrationVersion(migrations, migration)
  const numberOf = (option: 'minimumSchema' | 'maximumSchema') => {
    const id = options[option]
    if (id === undefined) return undefined
    const version = versionOf(id)
    if (version !== undefined) return version
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      `${option}: the schema of this process has no migration ${JSON.stringify(id.slice(0, 200))}`,
    )
  }
  const range = { minimum: numberOf('minimumSchema'), maximum: numberOf('maximumSchema') }
  if (range.minimum !== undefined && range.maximum !== undefined && range.minimum > range.maximum) {
    throw new TenancyError('TENANCY_CONFIG_INVALID', 'minimumSchema comes after maximumSchema')
  }
  return { ...range, versionOf }
}
