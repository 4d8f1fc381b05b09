import type { FleetResult, FleetStatus, FleetTenantName } from './fleet.js'

/** The tenants that a run is about. */
export interface FleetSelection {
  /** Undefined: all that are not deleted. */
  readonly ids?: readonly string[] | undefined
}

/** A tenant with a database in use. */
export interface FleetTenant extends FleetTenantName {
  readonly databaseId: string
  /** As the catalog knows it; see `VersionedDatabase`. */
  readonly schemaVersion: number | null
  /** Whether it got its database after `since`. */
  readonly isNew: boolean
}

/** A tenant that a caller has named. */
export interface NamedTenant extends FleetTenantName {
  readonly databaseId: string | null
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
  /** Only tenants that got their database after `since`. */
  readonly newOnly: boolean
}

/** What the catalog knows of a fleet. */
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
  /** Writes the audit entry of a run. */
  recordRun(actor: string | null, counts: object): Promise<void>
}

/** How one tenant is migrated. */
export interface FleetMigration {
  readonly verify: boolean
  readonly lockTimeoutMs: number | undefined
  /** Whether it comes on top of the migrations that the process has connections for. */
  readonly isExtra: boolean
}

/** The databases of a fleet. */
export interface FleetDatabases {
  /** Names of the schema's files that a database of this version lacks, and the number of the last file. */
  schema(): Promise<{
    readonly version: number
    readonly namesAfter: (version: number | null) => readonly string[]
  }>
  /** Migrates a database if the catalog knows that it is in use and behind; or looks into it in any case. */
  migrate(
    tenant: FleetTenant,
    how: FleetMigration,
  ): Promise<{ readonly outcome: Exclude<FleetResult['outcome'], 'failed'>; readonly applied: readonly string[] }>
  /** @throws TENANCY_CONNECTION_BUDGET_TOO_LARGE */
  checkBudget(parallelism: number): Promise<void>
  /** Renews what this process's connections to the database know of its schema. */
  renew(databaseId: string): void
}
