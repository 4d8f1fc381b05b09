import type { FleetEstimate, FleetRehearseOptions, RecordedRehearsal, RehearsalReport } from './rehearsal.js'
import type { ActorOption } from '../audit-actor.js'
import type { FleetRunOptions, FleetStopReason, FleetTenantName, FleetTenantResult, FleetWaveOptions } from './run.js'
import type { FleetExecOptions, FleetExecReport } from './fleet-exec.js'
import type { FleetSeedOptions, FleetSeedReport } from './fleet-seed.js'
import type { FleetCheckOptions, FleetCheckReport } from './fleet-check.js'
import type { FleetAcceptOptions, FleetAcceptReport } from './fleet-accept.js'
import type { FleetRevertOptions, FleetRevertReport } from './fleet-revert.js'

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
  /** What `rehearse` expects of this run: the report and the audit log show it beside what it took. Default: none. */
  readonly estimate?: FleetEstimate | undefined
  /**
   * Is called before files are applied to a tenant, with the names of those that it lacks as far as the catalog knows: to back it
   * up, or to tell somebody. It may be called again after an error that can pass. An error is that tenant's failure, and nothing
   * is applied to it. Default: nothing.
   */
  readonly beforeTenant?: ((tenant: FleetTenantName, pending: readonly string[]) => Promise<unknown>) | undefined
  /**
   * Say what would be applied to whom, and change nothing. It goes by what the catalog knows of tenants that are behind; with `verify`,
   * by the ledger of every tenant. One that a migration would refuse, because an applied file was edited, removed or
   * renumbered, is `failed`. Default: false.
   */
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
  /** As given. */
  readonly estimate?: FleetEstimate
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
   * Reverts the newest migrations of this process in every tenant that has them, the last one first, each in one transaction
   * with its row in the ledger. New tenants are still built with them: deploy the release without them before, and see
   * docs/migrations.md. A run that began a tenant leaves one entry `fleet.revert` in the installation's audit log.
   *
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND (of `tenants`), TENANCY_DATABASE_SCHEMA_IRREVERSIBLE (nothing
   *   undoes one of them), TENANCY_CONFIG_INVALID (`TENANT_SCHEMA_BEHIND` is `migrate`: the next request would apply them
   *   again), TENANCY_CONNECTION_BUDGET_TOO_LARGE, all before anything runs; TENANCY_CATALOG_UNAVAILABLE
   * @example
   * const report = await tenancy.fleet.revert({ last: 1, canary: 1 })
   * if (report.failed > 0 || report.remaining > 0) process.exitCode = 1
   */
  revert(options: FleetRevertOptions): Promise<FleetRevertReport>
  /**
   * Accepts that the text of an applied migration has changed, where what it did has not: a comment, or a guard for a new server.
   * Gives its row in the ledger of every tenant that has it the checksum that the file has now, also of suspended and deleted
   * tenants that have their database, and its row in the list of drizzle-kit or Prisma. Nothing is run, and nothing else of the
   * ledger is changed. The template of the new text is built first: a file that does not run there stops it. Ready databases are
   * those of the new template from then on.
   *
   * Processes with the earlier text refuse to migrate a tenant afterwards. Leaves one entry `fleet.accept` in the installation's audit log.
   * @throws TENANCY_REQUEST_INVALID (also of a migration that none of the tenants has), TENANCY_TENANT_NOT_FOUND (of `tenants`),
   *   TENANCY_DATABASE_SCHEMA_FAILED (in the template), TENANCY_CONNECTION_BUDGET_TOO_LARGE, all before anything runs;
   *   TENANCY_CATALOG_UNAVAILABLE
   * @example
   * const report = await tenancy.fleet.acceptChecksum({ migration: '0001_orders.sql' })
   * if (report.failed > 0 || report.remaining > 0) process.exitCode = 1
   */
  acceptChecksum(options: FleetAcceptOptions): Promise<FleetAcceptReport>
  /**
   * Counts tenants by the version of their schema, from the catalog alone.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_CATALOG_UNAVAILABLE
   */
  status(options?: FleetStatusOptions): Promise<FleetStatus>
  /**
   * Tries the pending schema files on throw-away copies: of the largest tenants that are behind, and of those that differ most from
   * them in schema version and rows. Each copy is filled from one snapshot, while its tenant goes on working; of a large database
   * it has the structure and a sample. Reports for each file how long it took, which locks it held, what it wrote anew and how it
   * failed, and estimates what `migrate` takes for all.
   *
   * Nothing of a tenant is changed. A copy takes disk for as long as it is there. It is made one at a time, with three
   * connections on top of those that a process has to build and migrate. What a killed process leaves, the reconciler drops.
   * Leaves one entry `fleet.rehearse` in the installation's audit log.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_CONNECTION_BUDGET_TOO_LARGE, TENANCY_CATALOG_UNAVAILABLE, and what a function of
   *   the caller's throws
   * @example
   * const { problems, estimate } = await tenancy.fleet.rehearse({ tenants: 3 })
   * for (const { tenant, file, message } of problems) console.log(tenant, file, message)
   * if (problems.length === 0) console.log(`${estimate?.tenants} tenants, about ${estimate?.ms} ms`)
   */
  rehearse(options?: FleetRehearseOptions): Promise<RehearsalReport>
  /**
   * Reads what the last rehearsal said, of whichever process; undefined: there was none. For the `estimate` of `migrate`.
   * @throws TENANCY_CATALOG_UNAVAILABLE
   */
  lastRehearsal(): Promise<RecordedRehearsal | undefined>
  /**
   * Compares the structure of tenant databases with the template, from which a new tenant would be cloned now: tables,
   * columns, types, defaults, constraints, indexes, functions, triggers, views, policies, grants, extensions, owners,
   * settings. Changes nothing. A database that has not changed takes one connection and one query.
   *
   * Databases of another schema version are not compared unless `anyVersion` says so. One that cannot be read is a result
   * (`failed`), not an error.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (a named tenant has no
   *   database), TENANCY_DATABASE_BUILD_FAILED (no template), TENANCY_DATABASE_UNAVAILABLE (the template cannot be read), TENANCY_CATALOG_UNAVAILABLE, the reason of `signal`, and
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
  /**
   * Runs the seeds of a profile in tenants' databases: the files `*.sql` of the folder of seeds, those in its folder `dev` or
   * `prod`, and the functions of `createTenancy({ seeds })`. Each runs in one transaction as the owner of the application's
   * objects, and again with each call: write them so that a second time changes nothing (`on conflict do nothing`). Tenants
   * that lack schema files fail. A run that began a tenant leaves one entry `fleet.seed` in the audit log.
   *
   * @throws TENANCY_REQUEST_INVALID, TENANCY_CONFIG_INVALID (no seed, or a folder that cannot be read),
   *   TENANCY_TENANT_NOT_FOUND (of `tenants`), TENANCY_CONNECTION_BUDGET_TOO_LARGE, all before anything runs;
   *   TENANCY_CATALOG_UNAVAILABLE
   * @example
   * const report = await tenancy.fleet.seed({ profile: 'dev' })
   */
  seed(options?: FleetSeedOptions): Promise<FleetSeedReport>
  /**
   * Runs a statement or a script in tenants' databases, as the owner of the application's objects, one transaction for each
   * tenant. Read only unless `write` says so: the server refuses the rest. The text is in the audit log (`fleet.exec`) before the first
   * tenant, its values are not.
   *
   * @throws TENANCY_REQUEST_INVALID (also of `begin`, `commit` and the like), TENANCY_TENANT_NOT_FOUND (of `tenants`),
   *   TENANCY_CONNECTION_BUDGET_TOO_LARGE, all before anything runs; TENANCY_CATALOG_UNAVAILABLE
   * @example
   * await tenancy.fleet.exec({
   *   sql: 'select count(*) from orders where created_at > $1',
   *   params: ['2026-01-01'],
   *   onRow: ({ tenant, row }) => console.log(tenant.slug, row.count),
   * })
   */
  exec(options: FleetExecOptions): Promise<FleetExecReport>
}
