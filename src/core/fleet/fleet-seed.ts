import type { ActorOption } from '../audit-actor.js'
import type { SqlClient } from '../sql-client.js'
import type { FleetRunOptions, FleetStopReason, FleetTenantName, FleetTenantResult, FleetWaveOptions } from './run.js'

/** For whom a seed is: the machines of developers, or the installation that customers use. */
export type SeedProfile = 'dev' | 'prod'

/**
 * A seed in TypeScript. It runs in one transaction, which it must not end, as the owner of the application's objects, and
 * again with each call of `fleet.seed`: it has to be idempotent.
 *
 * @example
 * const plans: Seed = {
 *   name: 'plans',
 *   run: (client) => client.query("insert into plans values ('free') on conflict do nothing"),
 * }
 */
export interface Seed {
  /** 1 to 100 characters; shown in results. */
  readonly name: string
  /** Default: both. */
  readonly profile?: SeedProfile | undefined
  /** `client`: one connection to the tenant's database. */
  readonly run: (client: SqlClient, tenant: FleetTenantName) => unknown
}

/** Options of `tenancy.fleet.seed()`. */
export interface FleetSeedOptions extends FleetRunOptions<FleetSeedResult>, FleetWaveOptions, ActorOption {
  /** Default: `TENANT_SEED_PROFILE`. */
  readonly profile?: SeedProfile | undefined
  /** Longest time of a statement of a seed, milliseconds, 1 to 86,400,000. Default: no limit. */
  readonly statementTimeoutMs?: number | undefined
}

/** What a run of seeds did for one tenant. */
export interface FleetSeedResult extends FleetTenantResult {
  /**
   * `seeded`: all ran. `failed`: see `error`; the one that failed was rolled back, those before it stay. `skipped`: the tenant
   * has no database in use.
   */
  readonly outcome: 'seeded' | 'failed' | 'skipped'
  /** Names of the seeds that ran, in order; empty if one failed. */
  readonly seeds: readonly string[]
  /** Of `failed`: a `TenancyError` with its code. */
  readonly error?: Error
}

/** What a run of seeds did. */
export interface FleetSeedReport {
  readonly seeded: number
  readonly failed: number
  readonly skipped: number
  /** Tenants that the run was about and did not begin, because it was stopped. */
  readonly remaining: number
  /** Why it was stopped; undefined: it was not. */
  readonly stopped: FleetStopReason | undefined
  /** The first 20 results that failed; `onResult` gets all. */
  readonly failures: readonly FleetSeedResult[]
  readonly durationMs: number
}
