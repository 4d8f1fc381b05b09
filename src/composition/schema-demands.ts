import { TenancyError } from '../core/errors/errors.js'
import type { SchemaDemands } from '../core/tenants/schema-demands.js'
import type { TenantDatabaseRecords } from '../core/tenants/tenant-databases.js'
import type { SchemaRange } from '../databases/migrating/schema-range.js'
import type { TenantDatabases } from '../databases/tenant-databases.js'

/** What {@link createSchemaDemands} needs. */
export interface SchemaDemandsOptions {
  readonly records: Pick<TenantDatabaseRecords, 'find'>
  readonly databases: Pick<TenantDatabases, 'demandSchema'>
  readonly versionOf: (migration: string) => number | undefined
  readonly range: SchemaRange
}

/** Databases that are looked after at a time because a guard refused their tenant. */
const maxLookedAfter = 100

/** Creates the demands that this process makes of tenants' schemas. */
export function createSchemaDemands({ records, databases, versionOf, range }: SchemaDemandsOptions): SchemaDemands {
  const lookedAfter = new Set<string>()
  const isInRange = (version: number | null) =>
    (range.minimum === undefined || (version !== null && version >= range.minimum)) &&
    (range.maximum === undefined || version === null || version <= range.maximum)

  /** The catalog may know more by now than the caller's record. */
  const demand = async (databaseId: string, slug: string, atLeast?: number) => {
    const database = await records.find(databaseId)
    if (database?.state === 'assigned') await databases.demandSchema(database, slug, atLeast)
  }

  return {
    versionOf,

    admit({ tenant: { slug, databaseId }, schemaVersion }) {
      // Without a database there is nothing to be too old: connecting to it is refused.
      if (databaseId === null || isInRange(schemaVersion)) return undefined
      return demand(databaseId, slug, range.minimum)
    },

    require(version, { tenant: { slug, databaseId }, schemaVersion }) {
      if (schemaVersion !== null && schemaVersion >= version) return
      if (databaseId !== null && !lookedAfter.has(databaseId) && lookedAfter.size < maxLookedAfter) {
        lookedAfter.add(databaseId)
        demand(databaseId, slug, version)
          // The request was refused already, and migrations log their own failures.
          .catch(() => {})
          .finally(() => lookedAfter.delete(databaseId))
      }
      throw new TenancyError(
        'TENANCY_DATABASE_SCHEMA_BEHIND',
        `The database of tenant "${slug}" has schema ${schemaVersion ?? 'unknown'}, this route demands ${version}`,
      )
    },
  }
}
