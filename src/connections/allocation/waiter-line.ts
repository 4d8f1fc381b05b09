import { WaiterQueue } from './waiter-queue.js'

/** One tenant's waiters. Those that hold a connection already (nested) go first; each group is in order of arrival. */
export class WaiterLine<Item extends { readonly sinceMs: number }> {
  readonly #nested = new WaiterQueue<Item>()
  readonly #others = new WaiterQueue<Item>()

  get size(): number {
    return this.#nested.size + this.#others.size
  }

  /** When the one that waits longest began to wait. `Infinity`: nobody waits. */
  get oldestSinceMs(): number {
    return Math.min(this.#nested.first?.sinceMs ?? Infinity, this.#others.first?.sinceMs ?? Infinity)
  }

  push(item: Item, isNested: boolean): void {
    if (isNested) this.#nested.push(item)
    else this.#others.push(item)
  }

  shift(): Item | undefined {
    return this.#nested.shift() ?? this.#others.shift()
  }

  /** False: it was not waiting. */
  remove(item: Item): boolean {
    return this.#others.remove(item) || this.#nested.remove(item)
  }

  /** Takes out the waiters that have waited since `sinceMs` or longer. */
  takeOverdue(sinceMs: number): Item[] {
    const overdue: Item[] = []
    for (const queue of [this.#nested, this.#others]) {
      for (let item = queue.first; item !== undefined && item.sinceMs <= sinceMs; item = queue.first) {
        overdue.push(item)
        queue.shift()
      }
    }
    return overdue
  }

  /** A copy, in order. */
  get items(): Item[] {
    return [...this.#nested.items, ...this.#others.items]
  }
}
