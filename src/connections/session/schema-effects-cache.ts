import type { Logger } from '../../core/logger.js'
import { KnownFingerprints } from './known-fingerprints.js'
import { type SchemaEffects, schemaEffectsFrom, schemaEffectsQuery, type SchemaEffectsRow } from './schema-effects.js'
import { schemaFingerprintQuery } from './schema-fingerprint.js'
import type { SessionClient } from './session-client.js'

/** How long an answer counts. Code that is added to a database by hand is noticed after that. */
const currentMs = 600_000

/**
 * How often a tenant is served before its database is asked. A reset after each use costs a fraction of a millisecond.
 * To ask costs more than to connect (13 ms of processor time on a fresh connection), too much for tenants that come
 * only once.
 */
const usesWorthAsking = 16

/** The same for the fingerprint, whose answer another database may have given already. */
const usesWorthComparing = 3

/**
 * How often a tenant is served before its database is asked even if the next user of the connection has to wait. Until
 * then it is asked while the connection is idle, which that of a busy tenant may never be.
 */
const usesWorthWaiting = 128

/** Used when a database cannot be asked: every statement in it is followed by a reset. */
const unreadable: SchemaEffects = { everywhere: true, onRead: new Set(), onInsert: new Set(), onWrite: new Set() }

/** Remembers the {@link SchemaEffects} of each tenant's database. */
export class SchemaEffectsCache {
  readonly #known = new Map<string, { readonly effects: SchemaEffects; readonly sinceMs: number }>()
  readonly #fingerprints = new KnownFingerprints()
  /** How often each tenant whose effects are unknown was served, within ten minutes at most. */
  readonly #uses = new Map<string, number>()
  /** Of these tenants, those whose fingerprint was asked for early, and was not known. */
  readonly #strangers = new Set<string>()
  #usesSinceMs = 0
  readonly #logger: Logger
  #forgotten = 0
  #isAsking = false

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Tells a new connection what other connections of its tenant have learned. */
  tell(key: string, client: SessionClient, nowMs: number): void {
    const known = this.#known.get(key)
    if (known !== undefined && nowMs - known.sinceMs < currentMs) client.schemaEffects = known.effects
  }

  /** Whether the connection goes by what is known at present. */
  isCurrent(key: string, client: SessionClient, nowMs: number): boolean {
    const known = this.#known.get(key)
    return known !== undefined && nowMs - known.sinceMs < currentMs && known.effects === client.schemaEffects
  }

  /** Counts a use of a connection whose tenant's effects are unknown. */
  countUse(key: string): void {
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1)
  }

  /** Whether the tenant is served so often that {@link learn} asks its database while the connection is idle. */
  isWorthAsking(key: string): boolean {
    const uses = this.#uses.get(key) ?? 0
    const mayBeKnown = this.#fingerprints.size > 0 && !this.#strangers.has(key)
    return uses >= usesWorthAsking || (uses >= usesWorthComparing && mayBeKnown)
  }

  /** Whether the tenant is served so often that the next {@link learn} asks its database in any case. */
  isWorthWaiting(key: string): boolean {
    return (this.#uses.get(key) ?? 0) >= usesWorthWaiting
  }

  /** Whether an idle connection's database is to be asked. */
  isDue(key: string, client: SessionClient, nowMs: number): boolean {
    return !this.isCurrent(key, client, nowMs) && this.isWorthAsking(key)
  }

  /**
   * Asks the database, unless the answer is known or not worth it yet. Only the next user of this connection waits for
   * it. False: the connection was lost meanwhile.
   */
  async learn(key: string, client: SessionClient, isIdle: boolean): Promise<boolean> {
    this.tell(key, client, performance.now())
    if (this.isCurrent(key, client, performance.now())) return client.usable
    if (!(isIdle ? this.isWorthAsking(key) : this.isWorthWaiting(key))) return client.usable
    const forgotten = this.#forgotten
    const effects = await this.#ask(key, client).catch(() => unreadable)
    if (effects === undefined) return client.usable
    if (effects === unreadable && client.usable) {
      this.#logger.warn(
        { tenant: key },
        'Cannot read the system catalogs (pg_…) of a tenant database: its sessions are reset after every use',
      )
    }
    client.schemaEffects = effects
    // An answer to a question from before `forget` may be outdated.
    if (forgotten === this.#forgotten) this.#known.set(key, { effects, sinceMs: performance.now() })
    return client.usable
  }

  /** Forgets what is known, so that the database is asked again. */
  forget(key: string): void {
    this.#forgotten += 1
    this.#known.delete(key)
    this.#strangers.delete(key)
  }

  forgetOld(nowMs: number): void {
    for (const [key, { sinceMs }] of this.#known) if (nowMs - sinceMs >= currentMs) this.#known.delete(key)
    if (nowMs - this.#usesSinceMs < currentMs) return
    this.#uses.clear()
    this.#strangers.clear()
    this.#usesSinceMs = nowMs
  }

  /** Asks for the fingerprint, and for the whole if no other database has had it. Undefined: not now. */
  async #ask(key: string, client: SessionClient): Promise<SchemaEffects | undefined> {
    if (this.#fingerprints.size > 0) {
      const [row] = await client.read<{ readonly fingerprint: string }>(schemaFingerprintQuery)
      const effects = row && this.#fingerprints.get(row.fingerprint)
      if (effects !== undefined) return effects
    }
    if ((this.#uses.get(key) ?? 0) < usesWorthAsking) {
      this.#strangers.add(key)
      return undefined
    }
    // One at a time: databases that are asked at once are often of one template.
    if (this.#isAsking) return undefined
    this.#isAsking = true
    try {
      const [row] = await client.read<SchemaEffectsRow>(schemaEffectsQuery)
      if (row === undefined) return unreadable
      const effects = schemaEffectsFrom(row)
      this.#fingerprints.add(row.fingerprint, effects)
      return effects
    } finally {
      this.#isAsking = false
    }
  }
}
