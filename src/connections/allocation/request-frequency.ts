/**
 * High enough to tell tenants that are often asked for from the rest. It bounds how long they are remembered: for four
 * agings, however many requests there were.
 */
const maxCount = 15

/**
 * Counts how often each key was asked for lately, and for how many places at once. The counts age (Einziger, Friedman,
 * Manes: TinyLFU, 2017): after every `sampleSize` counted requests all of them are halved. So memory is bounded (fewer
 * than two samples of keys), and old favourites fade with new requests. Requests for a key whose counts are full are not
 * counted, so a burst of one key does not make the others be forgotten.
 */
export class RequestFrequency {
  /** By key. At index n: the requests that took more than n places at once. */
  readonly #counts = new Map<string, number[]>()
  readonly #sampleSize: number
  #counted = 0

  constructor(sampleSize: number) {
    this.#sampleSize = sampleSize
  }

  /** Counts a request that makes `places` in use at once; 1 is the first. */
  count(key: string, places: number): void {
    const counts = this.#counts.get(key) ?? []
    // The last place asked for has the lowest count of all.
    if ((counts[places - 1] ?? 0) >= maxCount) return
    if (counts.length === 0) this.#counts.set(key, counts)
    for (let place = 0; place < places; place += 1) counts[place] = Math.min((counts[place] ?? 0) + 1, maxCount)
    this.#counted += 1
    if (this.#counted >= this.#sampleSize) this.#age()
  }

  /** How many requests needed the key's `place`th place. */
  of(key: string, place: number): number {
    return this.#counts.get(key)?.[place - 1] ?? 0
  }

  #age(): void {
    this.#counted = 0
    for (const [key, counts] of this.#counts) {
      const halved = counts.map((count) => Math.floor(count / 2)).filter((count) => count > 0)
      if (halved.length === 0) this.#counts.delete(key)
      else this.#counts.set(key, halved)
    }
  }
}
