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
      'The PostgreSQL server has no connection left, at all or for this tenant’s role (53300): lower TENANT_MAX_CONNECTIONS, ' +
        'raise its max_connections, or count all processes in TENANT_PROCESSES',
      { cause },
    )
  }
  return new TenancyError(
    'TENANCY_DATABASE_UNAVAILABLE',
    `The tenant database could not be reached${reason(cause)}: check that its server is up and accepts the tenant role`,
    { cause },
  )
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
