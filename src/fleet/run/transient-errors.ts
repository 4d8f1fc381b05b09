import { findInErrors, readProperty } from '../../core/errors/error-chain.js'
import { findTenancyError, isTenancyError } from '../../core/errors/errors.js'
import type { RetryRule } from '../../postgres/outages/retry.js'
import { asOutage, isShortage } from '../../postgres/outages/outage.js'

/** Attempts for a tenant whose server is full, restarts or cannot be reached. */
const maxAttempts = 6
const maxPauseMs = 4000

const networkCodes: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'EPIPE', 'ETIMEDOUT'])

/**
 * The rule by which a tenant is tried again. Another runner that holds the database's lock is waited for as long as it works:
 * the lock is kept in the catalog, where no tenant can take it, and one whose process hangs is ended.
 *
 * @param mayPass Names further errors that may be over in a moment
 */
export function retryRule(mayBegin: () => boolean, mayPass?: (error: unknown) => boolean): RetryRule {
  return {
    mayRetry: (error, attempt) => {
      if (!mayBegin()) return false
      if (findTenancyError(error)?.code === 'TENANCY_DATABASE_LOCK_TIMEOUT') return true
      return attempt < maxAttempts && (isTransient(error) || mayPass?.(error) === true)
    },
    pauseMs: (attempt) => Math.min(250 * 2 ** (attempt - 1), maxPauseMs) * (0.5 + Math.random()),
  }
}

/** Tells whether an error may be over in a moment: a server without room, a lost connection, a restart. */
export function isTransient(error: unknown): boolean {
  return findInErrors(error, (each) => (isPassing(each) ? true : undefined)) === true
}

function isPassing(error: object): boolean {
  if (isTenancyError(error)) return readProperty(error, 'code') === 'TENANCY_CATALOG_UNAVAILABLE'
  return (
    isShortage(error) ||
    asOutage(error) !== undefined ||
    networkCodes.has(readProperty(error, 'code')) ||
    // What pg says, without a code, when it could not connect in time.
    readProperty(error, 'message') === 'timeout expired'
  )
}
