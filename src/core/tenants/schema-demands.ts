import type { Tenant } from '../model.js'

/** A tenant with the version of its database's schema. */
export interface TenantSchemaVersion {
  readonly tenant: Pick<Tenant, 'slug' | 'databaseId'>
  /** Number of its last migration, as the catalog knows it; -1: none; null: not read yet. */
  readonly schemaVersion: number | null
}

/** What requests demand of a tenant's schema. Makes no query for a tenant that the caller's own record shows to be in range. */
export interface SchemaDemands {
  /** Number of a migration, by its id; undefined: the schema of this process has none of that id. */
  versionOf(migration: string): number | undefined
  /**
   * Lets a tenant pass whose schema is in the range of this process, or is brought there within a second. Returns undefined
   * when that is known at once.
   * @throws TENANCY_DATABASE_SCHEMA_BEHIND, TENANCY_DATABASE_SCHEMA_AHEAD, TENANCY_CATALOG_UNAVAILABLE
   */
  admit(tenant: TenantSchemaVersion): Promise<void> | undefined
  /**
   * Lets a tenant pass that has a migration. For one that has not, its database is looked after in the background, as
   * `TENANT_SCHEMA_BEHIND` says.
   * @throws TENANCY_DATABASE_SCHEMA_BEHIND
   */
  require(version: number, tenant: TenantSchemaVersion): void
}
