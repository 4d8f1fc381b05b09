/** What a way of hearing of changes tells the coherence. */
export interface ChangeFeed {
  /** The longest time that something remembered may be out of date, milliseconds. */
  readonly maxStalenessMs: number
  /** Aborted when the coherence closes. */
  readonly signal: AbortSignal
  /** A change, as the catalog's triggers word it; other texts are ignored. */
  announce(change: string): void
  /** Anything may have changed. */
  announceAll(): void
  /** Everything committed before this moment (`performance.now()`) has been announced. */
  confirm(momentMs: number): void
}
