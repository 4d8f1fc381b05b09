import type { ActorOption } from '../audit-actor.js'
import type { TenancyErrorCode } from '../errors/errors.js'
import type { MigrationTenant } from '../tenants/migration.js'
import type { VersionedDatabase } from '../tenants/tenant-databases.js'
import type { LockMode } from './lock-modes.js'
import type { FleetProgress, FleetTenantName } from './run.js'

/** Options of {@link Fleet.rehearse}. All have defaults. */
export interface FleetRehearseOptions extends ActorOption {
  /** So many of the largest tenants, and as many of the most different ones; 1 to 20. Default: 3. */
  readonly tenants?: number | undefined
  /**
   * Of a larger database the copy has the structure and a sample of rows that takes about so many bytes, at least 1,000,000.
   * Default: 1 GiB.
   */
  readonly sampleAboveBytes?: number | undefined
  /** Tenants at a time of the run that is estimated, 1 to 64. Default: 2, as `migrate`. */
  readonly parallelism?: number | undefined
  /** Aborting ends the rehearsal; the copy under way is dropped. Default: none. */
  readonly signal?: AbortSignal | undefined
  /** Receives each tenant's result as soon as it is there. An error ends the rehearsal, which then throws it. */
  readonly onResult?: ((result: RehearsedTenant) => unknown) | undefined
  /** Is called after each tenant. An error ends the rehearsal, which then throws it. */
  readonly onProgress?: ((progress: FleetProgress) => void) | undefined
}

/** An error of a rehearsal. */
export interface RehearsalError {
  readonly code: TenancyErrorCode
  readonly message: string
}

/** What a file did to relations that were there before it. */
export interface FileEffects {
  /** The strongest lock on each relation when the file was done. Empty for a file without a transaction: none are left then. */
  readonly locks: readonly { readonly relation: string; readonly mode: LockMode }[]
  /** Tables and materialized views with rows that were written anew, or emptied by TRUNCATE. */
  readonly rewritten: readonly string[]
  /** Rows that were updated or deleted. Empty for a file without a transaction. */
  readonly written: readonly { readonly relation: string; readonly rows: number }[]
}

/** One file on one copy. */
export interface RehearsedFile extends FileEffects {
  readonly name: string
  readonly durationMs: number
  /** Why it failed; it was rolled back, and no later file was tried. */
  readonly error?: RehearsalError
}

/** A rehearsal on a copy of one database. */
export interface RehearsedDatabase {
  /** Whether the copy has a sample of the rows. */
  readonly isSample: boolean
  /** Size of the copy before its first file. */
  readonly copyBytes: number
  /** Making and filling the copy. */
  readonly copyMs: number
  readonly files: readonly RehearsedFile[]
  /** All pending files, with a connection of their own, as a migration takes it. */
  readonly migrationMs: number
}

/** The rehearsal for one tenant. */
export interface RehearsedTenant {
  readonly tenant: FleetTenantName
  readonly databaseId: string
  /** Why it was chosen. */
  readonly chosenBy: 'size' | 'difference'
  /** Size of the tenant's database. */
  readonly bytes: number
  /** Undefined: no copy could be made; see `error`. */
  readonly rehearsal?: RehearsedDatabase
  /** Why no copy could be made. TENANCY_DATABASE_COPY_REFUSED: its structure differs from what its schema files say. */
  readonly error?: RehearsalError
}

/** A reason not to migrate. */
export interface RehearsalProblem {
  /** Slug of the tenant. */
  readonly tenant: string
  /** Undefined: no file, the copy. */
  readonly file: string | undefined
  readonly message: string
}

/** What a run over the fleet is expected to take. */
export interface FleetEstimate {
  /** Tenants that are behind. */
  readonly tenants: number
  readonly ms: number
}

/** What a rehearsal found. */
export interface RehearsalReport {
  /** Number of the newest schema file of this process; -1: there is none. */
  readonly version: number
  readonly tenants: readonly RehearsedTenant[]
  /** Files that failed, wrote a table anew, held a strong lock for long or wrote many rows at once. Empty: nothing speaks against it. */
  readonly problems: readonly RehearsalProblem[]
  /** What `migrate` would take. Waits for locks are not in it. Undefined: no copy took every file. */
  readonly estimate: FleetEstimate | undefined
  /** Why it ended before the last tenant; undefined: it did not. */
  readonly stopped: 'signal' | undefined
  readonly durationMs: number
}

/** What the audit log knows of a rehearsal. */
export interface RecordedRehearsal {
  readonly at: Date
  /** Number of the newest schema file of the process that rehearsed. */
  readonly version: number
  /** Tenants whose copies were tried. */
  readonly tenants: number
  /** How many {@link RehearsalReport.problems}. */
  readonly problems: number
  readonly estimate: FleetEstimate | undefined
}

/** How one database is rehearsed. */
export interface DatabaseRehearsal {
  /** The tenant that functions among the migrations are told. */
  readonly tenant: MigrationTenant
  /** Size of the database. */
  readonly bytes: number
  readonly sampleAboveBytes: number
  readonly signal: AbortSignal | undefined
}

/** Copies of tenants' databases. */
export interface RehearsalDatabases {
  /** Sizes in bytes, by name. A database that is gone is not in it. */
  sizes(names: readonly string[]): Promise<ReadonlyMap<string, number>>
  /** Estimated rows of each table, by name: what PostgreSQL's statistics say. Takes one connection. */
  rowCounts(database: VersionedDatabase, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, number>>
  /**
   * Applies the pending files to a copy of the database, which is dropped afterwards, by the reconciler if this process dies.
   * Takes three connections. A file that fails is in the result.
   * @throws TENANCY_DATABASE_COPY_REFUSED, TENANCY_DATABASE_COPY_FAILED, TENANCY_DATABASE_SCHEMA_INVALID (the ledger does not
   *   fit the files), TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_UNAVAILABLE, and the reason of `signal`
   */
  rehearse(database: VersionedDatabase, how: DatabaseRehearsal): Promise<RehearsedDatabase>
}
