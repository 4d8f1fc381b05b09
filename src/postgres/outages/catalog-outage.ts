import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import { isShortage } from './outage.js'
import { isPoolEnded } from '../pool-ender.js'
import { endsSession, isServerError, sqlStateOf, sqlStates } from './sql-states.js'

/**
 * Waits for an answer of the catalog. A failed question is "try again", never "nobody" or "no tenant". Errors of this
 * package pass.
 *
 * @param topic what the question is about, in the plural, for the message: "users"
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE; TENANCY_CLOSED after the pool was ended
 */
export async function catalogAnswer<Answer>(answer: PromiseLike<Answer>, topic: string): Promise<Answer> {
  try {
    return await answer
  } catch (error) {
    throw asCatalogOutage(error, topic)
  }
}

/** The error that {@link catalogAnswer} throws for a failed question, for callers that have work to do before. */
export function asCatalogOutage(error: unknown, topic: string): unknown {
  return isTenancyError(error) ? error : catalogOutage(error, `The catalog did not answer a question about ${topic}`)
}

/**
 * Explains why a statement of ours failed in the catalog: an outage as {@link catalogAnswer} does; what PostgreSQL says of
 * the statement passes as it is.
 */
export function explainCatalogError(error: unknown): never {
  throw isCatalogOutage(error) ? catalogOutage(error, 'The catalog cannot be reached') : error
}

function catalogOutage(cause: unknown, message: string): TenancyError {
  return isPoolEnded(cause)
    ? new TenancyError('TENANCY_CLOSED', undefined, { cause })
    : new TenancyError('TENANCY_CATALOG_UNAVAILABLE', message, { cause })
}

/**
 * The network, `pg` and a server without room are outages, and so is a lock that is not free in time; and codes that end the
 * session, as that of one idle too long.
 */
function isCatalogOutage(error: unknown): boolean {
  if (!isServerError(error)) return true
  const state = sqlStateOf(error) ?? ''
  const isTooLate = state === sqlStates.idleInTransactionSessionTimeout || state === sqlStates.lockNotAvailable
  return endsSession(state) || isTooLate || isShortage(error)
}
