import { TenancyError } from '../core/errors.js'

/**
 * What the caller is told when a connection could not be opened. Messages of the driver and of the server name hosts
 * and users, so they travel as `cause` only.
 */
export function connectFailure(cause: unknown): TenancyError {
  if (cause instanceof TenancyError) return cause
  if (sqlState(cause) === tooManyConnections) {
    return new TenancyError(
      'TENANCY_CONNECTION_TIMEOUT',
      'The PostgreSQL server has no connection left (53300): lower TENANT_MAX_CONNECTIONS or raise its max_connections',
      { cause },
    )
  }
  return new TenancyError(
    'TENANCY_DATABASE_UNAVAILABLE',
    `The tenant database could not be reached${reason(cause)}: check that its server is up and accepts the tenant role`,
    { cause },
  )
}

/** Whether the server, up and reachable, did not let the role in or did not answer it as it should. */
export function isRefusal(cause: unknown): boolean {
  if (cause instanceof TenancyError) return cause.code === 'TENANCY_DATABASE_IDENTITY_MISMATCH'
  const code = sqlState(cause)
  // Of the operating system; no such database; out of resources; shutting down or starting up.
  return code === undefined || !/^(?:E[A-Z]+|3D000|53...|57P0[123])$/.test(code)
}

const tooManyConnections = '53300'

function reason(cause: unknown): string {
  const code = sqlState(cause)
  return code === undefined ? '' : ` (${code})`
}

/** SQLSTATE of the server, or the code of the operating system (`ECONNREFUSED`). */
function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && /^[A-Z0-9_]{2,40}$/.test(code) ? code : undefined
}
