/**
 * The error codes of PostgreSQL that this package knows, by their names in the manual (appendix A), with what they mean
 * where we meet them. No other file writes one out.
 */
export const sqlStates = {
  /** A warning, such as the one that names whose transaction keeps the NOTIFY queue full. */
  warning: '01000',
  /** Also said of a prepared statement whose result has another shape since ("cached plan must not change result type"). */
  featureNotSupported: '0A000',
  /** GRANT by an account that may not grant it. */
  invalidGrantOperation: '0LP01',
  divisionByZero: '22012',
  uniqueViolation: '23505',
  /** Said of a statement that cannot run inside of a transaction. */
  activeSqlTransaction: '25001',
  readOnlySqlTransaction: '25006',
  /** The session was ended because its transaction was idle for too long. */
  idleInTransactionSessionTimeout: '25P03',
  /** The session does not know the prepared statement. */
  invalidSqlStatementName: '26000',
  invalidPassword: '28P01',
  /** No such database. */
  invalidCatalogName: '3D000',
  /** No such schema. */
  invalidSchemaName: '3F000',
  deadlockDetected: '40P01',
  insufficientPrivilege: '42501',
  /** Also said by an older server of syntax that it does not know. */
  syntaxError: '42601',
  /** No such role. */
  undefinedObject: '42704',
  duplicateDatabase: '42P04',
  /** The session has a prepared statement of this name. */
  duplicatePreparedStatement: '42P05',
  undefinedTable: '42P01',
  /** "Out of shared memory": the lock table is full. */
  outOfMemory: '53200',
  /** The server, the database or the role has no connection left. */
  tooManyConnections: '53300',
  /** Said by async.c: the NOTIFY queue is full. Elsewhere: a statement is too complex. */
  programLimitExceeded: '54000',
  /** Said of a template whose drop has begun. */
  objectNotInPrerequisiteState: '55000',
  /** Somebody else uses the database. */
  objectInUse: '55006',
  /** A lock was not to be had within `lock_timeout`. */
  lockNotAvailable: '55P03',
  /** The statement ran into `statement_timeout`, or somebody cancelled it. */
  queryCanceled: '57014',
  /** The server is shut down, or somebody ended the session (`pg_terminate_backend`). */
  adminShutdown: '57P01',
  /** An internal error. "Tuple concurrently updated" is one: somebody changes the same privileges at the same moment. */
  internalError: 'XX000',
} as const

/** Raised by functions of our catalog; PostgreSQL leaves codes that begin with a T to applications. */
export const catalogStates = {
  /** The owner of a new tenant does not exist or is disabled. */
  ownerUnknown: 'T2F01',
} as const

/** One of the codes above. */
export type SqlState = (typeof sqlStates)[keyof typeof sqlStates] | (typeof catalogStates)[keyof typeof catalogStates]

/** Tells whether PostgreSQL raised an error, not `pg` or the network: each has a severity. Any copy of `pg` counts. */
export function isServerError(error: unknown): error is Error & { readonly code?: string } {
  return error instanceof Error && 'severity' in error
}

/** Gives the SQLSTATE of an error that PostgreSQL raised; undefined for any other error. Causes are not looked at. */
export function sqlStateOf(error: unknown): string | undefined {
  return isServerError(error) && typeof error.code === 'string' ? error.code : undefined
}

/** Tells whether PostgreSQL raised an error with one of these codes. */
export function hasSqlState(error: unknown, ...states: readonly SqlState[]): boolean {
  const state: unknown = sqlStateOf(error)
  return states.some((each) => each === state)
}

/** Tells whether a code is of class 08, connection exceptions. */
export function isConnectionException(state: string): boolean {
  return /^08...$/.test(state)
}

/**
 * Tells whether a code says that the session is over or cannot begin: connection exceptions, shutdown, crash, start-up, a
 * dropped database, idle for too long (57P01 to 57P05).
 */
export function endsSession(state: string): boolean {
  return isConnectionException(state) || /^57P0[1-5]$/.test(state)
}

/** Tells whether a code says that the server itself is going down, has crashed or is starting (57P01 to 57P03). */
export function isServerStopping(state: string): boolean {
  return /^57P0[1-3]$/.test(state)
}

/** Tells whether a code is of class 53, insufficient resources: disk, memory, lock table, connections, a configured limit. */
export function isShortageState(state: string): boolean {
  return /^53...$/.test(state)
}
