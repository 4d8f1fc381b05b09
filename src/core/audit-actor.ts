/** Who does something, for the audit log. */
export interface ActorOption {
  /** Id of a user. Default, and null: an operator of the installation. */
  readonly actor?: string | null | undefined
}

/**
 * SQL, of one row: says who does what the rest of the transaction does, or of the one statement whose `from` it stands in.
 * The catalog's triggers write it into the audit log. `parameter` (such as `$2`) is the id of a user, or empty for nobody
 * in particular.
 */
export const auditActor = (parameter: string) => `select set_config('tenants2fast.actor', ${parameter}::text, true)`
