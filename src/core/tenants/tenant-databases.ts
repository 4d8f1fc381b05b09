import type { Tenant, TenantDatabase, TenantDatabaseState } from '../model.js'

/** The schema of a database, as its ledger has it. */
export interface AppliedFiles {
  /** Number of the last file; -1: none. */
  readonly version: number
  /** 16 hex digits that change with any name and checksum. */
  readonly fingerprint: string
}

/** Supplies new tenants with databases, and drops those of deleted ones. */
export interface DatabaseSupply {
  /** Hash of the schema that a database must have been built from to be assigned now. */
  templateVersion(): Promise<string>
  /** Number of the last schema file that this process knows; -1: none. A database below it is behind. */
  schemaVersion(): Promise<number>
  /**
   * Applies the files that the database of a deleted tenant missed, so that the tenant can come back.
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_DATABASE_UNAVAILABLE
   */
  bringUpToDate(tenant: Pick<Tenant, 'slug' | 'databaseId'>): Promise<void>
  /**
   * Builds one database, ready to be assigned. With `reservedFor` (a UUID of the caller's) nobody else takes it for a
   * minute; after that it belongs to the stock.
   * @throws TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_INVALID
   */
  createTenantDatabase(options?: { readonly reservedFor?: string }): Promise<TenantDatabase>
  /** Says that a ready database was taken: the stock is filled again in the background. */
  refill(): void
  /**
   * Drops a database that is due, with its role, its data, and the deleted tenant that it belonged to. Resolves when
   * that is verified, also if somebody else does it meanwhile.
   * @throws TENANCY_TENANT_STATE_CONFLICT when it is not due; nothing is dropped then
   * @throws TENANCY_DATABASE_UNAVAILABLE when it could not be done now: the reconciler goes on with it
   */
  dropTenantDatabase(id: string): Promise<void>
}

/** A build, as its builder announces it before it touches the server. */
export interface DatabaseBuild {
  readonly id: string
  readonly serverId: string
  readonly name: string
  readonly roleName: string
  readonly templateVersion: string
  /** A name of this build and of no other. */
  readonly lease: string
  readonly leaseMs: number
  readonly reservedFor: string | undefined
  /** Build only while the stock holds fewer than this; undefined: in any case. */
  readonly stockTarget: number | undefined
}

/** A database that nobody may use: one under construction, half dropped, or past its retention. */
export interface UnfinishedDatabase {
  readonly id: string
  /** Whether the lease of its worker has run out, or it has been due for as long as a lease lasts without a worker. */
  readonly isOverdue: boolean
}

/** A database as the catalog has it, to be compared with the server. */
export interface RecordedDatabase {
  readonly id: string
  readonly name: string
  /** `dropping` also for a retired one that is due. */
  readonly state: TenantDatabaseState
}

/** A database with the version of its schema that the catalog knows. */
export interface VersionedDatabase extends TenantDatabase {
  /** Number of the last schema file that was applied; -1: none; null: not read yet. It may be behind, never ahead. */
  readonly schemaVersion: number | null
  /** As `AppliedFiles.fingerprint`. Known of databases that were listed. */
  readonly schemaFingerprint?: string | null
}

/** Why a database could not be migrated. */
export interface MigrationFailure {
  /** Number of the last file that the migration was to apply. */
  readonly wantedVersion: number
  /** Code of the error, as the table of errors has it. */
  readonly code: string
  readonly message: string
  /** Name of the file that failed; undefined: none was reached. */
  readonly file: string | undefined
}

/** The tenant of a database. */
export interface DatabaseTenant {
  readonly databaseId: string
  readonly id: string
  readonly slug: string
}

/** The result of removing a database's row. */
export interface RemovedDatabase {
  /** The deleted tenant that it belonged to; null: none. */
  readonly tenantId: string | null
}

/**
 * The catalog's records of tenant databases, as their builder needs them. Callers that change a row hold the database's lock
 * on its server (`database-lock.ts`), except for `markReady`, which the lease guards.
 */
export interface TenantDatabaseRecords {
  /** Reads the id of this installation, which tells its databases from those of another one on the same server. */
  installationId(): Promise<string>
  /** Reads the id of the server of that name; its row is made on first sight. */
  serverId(name: string): Promise<string>
  find(id: string): Promise<VersionedDatabase | undefined>
  /** Finds a database that can be connected to, one in stock if there is one. */
  findAny(): Promise<TenantDatabase | undefined>
  /**
   * Commits a row in state `building`; false when the stock needs none. The row may reach the disk later, but before
   * anything that the same server commits after it.
   */
  beginBuild(build: DatabaseBuild): Promise<boolean>
  /** Moves a build from `building` to `ready`; undefined when the build was lost. A reservation lasts for `reservedMs`. */
  markReady(id: string, lease: string, reservedMs: number, schema: AppliedFiles): Promise<TenantDatabase | undefined>
  /** Counts databases in use that have the files up to that version, but with other texts. */
  countDiverged(serverId: string, latest: AppliedFiles): Promise<number>
  /**
   * Records the state of a database's ledger; called under the lock of its migration. A failure of a migration to that
   * version is forgotten.
   */
  recordSchema(id: string, schema: AppliedFiles): Promise<void>
  /** Tells all processes that a migration of a database begins. */
  announceMigration(id: string): Promise<void>
  /** Finds databases, and does that for those of them that are in use and have an older schema, in one transaction. */
  announceMigrations(ids: readonly string[], version: number): Promise<VersionedDatabase[]>
  /** Records that a migration of a database failed, and how often in a row. */
  recordFailure(id: string, failure: MigrationFailure): Promise<void>
  /** Forgets the failure of a database's last migration if it has this code. */
  forgetFailure(id: string, code: string): Promise<void>
  /** Lists the server's databases in state `building` or `dropping`, and retired ones that are due, oldest first. */
  unfinished(serverId: string, leaseMs: number): Promise<UnfinishedDatabase[]>
  /** Moves a database that `unfinished` lists to `dropping`, for good; undefined: it is not in that list (any more). */
  beginDrop(id: string, lease: string, leaseMs: number): Promise<TenantDatabase | undefined>
  /**
   * Removes the row and the deleted tenant that it belonged to, after the drop was verified; undefined when the lease
   * was lost.
   */
  finishDrop(id: string, lease: string): Promise<RemovedDatabase | undefined>
  /** Extends the lease of a build or drop under way. */
  renewLease(id: string, lease: string, leaseMs: number): Promise<void>
  /** Retires ready databases of other versions that nobody took for that long; they are due at once. */
  retireOutdated(serverId: string, templateVersion: string, olderThanMs: number): Promise<void>
  /** Retires a ready database that cannot be used; it is due at once. */
  retireUnusable(id: string): Promise<void>
  /** Lists the tenants of databases; databases without a tenant are left out. */
  tenantsOf(databaseIds: readonly string[]): Promise<DatabaseTenant[]>
  /** Lists every database of the server. */
  list(serverId: string): Promise<RecordedDatabase[]>
  /**
   * Lets one process at a time reconcile the server for the next `leaseMs`; it stays the one by asking again. False: another
   * process is.
   */
  lead(serverId: string, leader: string, leaseMs: number): Promise<boolean>
}
