import { isTenancyError, TenancyError } from '../core/errors/errors.js'
import { isServerError } from './connection-errors.js'

interface Outage {
  /** Tries in a row that the server did not answer. */
  failures: number
  holdMs: number
  heldUntilMs: number
  /** Since when the one that tries for all has tried. */
  triedSinceMs: number | undefined
  error: unknown
}

/** So many tries without an answer, and the server counts as down. */
const toleratedFailures = 3
const minHoldMs = 100
/** With the time to connect, the bound on how late the return of the server is noticed. */
const maxHoldMs = 500
/** A try that hangs longer than this, as after a failover, does not keep the others from trying. */
const tryTimeoutMs = 1000

/**
 * Keeps callers from hammering a server that is down: they are told so at once, and one of them tries again every half
 * second. One entry for each server that does not answer.
 */
export class ServerOutages {
  readonly #outages = new Map<string, Outage>()

  /** @throws {@link TenancyError} TENANCY_DATABASE_UNAVAILABLE while the server is not to be tried */
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

  /** A connection was opened, or refused with a reason: the server is there. */
  answered(server: string): void {
    this.#outages.delete(server)
  }

  /** Takes note of why a connection could not be opened. */
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

/** Connection exceptions and shutdowns (PostgreSQL manual, appendix A), and whatever is no answer of a server at all. */
function isOutage(error: unknown): boolean {
  if (isTenancyError(error)) return false
  return isServerError(error) ? /^(?:08...|57P0[1-3])$/.test(error.code ?? '') : true
}
