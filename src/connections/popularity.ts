/**
 * How often each key was asked for lately, as an aging count (Einziger, Friedman, Manes: TinyLFU, 2017): after every
 * `sampleSize` requests all counts are halved, so what is remembered is bounded (fewer than two samples of keys) and
 * yesterday's favourites fade with the requests of today.
 */
export class Popularity {
  readonly #counts = new Map<string, number>()
  readonly #sampleSize: number
  #counted = 0

  constructor(sampleSize: number) {
    this.#sampleSize = sampleSize
  }

  /** Counts a request. */
  count(key: string): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
    this.#counted += 1
    if (this.#counted >= this.#sampleSize) this.#age()
  }

  of(key: string): number {
    return this.#counts.get(key) ?? 0
  }

  #age(): void {
    this.#counted = 0
    for (const [key, count] of this.#counts) {
      if (count < 2) this.#counts.delete(key)
      else this.#counts.set(key, Math.floor(count / 2))
    }
  }
}
