import type { ActorOption } from '../audit-actor.js'
import type { FleetRunOptions, FleetStopReason, FleetTenantResult, FleetWaveOptions } from './run.js'

/** What a revert did for one tenant. */
export interface FleetRevertResult extends FleetTenantResult {
  /**
   * `reverted`: migrations were reverted. `current`: the tenant had none of them. `failed`: see `error`; migrations that were
   * reverted before the one that failed stay reverted. `skipped`: the tenant has no database in use.
   */
  readonly outcome: 'reverted' | 'current' | 'failed' | 'skipped'
  /** Names of the migrations that were reverted now, the newest first. */
  readonly reverted: readonly string[]
  /** Of `failed`: a `TenancyError` with its code. */
  readonly error?: Error
}

/** Options of `Fleet.revert`. */
export interface FleetRevertOptions extends FleetRunOptions<FleetRevertResult>, FleetWaveOptions, ActorOption {
  /**
   * How many of this process's migrations to revert, counted from its newest, 1 or more. A tenant that lacks some of them loses
   * the others only; so a run that is repeated reverts nothing twice.
   */
  readonly last: number
  /** Longest wait of a statement for a lock, milliseconds, 1 to 600,000. Default: `TENANT_SCHEMA_LOCK_TIMEOUT_MS`. */
  readonly lockTimeoutMs?: number | undefined
  /** Longest time of a statement, milliseconds, 1 to 86,400,000; its migration stays and the tenant fails then. Default: no limit. */
  readonly statementTimeoutMs?: number | undefined
}

/** What a revert did. */
export interface FleetRevertReport {
  /** Number of the newest migration that stays; -1: none. */
  readonly version: number
  /** Names of the migrations that the run was about, the newest first. */
  readonly migrations: readonly string[]
  readonly reverted: number
  readonly current: number
  readonly failed: number
  readonly skipped: number
  /** Tenants that the run was about and did not begin, because it was stopped. */
  readonly remaining: number
  /** Why it was stopped; undefined: it was not. */
  readonly stopped: FleetStopReason | undefined
  /** The first 20 results that failed; `onResult` gets all. */
  readonly failures: readonly FleetRevertResult[]
  readonly durationMs: number
}
