/** A number of tenants, or a share of those that a run is about, such as `'1%'`: rounded up, so at least one. */
export type FleetShare = number | `${number}%`

/** A tenant, as results name it. */
export interface FleetTenantName {
  readonly id: string
  readonly slug: string
}

/** What every result of a run over tenants says beside what was found or done. */
export interface FleetTenantResult {
  readonly tenant: FleetTenantName
  /** Null: the tenant has no database. */
  readonly databaseId: string | null
  /** With all waits and retries. */
  readonly durationMs: number
}

/** How far a run is. */
export interface FleetProgress {
  /** Tenants that the run is about; tenants that are created meanwhile come on top. */
  readonly planned: number
  /** Tenants with a result. */
  readonly done: number
  readonly failed: number
}

/** Which tenants a function of the fleet is about. */
export interface FleetSelectionOptions {
  /** Ids or slugs, 1 to 10,000. Default: all tenants but deleted ones. */
  readonly tenants?: readonly string[] | undefined
  /** Only tenants that have this label, of those that are named, too. Default: any. */
  readonly label?: string | undefined
}

/** What every function that works on tenants' databases takes. All have defaults. */
export interface FleetRunOptions<Result> extends FleetSelectionOptions {
  /**
   * Tenants at a time, 1 to 64. Default: 2, within the connections that a process has to build and migrate. What is above
   * that counts on top, together with other runs of this process, and is checked against the server's `max_connections` first.
   */
  readonly parallelism?: number | undefined
  /** Aborting ends the run; each function says what becomes of tenants under way. Default: none. */
  readonly signal?: AbortSignal | undefined
  /** Receives every tenant's result, one call at a time. An error ends the run, which then throws it. */
  readonly onResult?: ((result: Result) => unknown) | undefined
  /** Is called after each result. An error ends the run, which then throws it. */
  readonly onProgress?: ((progress: FleetProgress) => void) | undefined
}

/** What a run that changes tenants' databases takes on top: how it begins carefully, and when it gives up. */
export interface FleetWaveOptions {
  /** So many tenants first, the oldest ones, and the others only if none of those failed. Default: all at once. */
  readonly canary?: FleetShare | undefined
  /** Begin no further tenant after so many failures. Default: every tenant is tried. */
  readonly stopAfter?: FleetShare | undefined
}

/** Why a run ended before its last tenant. `signal`: aborted, or the installation was closed. */
export type FleetStopReason = 'signal' | 'failures' | 'canary'
