import type { Logger } from '../../core/logger.js'
import { type SchemaEffects, schemaEffectsFrom, schemaEffectsQuery, type SchemaEffectsRow } from './schema-effects.js'
import type { SessionClient } from './session-client.js'

/** How long an answer is believed: code that somebody adds to a database by hand is noticed when it is over. */
const currentMs = 600_000

/**
 * A reset after each use costs a fraction of a millisecond, to ask costs more than to connect (13 ms of processor time on
 * a fresh connection): tenants that come once and go are not worth it.
 */
const usesWorthAsking = 16

/** Nothing is known of the database: whatever runs in it is followed by a reset. */
const unreadable: SchemaEffects = { everywhere: true, onRead: new Set(), onInsert: new Set(), onWrite: new Set() }

/** What is known of the {@link SchemaEffects} of each tenant's database. */
export class SchemaEffectsCache {
  readonly #known = new Map<string, { readonly code: SchemaEffects; readonly sinceMs: number }>()
  /** How often each tenant that nothing is known of was served; of the last ten minutes at most. */
  readonly #uses = new Map<string, number>()
  #usesSinceMs = 0
  readonly #logger: Logger
  #forgotten = 0

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Lets a new connection know what others of its tenant have learned. */
  tell(key: string, client: SessionClient, nowMs: number): void {
    const known = this.#known.get(key)
    if (known !== undefined && nowMs - known.sinceMs < currentMs) client.schemaEffects = known.code
  }

  /** Whether the connection goes by what is known now. */
  isCurrent(key: string, client: SessionClient, nowMs: number): boolean {
    const known = this.#known.get(key)
    return known !== undefined && nowMs - known.sinceMs < currentMs && known.code === client.schemaEffects
  }

  /** Counts a use of a tenant's connection by somebody who had to go by the text of statements. */
  countUse(key: string): void {
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1)
  }

  /** Whether the tenant is served so often that the next {@link learn} asks its database. */
  isWorthAsking(key: string): boolean {
    return (this.#uses.get(key) ?? 0) >= usesWorthAsking
  }

  /**
   * Asks the database, unless the answer is known or not worth it yet; nobody waits for it but who wants the connection
   * next. False: the connection was lost meanwhile.
   */
  async learn(key: string, client: SessionClient): Promise<boolean> {
    this.tell(key, client, performance.now())
    if (this.isCurrent(key, client, performance.now()) || !this.isWorthAsking(key)) return client.usable
    const forgotten = this.#forgotten
    const code = await client.read<SchemaEffectsRow>(schemaEffectsQuery).then(
      ([row]) => (row === undefined ? unreadable : schemaEffectsFrom(row)),
      () => unreadable,
    )
    if (code === unreadable && client.usable) {
      this.#logger.warn(
        { tenant: key },
        'The catalogs of a tenant database cannot be read: every statement costs a reset',
      )
    }
    client.schemaEffects = code
    // What was asked before somebody said to forget may be of before that.
    if (forgotten === this.#forgotten) this.#known.set(key, { code, sinceMs: performance.now() })
    return client.usable
  }

  /** Asks again at the next occasion. */
  forget(key: string): void {
    this.#forgotten += 1
    this.#known.delete(key)
  }

  forgetOld(nowMs: number): void {
    for (const [key, { sinceMs }] of this.#known) if (nowMs - sinceMs >= currentMs) this.#known.delete(key)
    if (nowMs - this.#usesSinceMs < currentMs) return
    this.#uses.clear()
    this.#usesSinceMs = nowMs
  }
}
