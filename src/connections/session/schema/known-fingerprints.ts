import type { SchemaEffects } from './schema-effects.js'

/** Names in all answers together, one more for each: about 10 MB. */
const maxWeight = 100_000

/** Answers by the fingerprint of the database that gave them, those used last. */
export class KnownFingerprints {
  /** In the order of their last use. */
  readonly #effects = new Map<string, SchemaEffects>()
  #weight = 0

  get size(): number {
    return this.#effects.size
  }

  get(fingerprint: string): SchemaEffects | undefined {
    const effects = this.#effects.get(fingerprint)
    if (effects !== undefined) {
      this.#effects.delete(fingerprint)
      this.#effects.set(fingerprint, effects)
    }
    return effects
  }

  add(fingerprint: string, effects: SchemaEffects): void {
    this.#delete(fingerprint)
    this.#effects.set(fingerprint, effects)
    this.#weight += weightOf(effects)
    for (const oldest of this.#effects.keys()) {
      if (this.#weight <= maxWeight) break
      this.#delete(oldest)
    }
  }

  #delete(fingerprint: string): void {
    const effects = this.#effects.get(fingerprint)
    if (effects === undefined) return
    this.#weight -= weightOf(effects)
    this.#effects.delete(fingerprint)
  }
}

function weightOf({ onRead, onInsert, onWrite }: SchemaEffects): number {
  return 1 + onRead.size + onInsert.size + onWrite.size
}
