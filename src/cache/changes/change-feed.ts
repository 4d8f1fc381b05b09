/** How a source of changes (LISTEN, or the log) reports to the coherence. */
export interface ChangeFeed {
  /** Longest time that a cached entry may be out of date, milliseconds. */
  readonly maxStalenessMs: number
  /** Aborted when the coherence closes. */
  readonly signal: AbortSignal
  /** Announces a message of the catalog's triggers; other texts are ignored. */
  announce(message: string): void
  /** Announces that anything may have changed. */
  announceAll(): void
  /** Says that everything committed before this moment (`performance.now()`) has been announced. */
  confirm(momentMs: number): void
}
