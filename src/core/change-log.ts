/** The changes in the catalog since the last look. */
export interface ChangesSeen {
  /** The state that was looked at, for the next look (`pg_snapshot`, PostgreSQL manual, 9.27). */
  readonly snapshot: string
  /** Their messages, as in notifications (`src/cache/changes/change-message.ts` reads them). Empty on a first look. */
  readonly changes: readonly string[]
}

/** The log of changes, for processes that cannot be notified. */
export interface ChangeLog {
  /**
   * Reads the changes that have become visible since `snapshot`, each once, whatever order their transactions committed in.
   * undefined: a first look. Changes are kept for a day.
   *
   * @throws TENANCY_CATALOG_UNAVAILABLE
   */
  readChanges(snapshot: string | undefined): Promise<ChangesSeen>
}
