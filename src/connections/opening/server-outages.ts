import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import { isConnectionException, isServerError, isServerStopping, sqlStates } from '../../postgres/outages/sql-states.js'

interface Outage {
  /** How many tries in a row the server did not answer. */
  failures: number
  holdMs: number
  heldUntilMs: number
  /** When the caller that tries for all began to try. */
  triedSinceMs: number | undefined
  error: unknown
}

/** After this many tries without an answer, the server counts as down. */
const toleratedFailures = 3
const minHoldMs = 100
/** The server's return is noticed after this time and the time to connect at the latest. */
const maxHoldMs = 500
/** A try that hangs longer than this, as after a failover, no longer keeps others from trying. */
const tryTimeoutMs = 1000

/**
 * Keeps callers from hammering a server that is down: they fail at once, and one of them tries again every half second.
 * Has one entry for each server that does not answer.
 */
export class ServerOutages {
  readonly #outages = new Map<string, Outage>()

  /**
   * Admits a try to connect.
   *
   * @throws {@link TenancyError} TENANCY_DATABASE_UNAVAILABLE while the server is not to be tried
   */
  admit(server: string, nowMs: number): void {
    const outage = this.#outages.get(server)
    if (outage === undefined || outage.failures < toleratedFailures) return
    const { heldUntilMs, triedSinceMs } = outage
    if (nowMs < heldUntilMs || (triedSinceMs !== undefined && nowMs - triedSinceMs < tryTimeoutMs)) {
      const message = `The server of the tenant database does not answer; it is tried again every ${maxHoldMs} ms`
      throw new TenancyError('TENANCY_DATABASE_UNAVAILABLE', message, { cause: outage.error })
    }
    outage.triedSinceMs = nowMs
  }

  /** Whether the last try had an answer, or there was none yet. */
  isAnswering(server: string): boolean {
    return !this.#outages.has(server)
  }

  /** The server is up: it has opened a connection, or refused one with a reason. */
  answered(server: string): void {
    this.#outages.delete(server)
  }

  /** A connection could not be opened. */
  failed(server: string, error: unknown, nowMs: number): void {
    if (!isOutage(error)) return this.answered(server)
    let outage = this.#outages.get(server)
    if (outage === undefined) {
      outage = { failures: 0, holdMs: minHoldMs / 2, heldUntilMs: 0, triedSinceMs: undefined, error }
      this.#outages.set(server, outage)
    }
    outage.failures += 1
    outage.error = error
    outage.triedSinceMs = undefined
    // Tries that were under way together count as one.
    if (outage.failures < toleratedFailures || nowMs < outage.heldUntilMs) return
    outage.holdMs = Math.min(outage.holdMs * 2, maxHoldMs)
    outage.heldUntilMs = nowMs + outage.holdMs * (0.75 + Math.random() / 4)
  }
}

/**
 * Whether it is a connection exception, a crash or a start-up (PostgreSQL manual, appendix A), or no answer of a server at all.
 */
function isOutage(error: unknown): boolean {
  if (isTenancyError(error)) return false
  if (!isServerError(error)) return true
  const { code = '' } = error
  // Also what a session gets that a role of its own has ended: a tenant could make the server look down to all others.
  if (code === sqlStates.adminShutdown) return false
  return isConnectionException(code) || isServerStopping(code)
}
