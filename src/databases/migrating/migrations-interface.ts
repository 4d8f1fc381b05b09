import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { Logger } from '../../core/logger.js'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import type { TenantDatabaseRecords, VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import type { TenantSchema } from '../building/tenant-schema.js'
import type { DatabaseNames } from '../database-names.js'
import type { OwnerConnections } from '../owner/owner-connections.js'
import type { AdminRights } from '../server/admin-rights.js'
import type { LockKeeper } from '../server/lock-keeper.js'

/** Longest waits of a migration. */
export interface MigrationLimits {
  /** Longest wait for the database's lock. */
  readonly lockWaitMs: number
  /** How often a file that waits for locks is tried. Default: as `SqlLedger` says. */
  readonly maxAttempts?: number
  /** Longest wait of a file's statement for a lock. Default: that of the options. */
  readonly lockTimeoutMs?: number
  /** Longest time of a file's statement. Default: no limit. */
  readonly statementTimeoutMs?: number | undefined
  /** Whether the processes that serve the tenant were told already. Default: they are told. */
  readonly isAnnounced?: boolean
}

/** Migrates single tenant databases, each under its lock. `slug` is for messages. */
export interface TenantMigrations {
  /**
   * Restores privileges, creates missing extensions, applies the files that the database lacks, and records its schema
   * version in the catalog, or why that failed; returns the files' names.
   *
   * @param limits Default: those of the options
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE; each names the tenant
   */
  migrate(database: VersionedDatabase, slug: string, limits?: MigrationLimits): Promise<string[]>
  /**
   * Looks into a database, without its lock: whether it has all that `migrate` would restore, all files, and the version that
   * `database` says. False: it has not, or cannot be reached.
   */
  isCurrent(database: VersionedDatabase): Promise<boolean>
  /**
   * Reads the ledger of a database, without its lock, and names the files that it lacks.
   * @throws TENANCY_DATABASE_SCHEMA_INVALID, TENANCY_DATABASE_UNAVAILABLE; each names the tenant
   */
  pending(database: VersionedDatabase, slug: string): Promise<readonly string[]>
  /**
   * Runs `work` on a connection of the database's owner login, with the group of owners as its role: what it makes belongs to
   * the application. The database is made ready for it first, under its lock; `work` runs under none. The connection has no
   * limits of time and the search path `pg_catalog`; `RESET search_path` gives it the database's own.
   *
   * @throws TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE; each names the
   *   tenant; and what `work` throws
   */
  withOwner<Result>(
    database: TenantDatabase,
    slug: string,
    work: (client: SqlClient) => Promise<Result>,
  ): Promise<Result>
  /**
   * Reverts the migrations after a version, the newest first, and records the schema version after each; returns their names.
   *
   * @param to number of the last migration that stays; -1: none
   * @throws TENANCY_DATABASE_SCHEMA_IRREVERSIBLE, and as `migrate`; each names the tenant
   */
  revert(database: TenantDatabase, slug: string, to: number, limits?: MigrationLimits): Promise<string[]>
  /**
   * Reads the schema version from the database's ledger, and records it in the catalog, which may not know it yet.
   * @throws TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE; each names the tenant
   */
  readVersion(database: TenantDatabase, slug: string, lockWaitMs: number): Promise<number>
}

/** What {@link createTenantMigrations} needs. */
export interface TenantMigrationsOptions {
  readonly records: Pick<
    TenantDatabaseRecords,
    'recordSchema' | 'recordFailure' | 'forgetFailure' | 'announceMigration'
  >
  /** The provisioning account. */
  readonly server: ServerAccount
  /** Connections of the provisioning account, to see who holds locks. */
  readonly admin: SqlPool
  readonly names: DatabaseNames
  /** Extensions that every tenant database has. */
  readonly extensions: readonly string[]
  /** Rights of the provisioning account. */
  readonly rights: () => Promise<AdminRights>
  readonly owners: OwnerConnections
  readonly locks: Pick<LockKeeper, 'withLock'>
  /** Key of the lock under which a database is changed. */
  readonly lockKeyOf: (databaseId: string) => Promise<string>
  /** Longest wait for that lock. */
  readonly lockWaitMs: number
  /** Whether functions that use up what the server shares are revoked from PUBLIC. */
  readonly isHardened: boolean
  readonly schema: () => Promise<TenantSchema>
  /** Longest wait of a schema file's statement for a lock. Default: 2000. */
  readonly lockTimeoutMs?: number | undefined
  readonly logger: Logger
}
