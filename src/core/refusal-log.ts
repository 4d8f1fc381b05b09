import type { Logger } from './logger.js'

/** The reason why an access token is refused. */
export interface Refusal {
  /** The check that failed: one of a few fixed texts. */
  readonly check: string
  /** The configured issuer that the token names; undefined: none. */
  readonly issuer: string | undefined
  /** The finding, and the setting that would accept it; undefined: no setting would. */
  readonly help: string | undefined
}

const quietMs = 60_000

/**
 * Logs why tokens are refused: once a minute for each issuer and check, so that bad tokens cannot fill the log. Refusals
 * that a setting would mend are logged at level info, others at debug. No line has a token in it.
 */
export function createRefusalLog(logger: Logger): (refusal: Refusal) => void {
  // Issuers are configured and checks are a few fixed texts, so this stays small.
  const lines = new Map<string, { sinceMs: number; suppressed: number }>()
  return ({ check, issuer, help }) => {
    const key = JSON.stringify([issuer, check])
    const last = lines.get(key)
    const nowMs = performance.now()
    if (last !== undefined && nowMs < last.sinceMs + quietMs) {
      last.suppressed += 1
      return
    }
    lines.set(key, { sinceMs: nowMs, suppressed: 0 })
    const fields = { issuer, reason: check, ...(last?.suppressed ? { suppressed: last.suppressed } : undefined) }
    const whose = issuer === undefined ? 'An access token' : `An access token of issuer ${issuer}`
    if (help === undefined) logger.debug(fields, `${whose} was refused: ${check}`)
    else logger.info(fields, `${whose} was refused: ${help}`)
  }
}
