import type { ServerAccount, ServerAddress, TenantDatabaseTarget } from '../core/tenants/database-target.js'
import type { AdoptDatabaseInput, AdoptedDatabase } from '../core/backup/adopt.js'
import type { Tenant, TenantDatabase } from '../core/model.js'
import type { DatabaseSupply, VersionedDatabase } from '../core/tenants/tenant-databases.js'
import type { FleetMigrations } from './migrating/fleet-migrations.js'
import type { FleetDatabases } from '../core/fleet/ports.js'
import type { DatabaseInspection } from '../core/fleet/fleet-check.js'
import type { RehearsalDatabases } from '../core/fleet/rehearsal.js'
import type { ServerSettings } from './building/server-preparation.js'
import type { TenantMigrations } from './migrating/migrations-interface.js'
import type { SchemaRange } from './migrating/schema-range.js'
import type { createBackupDatabases } from './copying/backup-databases.js'
import type { CopyDatabaseOptions, CopyReport } from './copying/copy-database.js'
import type { NewDatabase } from './copying/new-database.js'
import type { Reconciliation } from './lifecycle/reconcile.js'
import type { RoleChange } from './server/restore-role.js'

/** What the tenant databases of one server need. */
export interface TenantDatabasesOptions extends ServerSettings {
  /** Start of every name made on the server: 1 to 25 characters of a-z, 0-9 and _, a letter first. */
  readonly prefix: string
  /** Whether a database without the newest schema file is migrated when it is used, refused, or served. Default: `migrate`. */
  readonly schemaBehind?: 'migrate' | 'refuse' | 'serve'
  /** Ids of the oldest and the newest migration that the process serves. Default: any. */
  readonly minimumSchema?: string | undefined
  readonly maximumSchema?: string | undefined
  /** Ready databases to keep in stock. Default: 3. */
  readonly readyTarget?: number
  /** Default: 2. */
  readonly maxConcurrentBuilds?: number
  /** Where tenants' connections go: a pooler. Default: to the server. */
  readonly tenantAddress?: ServerAddress | undefined
  /** Time between two reconciliations in the background. Default: 5000. */
  readonly reconcileIntervalMs?: number
  /** Longest wait for another process that migrates the same database. Default: 60000. */
  readonly migrationLockMs?: number
}

/** Builds, migrates, repairs and drops the tenant databases of one server, and knows how to connect to them. */
export interface TenantDatabases extends DatabaseSupply, DatabaseInspection {
  /** Account and identity for connections to a tenant's database, as its own role. */
  targetOf(database: TenantDatabase): TenantDatabaseTarget
  /** The account of the target, unless the database or its role has been renamed. */
  expectedAccount(databaseId: string): ServerAccount
  /**
   * Resolves when the database may serve: its schema is not older than this process demands.
   * @param atLeast demands this version, too
   * @throws TENANCY_DATABASE_SCHEMA_BEHIND, TENANCY_DATABASE_SCHEMA_AHEAD
   */
  demandSchema(database: VersionedDatabase, slug: string, atLeast?: number): Promise<void>
  /**
   * The numbers of migrations by id, and the versions that this process serves.
   * @throws TENANCY_CONFIG_INVALID: `minimumSchema` or `maximumSchema` is unknown
   */
  schemaRange(): Promise<SchemaRange & { readonly versionOf: (migration: string) => number | undefined }>
  /**
   * Restores the privileges of a tenant's database and applies the schema files that it lacks, each in one transaction;
   * returns their names.
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_TENANT_STATE_CONFLICT, TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE
   */
  initializeTenantSchema(tenant: Pick<Tenant, 'slug' | 'databaseId'>): Promise<string[]>
  /** For runs over all tenants. Errors name the tenant, with the codes of `initializeTenantSchema`. */
  readonly fleet: FleetMigrations
  /** As `FleetDatabases.planAccept` and `acceptChecksum`. */
  readonly acceptance: Pick<FleetDatabases, 'planAccept' | 'acceptChecksum'>
  /**
   * Runs `work` with an empty database whose schema has the files up to `version`. It is dropped afterwards, by the reconciler if
   * this process dies, unless `work` has assigned it. Takes three connections of the provisioning account.
   * @throws TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_SCHEMA_FAILED, and what `work` throws
   */
  withNewDatabase<Result>(version: number, work: (database: NewDatabase) => Promise<Result>): Promise<Result>
  /**
   * Fills the database of `withNewDatabase` with the data of another one, from one moment of it.
   * @throws TENANCY_DATABASE_COPY_REFUSED, TENANCY_DATABASE_COPY_FAILED, TENANCY_DATABASE_UNAVAILABLE
   */
  copyInto(
    target: Pick<NewDatabase, 'withOwner'>,
    source: Pick<TenantDatabase, 'name'>,
    options?: Pick<CopyDatabaseOptions, 'onTable' | 'onSnapshot' | 'signal'>,
  ): Promise<CopyReport>
  /** Copies of tenants' databases, on which pending files are tried. */
  readonly rehearsals: RehearsalDatabases
  /** Prepares a database that exists for a tenant. @throws TENANCY_DATABASE_ADOPT_REFUSED */
  prepareAdoption(input: Pick<AdoptDatabaseInput, 'database' | 'schema' | 'installation'>): Promise<AdoptedDatabase>
  /** The databases as backups use them; structures are described by the reader. */
  readonly forBackups: ReturnType<typeof createBackupDatabases>
  /** As {@link TenantMigrations.withOwner}: for work on a tenant's database as the owner of the application's objects. */
  withOwner: TenantMigrations['withOwner']
  /**
   * The account of a database's owner login. It may not exist yet: `withOwner` makes it.
   * @throws TENANCY_TENANT_STATE_CONFLICT: there is no such database
   */
  ownerAccountOf(databaseId: string): Promise<ServerAccount>
  /** Undoes what a tenant's login role did to itself: password, settings, privileges. Returns what that was. */
  restoreRole(databaseId: string): Promise<readonly (RoleChange | 'privileges')[]>
  /** Builds until the stock is full; rejects with the first error. */
  fillStock(): Promise<void>
  /** Resolves when the server answers a query of the provisioning account. */
  ping(): Promise<void>
  /** Finishes the work of dead processes, drops what is due, and compares the server with the catalog. */
  reconcile(): Promise<Reconciliation>
  /** Reconciles now and at intervals, until `close`. */
  keepReconciled(): void
  /** Waits for work under way, 10 s at most, and closes every connection. */
  close(): Promise<void>
}
