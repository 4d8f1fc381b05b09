/** What has changed in the catalog since the last look. */
export interface ChangesSeen {
  /** The state that was looked at, for the next look (`pg_snapshot`, PostgreSQL manual, 9.27). */
  readonly snapshot: string
  /**
   * As in notifications: `u:<user id>:<epoch>`, `t:<tenant id>:<epoch>`, `r:<epoch>` or `k:<time>`. `:<tenant id>` after a
   * user's: it concerns their membership there only; and `:ended` after that: there is none any more. Empty on a first look.
   */
  readonly changes: readonly string[]
}

/** The changes of epochs as rows, for processes that can't be notified. */
export interface ChangeLog {
  /**
   * The changes that have become visible since `snapshot`, each once, in whatever order their transactions
   * committed. undefined: a first look. They are kept for a day.
   *
   * @throws TENANCY_CATALOG_UNAVAILABLE
   */
  readChanges(snapshot: string | undefined): Promise<ChangesSeen>
}
