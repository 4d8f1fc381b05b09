/** State of a part: `degraded` serves requests, slower or with something missing; `down` does not. */
export type HealthStatus = 'ok' | 'degraded' | 'down'

/** Result of the last check of one part. */
export interface HealthCheck {
  readonly status: HealthStatus
  /** How long the check took, in milliseconds. */
  readonly latencyMs: number
  /** What is wrong, if anything is; names no address, account or statement. */
  readonly detail?: string
}

/** What is wrong with a part that answers; undefined: nothing. */
type Finding = { readonly status: HealthStatus; readonly detail: string } | undefined

/**
 * Checks one part within a time limit. A check that takes longer goes on, and later callers wait for it: a part that hangs is
 * asked once, not by each caller.
 */
export class Probe {
  readonly #timeoutMs: number
  readonly #look: () => Promise<Finding | void>
  #pending: Promise<HealthCheck> | undefined

  constructor(timeoutMs: number, look: () => Promise<Finding | void>) {
    this.#timeoutMs = timeoutMs
    this.#look = look
  }

  /** Never rejects. */
  async run(): Promise<HealthCheck> {
    const startedAtMs = performance.now()
    this.#pending ??= this.#once().finally(() => (this.#pending = undefined))
    let timer: NodeJS.Timeout | undefined
    const tooLong = new Promise<HealthCheck>((resolve) => {
      timer = setTimeout(() => {
        const detail = `no answer within ${this.#timeoutMs} ms`
        resolve({ status: 'down', latencyMs: Math.round(performance.now() - startedAtMs), detail })
      }, this.#timeoutMs)
    })
    try {
      return await Promise.race([this.#pending, tooLong])
    } finally {
      clearTimeout(timer)
    }
  }

  async #once(): Promise<HealthCheck> {
    const startedAtMs = performance.now()
    const finding = await this.#look().catch((error: unknown): Finding => ({
      status: 'down',
      detail: codeOf(error) ?? 'cannot be used',
    }))
    return { status: 'ok', latencyMs: Math.round(performance.now() - startedAtMs), ...finding }
  }
}

/** Returns the innermost code (of Node, PostgreSQL or this package), not the message, which could name accounts and addresses. */
function codeOf(error: unknown): string | undefined {
  let code: string | undefined
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    const own = (at as { code?: unknown }).code
    if (typeof own === 'string' && /^[A-Z0-9_]{2,60}$/.test(own)) code = own
  }
  return code
}
