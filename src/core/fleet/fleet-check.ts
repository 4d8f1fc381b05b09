import type { TenancyError } from '../errors/errors.js'
import type { SqlClient } from '../sql-client.js'
import type { VersionedDatabase } from '../tenants/tenant-databases.js'

/** Options of `tenancy.fleet.check()`. */
export interface FleetCheckOptions {
  /** Ids or slugs. Default: all tenants but deleted ones. */
  readonly tenants?: readonly string[] | undefined
  /** Connections at a time, 1 to 11. Default: 4. */
  readonly parallelism?: number | undefined
  /** Compares databases of another schema version, too. Default: false. */
  readonly anyVersion?: boolean | undefined
  /** Ends the check: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Receives each result as soon as it is there. The check waits for a promise, and rejects if this fails. */
  readonly onResult?: ((result: FleetCheckResult) => unknown) | undefined
}

/**
 * What a check found of one database. `behind`: the catalog knows an older schema version of it, or none; `ahead`: a newer
 * release has migrated it.
 */
export type FleetCheckOutcome = 'same' | 'different' | 'behind' | 'ahead' | 'failed'

/** The result of one database. */
export interface FleetCheckResult {
  readonly tenant: { readonly id: string; readonly slug: string }
  readonly databaseId: string
  readonly outcome: FleetCheckOutcome
  /** Sorted by object; empty unless `outcome` is `different`. */
  readonly differences: readonly StructureDifference[]
  /** Why the database could not be read, when `outcome` is `failed`. */
  readonly error?: TenancyError
}

/** How many databases had which outcome. */
export type FleetCheckReport = { readonly [Outcome in FleetCheckOutcome]: number } & {
  /** All databases that were looked at. */
  readonly databases: number
}

/** One difference between a database and the template. */
export interface StructureDifference {
  /** The object that it belongs to, such as `table public.notes`; `database` for the database itself. */
  readonly object: string
  /** Kind of the fact: `table`, `column`, `constraint`, `index`, `trigger`, `policy`, `owner`, `grant`, `setting`, … */
  readonly kind: string
  /** Name of the fact within the object, such as that of the column, or of the role of a grant. May be empty. */
  readonly name: string
  /** `missing`: only the template has it; `unexpected`: only the database has it. */
  readonly change: 'missing' | 'unexpected' | 'different'
  /** How the template defines it. */
  readonly expected?: string
  /** How the database defines it. */
  readonly actual?: string
}

/** A tenant with its database. */
export interface FleetDatabase {
  readonly tenant: { readonly id: string; readonly slug: string }
  readonly database: VersionedDatabase
}

/** The catalog's tenant databases, in pages. */
export interface FleetDatabases {
  /**
   * Finds the ids of tenants by ids or slugs.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (without a database)
   */
  tenantIds(refs: readonly string[]): Promise<readonly string[]>
  /** Reads the next page, in the order of the tenants' ids; empty: there are no more. Default: all but deleted tenants. */
  page(after: string | undefined, tenantIds: readonly string[] | undefined): Promise<readonly FleetDatabase[]>
}

/** A database whose structure is read. */
export interface InspectedDatabase {
  /** A connection of the provisioning account inside of the database. */
  readonly client: SqlClient
  /** Name of the database; of the template when `client` is connected to a copy of it. */
  readonly name: string
  /** Roles that only this database has, each with a text that stands for it. */
  readonly roles: Readonly<Record<string, string>>
  /** Names of roles whose privileges do not count: not every database has such a role. */
  readonly ignoredRoles: readonly string[]
  /** Names of settings that databases have without being part of the schema, or that new ones do not get from it. */
  readonly ignoredSettings: readonly string[]
}

/** What an inspection connects with. */
export interface InspectionOptions {
  /** Settings that the connection starts with, `-c name=value`. */
  readonly settings: string
  /** Ends the connection. */
  readonly signal?: AbortSignal | undefined
}

/** Connections of the provisioning account to read a database's structure. */
export interface DatabaseInspection {
  /** Runs `work` inside of a tenant's database. */
  inspect<Result>(
    database: VersionedDatabase,
    options: InspectionOptions,
    work: (inspected: InspectedDatabase) => Promise<Result>,
  ): Promise<Result>
  /** Runs `work` inside of a copy of the template, which is dropped afterwards. `roles`: those that a build grants to. */
  inspectTemplate<Result>(
    options: InspectionOptions,
    work: (inspected: InspectedDatabase & { readonly schemaVersion: number }) => Promise<Result>,
  ): Promise<Result>
}
