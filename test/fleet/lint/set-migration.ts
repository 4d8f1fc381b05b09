/** A migration of one of the two sets. */
export interface SetMigration {
  readonly name: string
  readonly sql: string
  /** Default: true. */
  readonly inTransaction?: boolean
  /** Migrations before it that tenants get in the same run. */
  readonly batch?: readonly string[]
  /** Why neither the linter nor a rehearsal can know. */
  readonly missed?: string
}
