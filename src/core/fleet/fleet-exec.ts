import type { ActorOption } from '../audit-actor.js'
import type { FleetRunOptions, FleetStopReason, FleetTenantName, FleetTenantResult, FleetWaveOptions } from './run.js'

/** Options of `tenancy.fleet.exec()`. */
export interface FleetExecOptions extends FleetRunOptions<FleetExecResult>, FleetWaveOptions, ActorOption {
  /** A statement, or several with `;` between them, at most 1 MB. They run in one transaction for each tenant, which they cannot end. */
  readonly sql: string
  /** Values of `$1`, `$2`, … of a single statement. Default: none. */
  readonly params?: readonly unknown[] | undefined
  /** Whether it may write. Default: false, and the server refuses what writes. */
  readonly write?: boolean | undefined
  /** Longest time of a statement, milliseconds, 1 to 86,400,000. Default: 30,000. */
  readonly statementTimeoutMs?: number | undefined
  /** Most rows of a statement that are read, 1 to 100,000. Default: 1000. */
  readonly maxRows?: number | undefined
  /** Receives each row with its tenant, one call at a time. An error ends the run, which then throws it. */
  readonly onRow?: ((row: FleetRow) => unknown) | undefined
}

/** A row of a tenant. */
export interface FleetRow {
  readonly tenant: FleetTenantName
  readonly row: Readonly<Record<string, unknown>>
}

/** What one statement gave. */
export interface FleetStatement {
  /** Such as `SELECT` or `UPDATE`; empty when more rows were there than `maxRows`. */
  readonly command: string
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** Rows that it gave or changed; null: it has no such number, or it was cut off. */
  readonly rowCount: number | null
  /** Whether it had more rows than `maxRows`. */
  readonly isTruncated: boolean
}

/** What a run did for one tenant. */
export interface FleetExecResult extends FleetTenantResult {
  /** `done`: every statement ran. `failed`: see `error`; nothing of it stays. `skipped`: the tenant has no database in use. */
  readonly outcome: 'done' | 'failed' | 'skipped'
  /** In order; empty unless `outcome` is `done`. */
  readonly statements: readonly FleetStatement[]
  /** Of `failed`: a `TenancyError` with its code. */
  readonly error?: Error
}

/** What a run did. */
export interface FleetExecReport {
  readonly done: number
  readonly failed: number
  readonly skipped: number
  /** Tenants that the run was about and did not begin, because it was stopped. */
  readonly remaining: number
  /** Why it was stopped; undefined: it was not. */
  readonly stopped: FleetStopReason | undefined
  /** The first 20 results that failed; `onResult` gets all. */
  readonly failures: readonly FleetExecResult[]
  readonly durationMs: number
}
