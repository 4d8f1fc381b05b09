// Virtual time: events come in order, and random numbers are the same in every run.

/** A seeded source of numbers in [0, 1) (mulberry32). @param {number} seed */
export function createRandom(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Runs callbacks at points of virtual time. Those of the same time run in the order in which they were set. */
export class Clock {
  nowMs = 0
  #heap = new Heap()
  #count = 0

  /** @param {number} delayMs @param {() => void} callback */
  after(delayMs, callback) {
    this.#heap.push({ key: this.nowMs + delayMs, order: (this.#count += 1), callback })
  }

  /** Runs all callbacks that are due until then. @param {number} untilMs */
  runUntil(untilMs) {
    for (let event = this.#heap.first; event !== undefined && event.key <= untilMs; event = this.#heap.first) {
      this.#heap.pop()
      this.nowMs = event.key
      event.callback()
    }
    this.nowMs = untilMs
  }
}

/** A queue that gives the smallest `key` first, then the smallest `order`. */
export class Heap {
  /** @type {{ key: number, order: number, callback: () => void }[]} */
  #items = []

  get size() {
    return this.#items.length
  }

  get first() {
    return this.#items[0]
  }

  /** @param {{ key: number, order: number, callback: () => void }} item */
  push(item) {
    const items = this.#items
    let at = items.length
    while (at > 0 && isBefore(item, items[(at - 1) >> 1])) {
      items[at] = items[(at - 1) >> 1]
      at = (at - 1) >> 1
    }
    items[at] = item
  }

  pop() {
    const items = this.#items
    const [top] = items
    const last = items.pop()
    if (items.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && isBefore(items[child + 1], items[child])) child += 1
      if (!isBefore(items[child], last)) break
      items[at] = items[child]
      at = child
    }
    items[at] = last
    return top
  }
}

function isBefore(a, b) {
  return a.key < b.key || (a.key === b.key && a.order < b.order)
}
