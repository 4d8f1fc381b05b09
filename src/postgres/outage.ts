import { findInErrors, readProperty } from '../core/errors/error-chain.js'
import { isTenancyError, TenancyError } from '../core/errors/errors.js'

const brand = Symbol.for('tenants2fast.outage')

/** Connection exceptions, shutdowns and crashes (PostgreSQL manual, appendix A). */
const outageStates = /^(08...|57P0[1-5])$/
/** Insufficient resources: disk, memory, the lock table ("out of shared memory"), connections, a configured limit. */
const shortageStates = /^53...$/

// node-postgres gives these no code; it is pinned exactly.
const driverMessages = new Set([
  'Connection terminated unexpectedly',
  'Connection terminated',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
])

/** What Prisma's adapter makes of a connection that can't be had or is gone; it keeps no error. */
const adapterKinds = new Set(['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TooManyConnections'])

/** Marks what broke a connection to a database: an error such as ECONNRESET does not say of which connection it is. */
export function markOutage(error: Error): void {
  Object.defineProperty(error, brand, { value: true })
}

/**
 * What to answer for an error that says that a database went away, not that a statement is wrong: an outage that a retry
 * may not meet. An ORM may have wrapped it. Undefined for any other error.
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
 * Whether the server lacks room for a statement that is right: class 53, and a NOTIFY queue that is full, whose code,
 * 54000, says other things elsewhere. Looks at this error alone, not at its causes.
 */
export function isShortage(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { code, originalCode, severity, file } = error as Record<string, unknown>
  if (!(error instanceof Error)) return typeof originalCode === 'string' && shortageStates.test(originalCode)
  if (typeof severity !== 'string' || typeof code !== 'string') return false
  return shortageStates.test(code) || (code === '54000' && file === 'async.c')
}

function isOutage(error: object): boolean {
  const { code, originalCode, severity, message } = error as Record<string, unknown>
  if (Object.hasOwn(error, brand)) return true
  // Prisma's adapter keeps no error, only its code.
  if (!(error instanceof Error)) return isState(originalCode)
  if (driverMessages.has(message as string)) return true
  if (isState(code) && typeof severity === 'string') return true
  return error.name === 'DriverAdapterError' && adapterKinds.has(readProperty(error.cause, 'kind') as string)
}

function isState(code: unknown): boolean {
  return typeof code === 'string' && outageStates.test(code)
}
