/**
 * Idle connections of all tenants, the least recently used first. Room is made by the one that is missed least: plain LRU
 * lets a run of tenants that come once close the connections of those that come all the time.
 */
export class IdleSlots<Slot> {
  readonly #slots = new Set<Slot>()
  readonly #worthOf: (slot: Slot) => number

  /** `worthOf`: how much a connection is missed when it is closed. */
  constructor(worthOf: (slot: Slot) => number) {
    this.#worthOf = worthOf
  }

  get size(): number {
    return this.#slots.size
  }

  add(slot: Slot): void {
    this.#slots.add(slot)
  }

  delete(slot: Slot): void {
    this.#slots.delete(slot)
  }

  /** The one to close when room is needed; of equals, the least recently used. */
  victim(): Slot | undefined {
    let victim: Slot | undefined
    let least = Infinity
    for (const slot of this.#slots) {
      const worth = this.#worthOf(slot)
      if (worth >= least) continue
      least = worth
      victim = slot
    }
    return victim
  }

  [Symbol.iterator](): Iterator<Slot> {
    return this.#slots.values()
  }
}
