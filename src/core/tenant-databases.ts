import type { TenantDatabase } from './model.js'

/** Where new tenants get their databases from. */
export interface DatabaseSupply {
  /** Hash of the schema that a database must have been built from to be assigned now. */
  templateVersion(): Promise<string>
  /**
   * Builds one database, ready to be assigned. With `reservedFor` (a UUID of the caller's) nobody else takes it for a
   * minute; after that it belongs to the stock.
   * @throws TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_INVALID
   */
  createTenantDatabase(options?: { readonly reservedFor?: string }): Promise<TenantDatabase>
  /** Says that a ready database was taken: the stock is filled again in the background. */
  refill(): void
}

/** What a builder announces before it touches the server. */
export interface DatabaseBuild {
  readonly id: string
  readonly serverId: string
  readonly name: string
  readonly roleName: string
  readonly templateVersion: string
  /** Who builds; the row is nobody else's until the lease ends. */
  readonly leaseOwner: string
  readonly leaseMs: number
  readonly reservedFor: string | undefined
  /** Build only while the stock holds fewer than this; undefined: in any case. */
  readonly stockTarget: number | undefined
}

/** The catalog's record of tenant databases, as their builder needs it. Implemented on the catalog. */
export interface TenantDatabaseRecords {
  /** Id of this installation: tells its templates from those of another one on the same server. */
  installationId(): Promise<string>
  /** The id of the server of that name; the row is made on first sight. */
  serverId(name: string): Promise<string>
  find(id: string): Promise<TenantDatabase | undefined>
  /** A database that can be connected to, one in stock if there is one. */
  findAny(): Promise<TenantDatabase | undefined>
  /** Commits a row in state `building`; false when the stock needs none. */
  beginBuild(build: DatabaseBuild): Promise<boolean>
  /** From `building` to `ready`; undefined when the lease was lost. A reserved one stays reserved for `reservedMs`. */
  markReady(id: string, leaseOwner: string, reservedMs: number): Promise<TenantDatabase | undefined>
  /** Takes the lease of a database that is to be dropped: a retired one, or one whose lease is over or `leaseOwner`'s. */
  claimForDrop(id: string, leaseOwner: string, leaseMs: number): Promise<TenantDatabase | undefined>
  /** Ids of the server's databases that nobody goes on to build or to drop: the lease is over. */
  abandoned(serverId: string): Promise<string[]>
  /** Retires ready databases of other versions that nobody took for that long; they are {@link abandoned} then. */
  retireOutdated(serverId: string, templateVersion: string, olderThanMs: number): Promise<void>
  /** Lengthens the lease of a build under way. */
  renewLease(id: string, leaseOwner: string, leaseMs: number): Promise<void>
  /** Ends a lease now, so that the next reconciliation finds the row. */
  endLease(id: string, leaseOwner: string): Promise<void>
  /** Removes the row, after the drop was verified. */
  remove(id: string, leaseOwner: string): Promise<void>
}
