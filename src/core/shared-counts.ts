/** Something that is limited: so many points in a window. */
export interface Counted {
  readonly key: string
  readonly points: number
  readonly windowSeconds: number
}

/** What was counted under one key. */
export interface Count {
  /** More than its points: refused. */
  readonly consumed: number
  /** Until the window ends. */
  readonly msLeft: number
}

/** Counts that all processes share. */
export interface SharedCounts {
  /**
   * Counts once under each key, in this order, until one is beyond its points.
   *
   * @returns what was counted; the last one may be the refused one
   * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
   */
  count(counted: readonly Counted[]): Promise<readonly Count[]>
}

/** Counts that may be away, or lost, at any time. They never throw. */
export interface VolatileCounts {
  /** As that of {@link SharedCounts}; undefined: nothing is known, and it has to be counted elsewhere. */
  count(counted: readonly Counted[]): Promise<readonly Count[] | undefined>
}
