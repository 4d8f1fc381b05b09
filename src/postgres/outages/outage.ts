import { findInErrors, readProperty } from '../../core/errors/error-chain.js'
import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import { endsSession, isShortageState, sqlStates } from './sql-states.js'

const brand = Symbol.for('tenants2fast.outage')

// node-postgres gives these no code; it is pinned exactly.
const driverMessages = new Set([
  'Connection terminated unexpectedly',
  'Connection terminated',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
])

/** How Prisma's adapter names a connection that could not be had or is gone; it keeps no error. */
const adapterKinds = new Set(['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TooManyConnections'])

/** Marks an error as one that broke a connection to a database: ECONNRESET does not say which connection it is about. */
export function markOutage(error: Error): void {
  Object.defineProperty(error, brand, { value: true })
}

/**
 * Turns an error that says that a database went away, not that a statement is wrong, into TENANCY_DATABASE_UNAVAILABLE: a
 * retry may succeed. An ORM may have wrapped the error. Undefined for any other error.
 */
export function asOutage(error: unknown): TenancyError | undefined {
  if (isTenancyError(error)) return undefined
  const found = findInErrors(error, (each) => (isShortage(each) ? 'shortage' : isOutage(each) ? 'outage' : undefined))
  if (found === undefined) return undefined
  const message =
    found === 'shortage'
      ? 'The tenant’s server has no room left for this'
      : 'The connection to the tenant’s database was lost'
  return new TenancyError('TENANCY_DATABASE_UNAVAILABLE', message, { cause: error })
}

/**
 * Tells whether the server lacks room for a statement that is right: class 53, or a full NOTIFY queue, whose code means
 * other things elsewhere. Looks at this error alone, not at its causes.
 */
export function isShortage(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { code, originalCode, severity, file } = error as Record<string, unknown>
  if (!(error instanceof Error)) return typeof originalCode === 'string' && isShortageState(originalCode)
  if (typeof severity !== 'string' || typeof code !== 'string') return false
  return isShortageState(code) || (code === sqlStates.programLimitExceeded && file === 'async.c')
}

function isOutage(error: object): boolean {
  const { code, originalCode, severity, message } = error as Record<string, unknown>
  if (Object.hasOwn(error, brand)) return true
  // Prisma's adapter keeps no error, only its code.
  if (!(error instanceof Error)) return isOutageState(originalCode)
  if (driverMessages.has(message as string)) return true
  if (isOutageState(code) && typeof severity === 'string') return true
  return error.name === 'DriverAdapterError' && adapterKinds.has(readProperty(error.cause, 'kind') as string)
}

function isOutageState(code: unknown): boolean {
  return typeof code === 'string' && endsSession(code)
}
