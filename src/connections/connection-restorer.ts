import type { Allocator } from './allocation/allocator.js'
import type { CheckoutPool, SessionEntry } from './checkout.js'
import type { SchemaEffectsCache } from './session/schema/schema-effects-cache.js'
import type { SessionClient } from './session/client/session-client.js'
import { restoreSession } from './session/session-restore.js'

/** How long an aborted query and a reset may take before the connection is closed instead. */
export const settleTimeoutMs = 1000

/** Restores the sessions of connections that came back, before they are released for another use. */
export class ConnectionRestorer {
  readonly #allocator: Allocator<SessionClient, CheckoutPool>
  readonly #schemaEffects: SchemaEffectsCache
  /** Entries that are being restored: what runs on them is the reset. */
  readonly #restoring = new Set<SessionEntry>()

  constructor(allocator: Allocator<SessionClient, CheckoutPool>, schemaEffects: SchemaEffectsCache) {
    this.#allocator = allocator
    this.#schemaEffects = schemaEffects
  }

  isRestoring(entry: SessionEntry): boolean {
    return this.#restoring.has(entry)
  }

  /**
   * Lets the session settle, undoes what was done to it, and releases the connection; else closes it.
   *
   * @param isIdle nobody waits for the connection: its database may be asked what it runs behind its tables
   */
  async restore(entry: SessionEntry, client: SessionClient, broken: boolean, isIdle = false): Promise<void> {
    const settleTimer = setTimeout(() => this.#allocator.discard(entry), settleTimeoutMs)
    const { sinceMs, tenant } = entry
    const { key } = tenant
    this.#restoring.add(entry)
    const isAborted = client.running
    if (!isAborted && !broken) this.#allocator.announceReturn(entry)
    const isKnown = this.#schemaEffects.isCurrent(key, client, performance.now())
    // As long as the schema's effects are unknown, any statement may have changed the session.
    if (!isKnown) client.touched = true
    const isRestored = await restoreSession(client, isAborted)
    const isFit = isRestored && !broken && (isKnown || (await this.#schemaEffects.learn(key, client, isIdle)))
    clearTimeout(settleTimer)
    this.#restoring.delete(entry)
    // Counted now and not when it was given back: until now it counted as in use.
    tenant.usedMs += performance.now() - sinceMs
    if (isFit) this.#allocator.release(entry, performance.now())
    else this.#allocator.discard(entry)
  }
}
