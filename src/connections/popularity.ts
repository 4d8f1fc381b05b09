/**
 * How often each key was asked for lately, and for how many places at once, as an aging count (Einziger, Friedman, Manes:
 * TinyLFU, 2017): after every `sampleSize` requests all counts are halved, so what is remembered is bounded (fewer than
 * two samples of keys) and yesterday's favourites fade with the requests of today.
 */
export class Popularity {
  /** By key; at index n, the requests that took more than n places at once. */
  readonly #counts = new Map<string, number[]>()
  readonly #sampleSize: number
  #counted = 0

  constructor(sampleSize: number) {
    this.#sampleSize = sampleSize
  }

  /** Counts a request that makes `places` in use at once; 1 is the first. */
  count(key: string, places: number): void {
    const counts = this.#counts.get(key) ?? []
    if (counts.length === 0) this.#counts.set(key, counts)
    for (let place = 0; place < places; place += 1) counts[place] = (counts[place] ?? 0) + 1
    this.#counted += 1
    if (this.#counted >= this.#sampleSize) this.#age()
  }

  /** Requests that could not have been served without the key's `place`th place. */
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
