import type { ActorOption } from '../audit-actor.js'
import type { FleetRunOptions, FleetStopReason, FleetTenantName, FleetTenantResult, FleetWaveOptions } from './run.js'
import type { FleetCheckOptions, FleetCheckReport } from './fleet-check.js'

/** What a run did for one tenant. */
export interface FleetResult extends FleetTenantResult {
  /**
   * `migrated`: files were applied. `current`: none was missing, or another process has applied them. `failed`: see `error`;
   * files before the one that failed are applied and stay. `skipped`: a dry run, or the tenant has no database in use: it is
   * deleted, and is brought up to date when it comes back.
   */
  readonly outcome: 'migrated' | 'current' | 'failed' | 'skipped'
  /** Names of the files that were applied now, in order. */
  readonly applied: readonly string[]
  /** Of a dry run: names of the files that would be applied, as far as the catalog knows. */
  readonly pending?: readonly string[]
  /** Of `failed`: a `TenancyError` with its code. */
  readonly error?: Error
}

/** Options of {@link Fleet.migrate}. All have defaults. */
export interface FleetMigrateOptions extends FleetRunOptions<FleetResult>, FleetWaveOptions, ActorOption {
  /** Say what would be applied to whom, by what the catalog knows, and change nothing. Default: false. */
  readonly dryRun?: boolean | undefined
  /** Look into the ledger of every database, also where the catalog says that no file is missing. Default: false. */
  readonly verify?: boolean | undefined
  /** Longest wait of a file's statement for a lock, milliseconds, 1 to 600,000. Default: `TENANT_SCHEMA_LOCK_TIMEOUT_MS`. */
  readonly lockTimeoutMs?: number | undefined
  /** Longest time of a statement of a file, milliseconds, 1 to 86,400,000; the file is rolled back and fails then. Default: no limit. */
  readonly statementTimeoutMs?: number | undefined
}

/** What a run did. */
export interface FleetReport {
  /** Number of the newest schema file of this process; -1: there is none. */
  readonly version: number
  readonly migrated: number
  /** Tenants that had every file, most of them by what the catalog knows. */
  readonly current: number
  readonly failed: number
  readonly skipped: number
  /** Tenants that the run was about and did not begin, because it was stopped. */
  readonly remaining: number
  /** Why it was stopped; undefined: it was not. */
  readonly stopped: FleetStopReason | undefined
  /** The first 20 results that failed; `onResult` gets all. */
  readonly failures: readonly FleetResult[]
  readonly durationMs: number
}

/** Options of {@link Fleet.status}. */
export interface FleetStatusOptions {
  /** How many of the tenants that are behind, and of those that failed, to name, 0 to 1000. Default: 20. */
  readonly limit?: number | undefined
}

/** Where the tenants are, as the catalog knows it. Deleted tenants are not counted. */
export interface FleetStatus {
  /** Number of the newest schema file of this process; -1: there is none. */
  readonly version: number
  /** How many tenants have which version, oldest first. Null: not read yet; -1: no file was applied. */
  readonly versions: readonly { readonly version: number | null; readonly tenants: number }[]
  /** Tenants with an older version than this process knows. */
  readonly behind: number
  /** The first of those, in the order of creation. */
  readonly tenantsBehind: readonly (FleetTenantName & { readonly version: number | null })[]
  /** Tenants whose last migration failed, by a run or by a request. */
  readonly failed: number
  /** The first of those, latest failure first. */
  readonly tenantsFailed: readonly FleetFailure[]
}

/** A tenant whose last migration failed. It is forgotten once one succeeds. */
export interface FleetFailure extends FleetTenantName {
  readonly version: number | null
  /** Code of the error, such as `TENANCY_DATABASE_SCHEMA_FAILED`. */
  readonly code: string
  /** Text of the error: file, line, and what PostgreSQL said. At most 2000 characters. */
  readonly message: string
  /** The file that failed; null: none was reached. */
  readonly file: string | null
  readonly failedAt: Date
  /** Failures in a row. */
  readonly attempts: number
}

/** Work on the databases of all tenants. */
export interface Fleet {
  /**
   * Applies the schema files that tenants' databases lack: of active and suspended tenants, also those that are created while
   * it runs. One query of the catalog finds who is behind; a fleet that is up to date costs nothing more. Each database is
   * migrated under its lock, each file in one transaction. Runs may overlap, and one that was killed is finished by the next.
   * A tenant that fails is a result and no error of the run; aborting lets the tenants under way finish. A run that began a tenant leaves one entry `fleet.migrate` in the
   * installation's audit log.
   *
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND (of `tenants`), TENANCY_CONNECTION_BUDGET_TOO_LARGE, all before
   *   anything runs; TENANCY_CATALOG_UNAVAILABLE
   * @example
   * const report = await tenancy.fleet.migrate({ canary: '1%', stopAfter: 5, onResult: (result) => console.log(result) })
   * if (report.failed > 0 || report.remaining > 0) process.exitCode = 1
   */
  migrate(options?: FleetMigrateOptions): Promise<FleetReport>
  /**
   * Counts tenants by the version of their schema, from the catalog alone.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_CATALOG_UNAVAILABLE
   */
  status(options?: FleetStatusOptions): Promise<FleetStatus>
  /**
   * Compares the structure of tenant databases with the template, from which a new tenant would be cloned now: tables,
   * columns, types, defaults, constraints, indexes, functions, triggers, views, policies, grants, extensions, owners,
   * settings. Changes nothing. A database that has not changed takes one connection and one query.
   *
   * Databases of another schema version are not compared unless `anyVersion` says so. One that cannot be read is a result
   * (`failed`), not an error.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (a named tenant has no
   *   database), TENANCY_DATABASE_BUILD_FAILED (no template), TENANCY_CATALOG_UNAVAILABLE, the reason of `signal`, and
   *   what `onResult` throws
   * @example
   * const report = await tenancy.fleet.check({
   *   onResult({ tenant, differences }) {
   *     if (differences.length > 0) console.log(tenant.slug, renderDifferences(differences))
   *   },
   * })
   * if (report.different + report.failed > 0) process.exitCode = 1
   */
  check(options?: FleetCheckOptions): Promise<FleetCheckReport>
}
