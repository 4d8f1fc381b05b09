/**
 * Names the prepared statements of one connection. A text gets a name when it comes a second time; the oldest make room.
 */
export class StatementNames {
  /** Name by text; undefined: seen once. Oldest first. */
  readonly #names = new Map<string, string | undefined>()
  readonly #close: (name: string) => void
  #last = 0

  /** `close` is called with the name of each statement that is given up, before its room is used again. */
  constructor(close: (name: string) => void) {
    this.#close = close
  }

  /** The name under which `text` is to be prepared; undefined: not worth it yet. */
  nameFor(text: string): string | undefined {
    const known = this.#names.get(text)
    if (known !== undefined) return known
    if (text.length > maxTextLength) return undefined
    const name = this.#names.has(text) ? `t2f_${(this.#last += 1)}` : undefined
    // A text that is seen again becomes the newest, so texts that were seen once make room first.
    this.#names.delete(text)
    if (this.#names.size >= maxTexts) this.#forgetOldest()
    this.#names.set(text, name)
    return name
  }

  /** Gives the statement up. The next time, its text is new. */
  forget(text: string): void {
    const name = this.#names.get(text)
    this.#names.delete(text)
    if (name !== undefined) this.#close(name)
  }

  /** The connection has no prepared statements any more. */
  clear(): void {
    this.#names.clear()
  }

  #forgetOldest(): void {
    const oldest = this.#names.keys().next().value
    if (oldest !== undefined) this.forget(oldest)
  }
}

const maxTexts = 200
/** Longer texts are neither kept nor prepared: those with a list of values inside are different each time. */
const maxTextLength = 16_384
