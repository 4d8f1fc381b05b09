import type { Logger } from '../../../core/logger.js'
import { KnownFingerprints } from './known-fingerprints.js'
import { type SchemaEffects, schemaEffectsFrom, schemaEffectsQuery, type SchemaEffectsRow } from './schema-effects.js'
import { fingerprintOf, schemaFingerprintQueries } from './schema-fingerprint.js'
import type { SessionClient } from '../client/session-client.js'

/** How long an answer counts. Code that is added to a database by hand is noticed after that. */
const currentMs = 600_000

/**
 * How often a tenant is served before its database is asked, while the connection is idle. A reset after each use costs a
 * fraction of a millisecond. To ask costs more than to connect (13 ms of processor time on a fresh connection), too much for
 * tenants that come only once.
 */
const usesWorthAsking = 16

/** The same while the next user of the connection may have to wait: that of a busy tenant may never be idle. */
const usesWorthWaiting = 128

/** The same for the fingerprint, whose answer another database may have given already. */
const usesWorthComparing = 3

/** Used when a database cannot be asked: every statement in it is followed by a reset. */
const unreadable: SchemaEffects = { everywhere: true, onRead: new Set(), onInsert: new Set(), onWrite: new Set() }

/** What a database has answered. `sinceMs`: when it was first asked for it. */
interface Answer {
  readonly effects: SchemaEffects
  readonly sinceMs: number
}

/** The fingerprint of a database, as it was at `sinceMs` or later. */
interface Fingerprint {
  readonly text: string
  readonly sinceMs: number
}

/** Remembers the {@link SchemaEffects} of each tenant's database. */
export class SchemaEffectsCache {
  readonly #known = new Map<string, Answer>()
  readonly #fingerprints = new KnownFingerprints()
  /** How often each tenant whose effects are unknown was served, within ten minutes at most. */
  readonly #uses = new Map<string, number>()
  /** Of these tenants, those whose fingerprint was asked for early, and was not known. */
  readonly #strangers = new Map<string, Fingerprint>()
  /** Of these tenants, the parts of the fingerprint that are known. */
  readonly #parts = new Map<string, { readonly list: string[]; readonly sinceMs: number }>()
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

  /**
   * Whether the tenant is served so often that the next {@link learn} asks its database.
   *
   * @param isIdle nobody is about to use the connection
   */
  isWorthAsking(key: string, isIdle: boolean): boolean {
    const uses = this.#uses.get(key) ?? 0
    return (
      uses >= (isIdle ? usesWorthAsking : usesWorthWaiting) || (uses >= usesWorthComparing && this.#mayBeKnown(key))
    )
  }

  /** Whether an idle connection's database is to be asked. */
  isDue(key: string, client: SessionClient, nowMs: number): boolean {
    return !this.isCurrent(key, client, nowMs) && this.isWorthAsking(key, true)
  }

  /**
   * Asks the database, unless the answer is known or not worth it yet. Only the next user of this connection waits for it,
   * and then only a part of the fingerprint is asked. False: the connection was lost meanwhile.
   */
  async learn(key: string, client: SessionClient, isIdle: boolean): Promise<boolean> {
    this.tell(key, client, performance.now())
    if (this.isCurrent(key, client, performance.now()) || !this.isWorthAsking(key, isIdle)) return client.usable
    const forgotten = this.#forgotten
    const askedAtMs = performance.now()
    const answer = await this.#ask(key, client, isIdle).catch(() => ({ effects: unreadable, sinceMs: askedAtMs }))
    if (answer === undefined || !client.usable) return client.usable
    const { effects } = answer
    if (effects === unreadable) {
      this.#logger.warn(
        { tenant: key },
        'Cannot read the system catalogs (pg_…) of a tenant database: its sessions are reset after every use',
      )
    }
    client.schemaEffects = effects
    // An answer to a question from before `forget` may be outdated.
    if (forgotten === this.#forgotten) this.#known.set(key, answer)
    return true
  }

  /** Forgets what is known, so that the database is asked again. */
  forget(key: string): void {
    this.#forgotten += 1
    this.#known.delete(key)
    this.#strangers.delete(key)
    this.#parts.delete(key)
  }

  forgetOld(nowMs: number): void {
    for (const [key, { sinceMs }] of this.#known) if (nowMs - sinceMs >= currentMs) this.#known.delete(key)
    if (nowMs - this.#usesSinceMs < currentMs) return
    this.#uses.clear()
    this.#strangers.clear()
    this.#parts.clear()
    this.#usesSinceMs = nowMs
  }

  /** Whether the fingerprint may be that of a database that has been asked. */
  #mayBeKnown(key: string): boolean {
    const stranger = this.#strangers.get(key)
    if (stranger === undefined) return this.#fingerprints.size > 0
    return this.#fingerprints.get(stranger.text) !== undefined
  }

  /** Asks for the fingerprint, and for the whole if no other database has had it. Undefined: not now. */
  async #ask(key: string, client: SessionClient, isIdle: boolean): Promise<Answer | undefined> {
    if (this.#mayBeKnown(key)) {
      const forgotten = this.#forgotten
      const fingerprint = this.#strangers.get(key) ?? (await this.#askFingerprint(key, client, isIdle))
      // One from before `forget` may be that of the schema before a migration.
      if (fingerprint === undefined || forgotten !== this.#forgotten) return undefined
      const effects = this.#fingerprints.get(fingerprint.text)
      if (effects !== undefined) return { effects, sinceMs: fingerprint.sinceMs }
      this.#strangers.set(key, fingerprint)
    }
    if (!this.isWorthAsking(key, isIdle)) return undefined
    const sinceMs = performance.now()
    const effects = await this.#askWhole(client)
    return effects && { effects, sinceMs }
  }

  /** Asks for all that is left of the fingerprint, or for its next part. Undefined: some of it is not known yet. */
  async #askFingerprint(key: string, client: SessionClient, isIdle: boolean): Promise<Fingerprint | undefined> {
    const parts = this.#parts.get(key) ?? { list: [], sinceMs: performance.now() }
    this.#parts.set(key, parts)
    const { list } = parts
    const missing = schemaFingerprintQueries.slice(list.length)
    for (const query of isIdle ? missing : missing.slice(0, 1)) {
      const index = list.length
      const [row] = await client.read<{ readonly part: string }>(query)
      if (row === undefined) throw new Error('A query of one row has none')
      // Another connection of the tenant may have asked for the same part.
      if (list.length === index) list.push(row.part)
    }
    if (list.length < schemaFingerprintQueries.length) return undefined
    this.#parts.delete(key)
    return { text: fingerprintOf(list), sinceMs: parts.sinceMs }
  }

  async #askWhole(client: SessionClient): Promise<SchemaEffects | undefined> {
    // One at a time: databases that are asked at once are often of one template.
    if (this.#isAsking) return undefined
    this.#isAsking = true
    try {
      const [row] = await client.read<SchemaEffectsRow>(schemaEffectsQuery)
      if (row === undefined) return unreadable
      const effects = schemaEffectsFrom(row)
      this.#fingerprints.add(fingerprintOf(row.fingerprint_parts), effects)
      return effects
    } finally {
      this.#isAsking = false
    }
  }
}
