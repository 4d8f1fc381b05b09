import { isTenancyError, TenancyError } from './errors.js'

const brand = Symbol.for('tenants2fast.outage')

/** Connection exceptions, shutdowns and crashes (PostgreSQL manual, appendix A). */
const outageStates = /^(08...|57P0[1-5])$/
/** Insufficient resources: disk, memory, the lock table ("out of shared memory"), connections, a configured limit. */
const shortageStates = /^53...$/

/**
 * Whether the server lacks room for a statement that is right: class 53, and a NOTIFY queue that is full, whose code,
 * 54000, says other things elsewhere.
 */
export function isShortage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, severity, file } = error as { code?: unknown; severity?: unknown; file?: unknown }
  if (typeof severity !== 'string' || typeof code !== 'string') return false
  return shortageStates.test(code) || (code === '54000' && file === 'async.c')
}
// node-postgres gives these no code; it is pinned exactly.
const driverMessages = new Set([
  'Connection terminated unexpectedly',
  'Connection terminated',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
])

/** Marks what broke a connection to a database: an error such as ECONNRESET does not say of which connection it is. */
export function markOutage(error: Error): void {
  Object.defineProperty(error, brand, { value: true })
}

/**
 * What to answer for an error that says that a database went away, not that a statement is wrong: an outage that a retry
 * may not meet. Undefined for any other error.
 */
export function asOutage(error: unknown): TenancyError | undefined {
  if (isTenancyError(error) || !(error instanceof Error)) return undefined
  const { code, severity } = error as { code?: unknown; severity?: unknown }
  const isOutage =
    Object.hasOwn(error, brand) ||
    driverMessages.has(error.message) ||
    (typeof severity === 'string' && typeof code === 'string' && outageStates.test(code))
  if (isShortage(error)) {
    return new TenancyError('TENANCY_DATABASE_UNAVAILABLE', 'The tenant’s server has no room left for this', {
      cause: error,
    })
  }
  if (!isOutage) return undefined
  return new TenancyError('TENANCY_DATABASE_UNAVAILABLE', 'The connection to the tenant’s database was lost', {
    cause: error,
  })
}
