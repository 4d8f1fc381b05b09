import { TenancyError } from '../core/errors/errors.js'
import { isServerStopping, isShortageState, sqlStates } from '../postgres/outages/sql-states.js'

/** The limits that messages show. */
interface ShownLimits {
  readonly maxConnections: number
  readonly maxConnectionsPerTenant: number
}

/**
 * The error for a caller whose connection could not be opened. Messages of the driver and of the server name hosts and
 * users, so they are in the `cause` only.
 */
export function connectFailure(cause: unknown): TenancyError {
  if (cause instanceof TenancyError) return cause
  if (isFull(cause)) {
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

/** Whether the server, up and reachable, did not let the role in, or answered in an unexpected way. */
export function isRefusal(cause: unknown): boolean {
  if (cause instanceof TenancyError) return cause.code === 'TENANCY_DATABASE_IDENTITY_MISMATCH'
  const code = codeOf(cause)
  if (code === undefined) return true
  const isOfSystem = /^E[A-Z]+$/.test(code)
  return !(isOfSystem || code === sqlStates.invalidCatalogName || isShortageState(code) || isServerStopping(code))
}

/** Whether the server is up and has no room for another connection. It may have some in a moment. */
export function isFull(cause: unknown): boolean {
  return codeOf(cause) === sqlStates.tooManyConnections
}

/**
 * Whether the server has no room for any tenant. The limits of a role and of a database concern one tenant. The name of
 * the server's function that raised the error tells them apart, in every language.
 */
export function isFullForAll(cause: unknown): boolean {
  const routine = cause instanceof Error && 'routine' in cause ? cause.routine : undefined
  return isFull(cause) && typeof routine === 'string' && serverIsFull.has(routine)
}

const serverIsFull = new Set([
  'InitProcess',
  'ProcArrayAdd',
  'InitPostgres',
  'ProcessStartupPacket',
  'BackendInitialize',
])

function reason(cause: unknown): string {
  const code = codeOf(cause)
  return code === undefined ? '' : ` (${code})`
}

/** The server's SQLSTATE, or the operating system's code (`ECONNREFUSED`). */
function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && /^[A-Z0-9_]{2,40}$/.test(code) ? code : undefined
}

export function closedError(): TenancyError {
  return new TenancyError('TENANCY_CLOSED', 'The connection scheduler is closed')
}

export function abortedError(cause: unknown): TenancyError {
  return new TenancyError('TENANCY_CONNECTION_ABORTED', 'The caller gave up while it waited for a connection', {
    cause,
  })
}

export function stalledError(timeoutMs: number): TenancyError {
  return new TenancyError(
    'TENANCY_CONNECTION_STALLED',
    `A stream or cursor of pool.query was neither read nor written for ${timeoutMs} ms while the server waited: ` +
      'its connection was taken back',
  )
}

export function timeoutError(waitedMs: number, limits: ShownLimits): TenancyError {
  return new TenancyError(
    'TENANCY_CONNECTION_TIMEOUT',
    `No connection within ${waitedMs} ms (at most ${limits.maxConnectionsPerTenant} for one tenant, ` +
      `${limits.maxConnections} for all): try again later, or release connections earlier`,
  )
}

export function queueFullError(key: string, maxWaiters: number): TenancyError {
  return new TenancyError(
    'TENANCY_CONNECTION_QUEUE_FULL',
    `${maxWaiters} callers of tenant ${key} already wait for a connection: try again later`,
  )
}

export function nestedError(limits: ShownLimits): TenancyError {
  return new TenancyError(
    'TENANCY_CONNECTION_NESTED',
    'The request waits for a connection while it holds another one, and so do all that could give one back ' +
      `(at most ${limits.maxConnectionsPerTenant} for one tenant, ${limits.maxConnections} for all): use the client or ` +
      'transaction at hand instead of asking the pool again inside of it',
  )
}
