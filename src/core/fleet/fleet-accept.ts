import type { ActorOption } from '../audit-actor.js'
import type { FleetRunOptions, FleetStopReason, FleetTenantResult, FleetWaveOptions } from './run.js'

/** What accepting a checksum did for one tenant. */
export interface FleetAcceptResult extends FleetTenantResult {
  /**
   * `accepted`: the ledger has the new checksum now. `current`: it had it. `skipped`: the file was not applied to the database.
   * `failed`: see `error`; nothing was changed.
   */
  readonly outcome: 'accepted' | 'current' | 'skipped' | 'failed'
  /** Of `failed`: a `TenancyError` with its code. */
  readonly error?: Error
}

/** Options of `Fleet.acceptChecksum`. */
export interface FleetAcceptOptions
  extends FleetRunOptions<FleetAcceptResult>, Pick<FleetWaveOptions, 'stopAfter'>, ActorOption {
  /** Id of the migration whose text was changed: `0001_orders.sql`, or without `.sql`. */
  readonly migration: string
}

/** What accepting a checksum did. */
export interface FleetAcceptReport {
  /** Name of the migration, as ledgers have it. */
  readonly migration: string
  /** The checksum that ledgers have now, hexadecimal. */
  readonly checksum: string
  readonly accepted: number
  readonly current: number
  readonly skipped: number
  readonly failed: number
  /** Tenants that the run was about and did not begin, because it was stopped. */
  readonly remaining: number
  /** Why it was stopped; undefined: it was not. */
  readonly stopped: FleetStopReason | undefined
  /** The first 20 results that failed; `onResult` gets all. */
  readonly failures: readonly FleetAcceptResult[]
  readonly durationMs: number
}
