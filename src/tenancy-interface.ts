import type { ActorOption } from './core/audit-actor.js'
import type { DatabaseAdoption } from './core/backup/adopt.js'
import type { Backups } from './core/backup/backup.js'
import type { CatalogReader } from './catalog/reading/catalog-reader.js'
import type { TenantExports } from './core/backup/exports.js'
import type { ActivityOptions, BackendActivity } from './composition/observing/activity.js'
import type { TenancyHealth } from './composition/observing/health.js'
import type { Management } from './composition/management.js'
import type { TenancyStats } from './composition/observing/stats.js'
import type { Member, RegisteredPermission } from './core/access/access.js'
import type { AccountsHost } from './core/accounts/accounts.js'
import type { Actor } from './core/context/current.js'
import type { Config } from './core/config/config.js'
import type { Fleet } from './core/fleet/fleet.js'
import type { Tenant, TenantDatabase } from './core/model.js'
import type { PlatformTokens } from './core/identity/platform.js'
import type { IssuedToken } from './core/identity/signing-keys.js'
import type { TenantPool } from './core/tenants/tenant-pool.js'
import type { Reconciliation } from './databases/lifecycle/reconcile.js'
import type { HttpTenancy } from './http/http-tenancy.js'

/** An access token to issue. */
export interface IssueAccessTokenInput extends ActorOption {
  /** Id of the user whom the token is for. */
  readonly user: string
  /** Id or slug of the tenant that the token is bound to. Default: none. */
  readonly tenant?: string | undefined
}

/** How signing keys are rotated. */
export interface RotateSigningKeysInput extends ActorOption {
  /** For a leaked key: the successor signs at once, and all earlier tokens end. Default: false. */
  readonly withdraw?: boolean | undefined
}

/** What work runs with. */
export interface RunWithTenantInput {
  /** Id or slug. */
  readonly tenant: string
}

/**
 * An open installation: what `createTenancy()` gives.
 *
 * A function that needs a tenant or a user alone takes it alone; every other takes one object. `tenant` is an id or a slug,
 * `user` and `actor` are ids; `getTenantPool`, which is synchronous, takes a {@link Tenant}. Input of another shape, such
 * as an unknown key, is refused with TENANCY_REQUEST_INVALID; the message names every problem.
 */
export interface Tenancy extends Management, HttpTenancy, Backups, TenantExports, DatabaseAdoption {
  readonly config: Config
  /** Reads the catalog with queries of the application's own, over the tables of `tenants2fast/tables`. */
  readonly catalog: CatalogReader
  /** The PostgreSQL server, described for people, without account or password. */
  readonly serverDescription: string
  /**
   * Signs an access token of our own for a user (RFC 9068), valid for `TENANT_TOKEN_TTL` seconds. Whether the user is
   * disabled is checked when the token is used. Leaves an entry in the installation's audit log, without the token.
   * @throws TENANCY_USER_NOT_FOUND, TENANCY_TENANT_NOT_FOUND (neither an id nor a slug), TENANCY_REQUEST_INVALID,
   *   TENANCY_CATALOG_UNAVAILABLE
   */
  issueAccessToken(input: IssueAccessTokenInput): Promise<IssuedToken>
  /**
   * Makes a new signing key, published before it signs. `withdraw`: for a leaked key, ends all tokens at once.
   * @throws TENANCY_REQUEST_INVALID
   */
  rotateSigningKeys(input?: RotateSigningKeysInput): Promise<void>
  /**
   * Builds one tenant database into the stock of ready ones.
   * @throws TENANCY_DATABASE_BUILD_FAILED
   */
  createTenantDatabase(): Promise<TenantDatabase>
  /** Builds databases until `TENANT_READY_DATABASES` are in stock. The background does it as well. */
  fillStock(): Promise<void>
  /**
   * Applies the schema files that a tenant's database lacks, restores its privileges, and tells the catalog; returns the
   * files' names. `tenant` is an id or slug; `listTenants({ behind: true })` names the tenants that need it.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_REQUEST_INVALID, TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_DATABASE_UNAVAILABLE, TENANCY_TENANT_STATE_CONFLICT
   */
  initializeTenantSchema(tenant: string): Promise<string[]>
  /** Work on all tenant databases. */
  readonly fleet: Fleet
  /**
   * Finishes what a dead process left, drops what is due, and compares the server with the catalog. One process at a time
   * does it at the start and every few seconds as well.
   */
  reconcile(): Promise<Reconciliation>
  /**
   * Returns the pool of a tenant's database. It looks like `pg.Pool` and reaches no other database.
   * @throws TENANCY_TENANT_STATE_CONFLICT when the tenant has no database, TENANCY_TENANT_NOT_FOUND when none is given
   */
  getTenantPool(tenant: Pick<Tenant, 'slug' | 'databaseId'>): TenantPool
  /**
   * Runs work that no request asked for (a job, a script) with a tenant as the current one.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_SUSPENDED, TENANCY_TENANT_DELETED, TENANCY_REQUEST_INVALID
   */
  runWithTenant<Result>(input: RunWithTenantInput, callback: () => Result | Promise<Result>): Promise<Result>
  /**
   * Says whether a member, or the actor of a request, holds a permission: `tenancy.can(getCurrentActor(), 'reports:read')`;
   * false for undefined. Makes no query: what they may do was read for their request.
   */
  can(member: Member | Actor | undefined, permission: RegisteredPermission): boolean
  /**
   * Says whether the route rules let a member send `method` (upper case) to a concrete path, `/reports/42`: as sent, without
   * query. Nobody may send to a path with percent-encoding, an empty or dot segment, or a trailing slash.
   */
  can(member: Member | Actor | undefined, method: string, path: string): boolean
  /** Lists the names of the permissions that a member holds, sorted, for a user interface that shows what is possible. */
  permissionsOf(member: Member | Actor | undefined): string[]
  /** Returns what accounts (`tenants2fast/accounts`) need of this installation. */
  accountsHost(): AccountsHost
  /** Returns what the management API needs to serve platform administrators. */
  platformTokens(): PlatformTokens
  /** Counts this process's connections to tenant databases, in all and for the 20 tenants that use or wait for most, and its Redis. */
  stats(): TenancyStats
  /**
   * Says whether this process works (`live`), whether it can serve requests (`ready`), and how its parts are, for the probes
   * of an orchestrator. Never rejects, answers within 2 s, and remembers its answer for 1 s.
   *
   * @example
   * app.get('/readyz', { config: { tenancy: 'none' } }, async (_request, reply) => {
   *   const health = await tenancy.health()
   *   return reply.code(health.ready ? 200 : 503).send(health)
   * })
   */
  health(): Promise<TenancyHealth>
  /**
   * Lists the server processes that work for tenants of this installation: for which tenant, doing what, since when, and,
   * for connections of this process, for which user. Those that have worked longest come first. Makes one query to the
   * server and one to the catalog.
   * @throws TENANCY_CATALOG_UNAVAILABLE, TENANCY_REQUEST_INVALID
   */
  activity(options?: ActivityOptions): Promise<readonly BackendActivity[]>
  /** Ends the subscriptions to events, all connections and, if this process started it, the embedded server. */
  close(): Promise<void>
}
