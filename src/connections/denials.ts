import { setTimeout as sleep } from 'node:timers/promises'
import type { SessionClient } from './session/session-client.js'

/** Part of `pg`'s connection: what the server says of a statement that failed. */
interface ErrorMessages {
  on(event: 'errorMessage', listener: (message: { readonly code?: string }) => void): void
}

const insufficientPrivilege = '42501'
/** Most refusals are right: a tenant that provokes them has its privileges looked at no more often than that. */
const againMs = 600_000
const maxRemembered = 10_000
const settleTimeoutMs = 5000

/**
 * Hears when the server denies a tenant's role something, and has its privileges looked at: a role can drop what it would get
 * by default of later tables. One tenant at a time; nobody waits for it.
 */
export class Denials {
  readonly #repair: (key: string) => Promise<unknown>
  readonly #lookedAtMs = new Map<string, number>()
  #work: Promise<unknown> | undefined

  /** `repair` never rejects. */
  constructor(repair: (key: string) => Promise<unknown>) {
    this.#repair = repair
  }

  watch(key: string, client: SessionClient): void {
    const { connection } = client as unknown as { readonly connection: ErrorMessages }
    connection.on('errorMessage', ({ code }) => {
      if (code === insufficientPrivilege) this.#denied(key, performance.now())
    })
  }

  /** Waits for a repair under way, 5 s at most. */
  async settled(): Promise<void> {
    if (this.#work !== undefined) await Promise.race([this.#work, sleep(settleTimeoutMs, undefined, { ref: false })])
  }

  #denied(key: string, nowMs: number): void {
    if (this.#work !== undefined || nowMs - (this.#lookedAtMs.get(key) ?? -Infinity) < againMs) return
    if (this.#lookedAtMs.size >= maxRemembered) this.#lookedAtMs.clear()
    this.#lookedAtMs.set(key, nowMs)
    this.#work = this.#repair(key).finally(() => {
      this.#work = undefined
    })
  }
}
