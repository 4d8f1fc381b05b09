import type { Tenant, TenantDatabase, TenantDatabaseState } from '../model.js'

/** What the ledger of a database says of its schema. */
export interface AppliedFiles {
  /** Number of the last file; -1: none. */
  readonly version: number
  /** 16 hex digits that change with any name and checksum. */
  readonly fingerprint: string
}

/** Where new tenants get their databases from, and where those of tenants that are gone end. */
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

/** What a builder announces before it touches the server. */
export interface DatabaseBuild {
  readonly id: string
  readonly serverId: string
  readonly name: string
  readonly roleName: string
  readonly templateVersion: string
  /** Names this build, and no other piece of work. */
  readonly lease: string
  readonly leaseMs: number
  readonly reservedFor: string | undefined
  /** Build only while the stock holds fewer than this; undefined: in any case. */
  readonly stockTarget: number | undefined
}

/** A database that nobody may use: one under construction, half dropped, or past its retention. */
export interface UnfinishedDatabase {
  readonly id: string
  /** The lease of whoever works on it has run out, or it was due for as long as a lease lasts and nobody has taken one. */
  readonly isOverdue: boolean
}

/** What the catalog says of one database, to be compared with the server. */
export interface RecordedDatabase {
  readonly id: string
  readonly name: string
  /** `dropping` also for a retired one that is due. */
  readonly state: TenantDatabaseState
}

/** A database with what the catalog knows of its schema. */
export interface VersionedDatabase extends TenantDatabase {
  /** Number of the last schema file that was applied; -1: none; null: not read yet. It may be behind, never ahead. */
  readonly schemaVersion: number | null
}

/** Whose a database is. */
export interface DatabaseTenant {
  readonly databaseId: string
  readonly id: string
  readonly slug: string
}

/** A database whose row is gone, and who went with it. */
export interface RemovedDatabase {
  /** The deleted tenant that it belonged to; null: none. */
  readonly tenantId: string | null
}

/**
 * The catalog's record of tenant databases, as their builder needs it. Implemented on the catalog. Whoever changes a row
 * here holds the database's lock on its server (`database-lock.ts`), except for `markReady`, which the lease guards.
 */
export interface TenantDatabaseRecords {
  /** Id of this installation: tells its databases from those of another one on the same server. */
  installationId(): Promise<string>
  /** The id of the server of that name; the row is made on first sight. */
  serverId(name: string): Promise<string>
  find(id: string): Promise<VersionedDatabase | undefined>
  /** A database that can be connected to, one in stock if there is one. */
  findAny(): Promise<TenantDatabase | undefined>
  /** Commits a row in state `building`; false when the stock needs none. */
  beginBuild(build: DatabaseBuild): Promise<boolean>
  /** From `building` to `ready`; undefined when the build was lost. A reserved one stays reserved for `reservedMs`. */
  markReady(id: string, lease: string, reservedMs: number, schema: AppliedFiles): Promise<TenantDatabase | undefined>
  /** How many databases in use say that they have the files up to that version, and other texts in them. */
  countDiverged(serverId: string, latest: AppliedFiles): Promise<number>
  /** Writes down what a database's ledger says; called under the lock of whoever migrates it. */
  recordSchema(id: string, schema: AppliedFiles): Promise<void>
  /** The server's databases in state `building` or `dropping`, and retired ones that are due, the oldest first. */
  unfinished(serverId: string, leaseMs: number): Promise<UnfinishedDatabase[]>
  /** To `dropping`, for good, from whatever `unfinished` lists; undefined: it is none of those (any more). */
  beginDrop(id: string, lease: string, leaseMs: number): Promise<TenantDatabase | undefined>
  /**
   * Removes the row and the deleted tenant that it belonged to, after the drop was verified; undefined when the lease
   * was lost.
   */
  finishDrop(id: string, lease: string): Promise<RemovedDatabase | undefined>
  /** Lengthens the lease of a build or drop under way. */
  renewLease(id: string, lease: string, leaseMs: number): Promise<void>
  /** Retires ready databases of other versions that nobody took for that long; they are due at once. */
  retireOutdated(serverId: string, templateVersion: string, olderThanMs: number): Promise<void>
  /** Retires a ready database that cannot be used; it is due at once. */
  retireUnusable(id: string): Promise<void>
  /** Tenants that databases belong to; databases that belong to nobody are left out. */
  tenantsOf(databaseIds: readonly string[]): Promise<DatabaseTenant[]>
  /** Every database of the server. */
  list(serverId: string): Promise<RecordedDatabase[]>
  /** Whether this process reconciles the server for the next `leaseMs`: one does at a time, and keeps it by asking again. */
  lead(serverId: string, leader: string, leaseMs: number): Promise<boolean>
}
