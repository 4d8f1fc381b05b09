import { setTimeout as sleep } from 'node:timers/promises'
import { sqlStates } from '../../postgres/outages/sql-states.js'
import { internalsOf } from '../session/client/client-internals.js'
import type { SessionClient } from '../session/client/session-client.js'

/** How often a tenant's privileges are checked at most: most denials are right, and a tenant can provoke them. */
const againMs = 600_000
const maxRemembered = 10_000
const settleTimeoutMs = 5000

/**
 * Notices when the server denies a tenant's role something, and has the role's privileges checked: a role can revoke
 * its own default privileges on later tables. Checks one tenant at a time; no caller waits for it.
 */
export class Denials {
  readonly #repair: (key: string) => Promise<unknown>
  readonly #lookedAtMs = new Map<string, number>()
  #repairing: Promise<unknown> | undefined

  /** `repair` never rejects. */
  constructor(repair: (key: string) => Promise<unknown>) {
    this.#repair = repair
  }

  watch(key: string, client: SessionClient): void {
    internalsOf(client).connection.on('errorMessage', ({ code }) => {
      if (code === sqlStates.insufficientPrivilege) this.#denied(key, performance.now())
    })
  }

  /** Waits for a repair that is under way, 5 s at most. */
  async settled(): Promise<void> {
    if (this.#repairing !== undefined)
      await Promise.race([this.#repairing, sleep(settleTimeoutMs, undefined, { ref: false })])
  }

  #denied(key: string, nowMs: number): void {
    if (this.#repairing !== undefined || nowMs - (this.#lookedAtMs.get(key) ?? -Infinity) < againMs) return
    if (this.#lookedAtMs.size >= maxRemembered) this.#lookedAtMs.clear()
    this.#lookedAtMs.set(key, nowMs)
    this.#repairing = this.#repair(key).finally(() => {
      this.#repairing = undefined
    })
  }
}
