import type { TenancyError } from '../errors/errors.js'
import type { SqlClient } from '../sql-client.js'
import type { VersionedDatabase } from '../tenants/tenant-databases.js'
import type { FleetRunOptions, FleetTenantResult } from './run.js'

/** Options of `tenancy.fleet.check()`. */
export interface FleetCheckOptions extends FleetRunOptions<FleetCheckResult> {
  /** Compares databases of another schema version, too. Default: false. */
  readonly anyVersion?: boolean | undefined
}

/**
 * What a check found of one database. `behind`: the catalog knows an older schema version of it, or none; `ahead`: a newer
 * release has migrated it.
 */
export type FleetCheckOutcome = 'same' | 'different' | 'behind' | 'ahead' | 'failed'

/** The result of one database. */
export interface FleetCheckResult extends FleetTenantResult {
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
