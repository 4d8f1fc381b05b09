import type { VersionedDatabase } from '../tenants/tenant-databases.js'
import type { SqlClient } from '../sql-client.js'
import type { FleetStatement } from './fleet-exec.js'
import type { FleetResult, FleetStatus } from './fleet.js'
import type { FleetTenantName } from './run.js'

/** The tenants that a run is about. */
export interface FleetSelection {
  /** Undefined: all that are not deleted. */
  readonly ids?: readonly string[] | undefined
  /** Only tenants that have this label. Undefined: any. */
  readonly label?: string | undefined
  /** Also deleted tenants, as long as they have their database. Default: only databases in use. */
  readonly withDeleted?: boolean | undefined
}

/** A tenant with its database. */
export interface FleetTenant extends FleetTenantName {
  readonly database: VersionedDatabase
  /** Whether it is new since `since`; see `FleetPageQuery.newBy`. */
  readonly isNew: boolean
  /** Whether the last migration of it failed. */
  readonly hasFailed: boolean
  /** Whether the catalog was asked a moment ago, and its migration announced if it is behind. Default: false. */
  readonly isAnnounced?: boolean
}

/** A tenant that a caller has named. */
export interface NamedTenant extends FleetTenantName {
  readonly databaseId: string | null
  readonly labels: readonly string[]
  /** Whether it has a database that serves, or will serve when the tenant is reactivated. */
  readonly isInUse: boolean
}

/** Part of a fleet, in the order of tenants' ids. */
export interface FleetPageQuery {
  /** Id of the last tenant of the page before; undefined: from the start. */
  readonly after: string | undefined
  readonly limit: number
  /** Only tenants whose version is older; undefined: all. */
  readonly behind: number | undefined
  /** A moment of the catalog, as `overview` gave it. */
  readonly since: string
  /** Only new tenants, as `newBy` says. */
  readonly newOnly: boolean
  /**
   * What makes a tenant new: `change`, its database was assigned, or changed in any other way, after `since`; `arrival`, the tenant
   * or its database was made after `since`, for runs whose own work changes the row of a database. Default: `change`.
   */
  readonly newBy?: 'change' | 'arrival' | undefined
}

/** What the catalog knows of a fleet: the one source of tenants for every run. */
export interface FleetCatalog {
  /** Finds tenants by id or slug, in any status. */
  findNamed(tenants: readonly string[]): Promise<NamedTenant[]>
  /** Counts the tenants of a selection, and those older than `version`, in one query. `since`: a minute ago, longer than a transaction lasts. */
  overview(
    selection: FleetSelection,
    version: number,
  ): Promise<{ readonly total: number; readonly behind: number; readonly since: string }>
  page(selection: FleetSelection, query: FleetPageQuery): Promise<FleetTenant[]>
  versions(): Promise<FleetStatus['versions']>
  /** Counts the tenants whose last migration failed, and names the first `limit`, latest failure first. */
  failures(limit: number): Promise<Pick<FleetStatus, 'failed' | 'tenantsFailed'>>
  /** Finds the last audit entry of an action, such as `fleet.rehearse`: when it was, and what {@link recordRun} was given. */
  lastRun(action: string): Promise<{ readonly at: Date; readonly after: unknown } | undefined>
  /** Writes the audit entry of a run, such as `fleet.migrate`. */
  recordRun(actor: string | null, action: string, after: object): Promise<void>
}

/** Connections of the provisioning account for work on the fleet. */
export interface FleetConnections {
  /**
   * Reserves connections on top of those that every process has to build and migrate, until the returned function is called.
   * What runs of this process have reserved adds up.
   * @throws TENANCY_CONNECTION_BUDGET_TOO_LARGE
   */
  reserve(connections: number): Promise<() => void>
  /** Runs work in one of the two slots (of two connections each) that migrations on demand use, which go first. */
  inSlot<Result>(work: () => Promise<Result>): Promise<Result>
}

/** How one tenant is migrated. */
export interface FleetMigration {
  readonly verify: boolean
  readonly lockTimeoutMs: number | undefined
  readonly statementTimeoutMs: number | undefined
}

/** A script for one tenant. */
export interface FleetScript {
  /** Its statements, in order. */
  readonly statements: readonly string[]
  /** Values of the only statement. */
  readonly params: readonly unknown[]
  readonly write: boolean
  readonly statementTimeoutMs: number
  /** Most rows of each statement. */
  readonly maxRows: number
}

/** The databases of a fleet. */
export interface FleetDatabases {
  /** Names of the schema's files that a database of this version lacks, and the number of the last file. */
  schema(): Promise<{
    readonly version: number
    readonly namesAfter: (version: number | null) => readonly string[]
  }>
  /** The number of the last file, without trying any: -1, there is none. */
  newestVersion(): Promise<number>
  /** Announces the migrations of tenants that are begun next, and brings along what the catalog knows of them now. */
  announce(tenants: readonly FleetTenant[]): Promise<FleetTenant[]>
  /**
   * Names the files that a database lacks, and changes nothing.
   *
   * @param isInside Whether its ledger is read. Otherwise the answer is what the catalog knows of it
   * @throws TENANCY_DATABASE_SCHEMA_INVALID: it does not fit these files, and a migration would fail; TENANCY_DATABASE_UNAVAILABLE
   */
  pendingOf(tenant: FleetTenant, isInside: boolean): Promise<readonly string[]>
  /** Migrates a database if the catalog knows that it is in use and behind; or looks into it in any case. */
  migrate(
    tenant: FleetTenant,
    how: FleetMigration,
  ): Promise<{ readonly outcome: Exclude<FleetResult['outcome'], 'failed'>; readonly applied: readonly string[] }>
  /** Runs `work` on a connection to the tenant's database as the owner of the application's objects; it starts with the search path `pg_catalog`. */
  withOwner<Result>(tenant: FleetTenant, work: (client: SqlClient) => Promise<Result>): Promise<Result>
  /** Runs a script as that owner, in one transaction. */
  runScript(tenant: FleetTenant, script: FleetScript): Promise<FleetStatement[]>
  /**
   * Names the last migrations of this process, the newest first, and the number of the one before them.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_DATABASE_SCHEMA_IRREVERSIBLE, TENANCY_CONFIG_INVALID
   */
  planRevert(last: number): Promise<{ readonly to: number; readonly names: readonly string[] }>
  /** Reverts what a database has after `to`; returns names. Undefined: it is not in use. */
  revert(
    tenant: FleetTenant,
    how: Omit<FleetMigration, 'verify'> & { readonly to: number },
  ): Promise<readonly string[] | undefined>
  /**
   * Finds the migration whose text is to be accepted.
   * @throws TENANCY_REQUEST_INVALID: this process has none of that id
   */
  planAccept(id: string): Promise<{ readonly version: number; readonly name: string; readonly checksum: string }>
  /** Gives the row of a migration in a database's ledger the checksum that it has now; `skipped`: there is no such row. */
  acceptChecksum(tenant: FleetTenant, version: number): Promise<'accepted' | 'current' | 'skipped'>
  /** Renews what this process's connections to the database know of its schema. */
  renew(databaseId: string): void
}
