interface Window {
  readonly fromMs: number
  untilMs: number
}

/**
 * The times at which "allowed" is a right answer, and those at which "denied" is. While a change is under way both are: the
 * new answer is right from when the change is sent, the old one until the change is known to be committed.
 */
export class Timeline {
  readonly #windows: Record<'allowed' | 'denied', Window[]> = { allowed: [], denied: [] }

  constructor(isAllowed: boolean) {
    this.#windows[isAllowed ? 'allowed' : 'denied'].push({
      fromMs: Number.NEGATIVE_INFINITY,
      untilMs: Number.POSITIVE_INFINITY,
    })
  }

  /** A change to this answer is being sent. */
  begin(isAllowed: boolean): void {
    const windows = this.#windows[isAllowed ? 'allowed' : 'denied']
    if (windows.at(-1)?.untilMs === Number.POSITIVE_INFINITY) return
    windows.push({ fromMs: performance.now(), untilMs: Number.POSITIVE_INFINITY })
    // A request takes seconds at most.
    if (windows.length > 50) windows.shift()
  }

  /** The change to this answer is committed. */
  end(isAllowed: boolean): void {
    const window = this.#windows[isAllowed ? 'denied' : 'allowed'].at(-1)
    if (window !== undefined && window.untilMs === Number.POSITIVE_INFINITY) window.untilMs = performance.now()
  }

  /** Whether the answer was right at some moment between the two. */
  isRight(isAllowed: boolean, fromMs: number, untilMs: number): boolean {
    return this.#windows[isAllowed ? 'allowed' : 'denied'].some(
      (window) => window.fromMs <= untilMs && window.untilMs >= fromMs,
    )
  }

  /** For how long, at `momentMs`, "allowed" has been wrong; 0 when it may be right. */
  staleMs(momentMs: number): number {
    return Math.max(0, momentMs - (this.#windows.allowed.at(-1)?.untilMs ?? Number.NEGATIVE_INFINITY))
  }
}
