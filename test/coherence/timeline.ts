interface Window {
  readonly fromMs: number
  untilMs: number
}

/**
 * When a question could rightly be answered with yes, and when with no. While a change is under way both are right: from
 * the moment it is sent the new answer may come, until it is known to be committed the old one.
 */
export class Timeline {
  readonly #windows: Record<'yes' | 'no', Window[]> = { yes: [], no: [] }

  constructor(isAllowed: boolean) {
    this.#windows[isAllowed ? 'yes' : 'no'].push({
      fromMs: Number.NEGATIVE_INFINITY,
      untilMs: Number.POSITIVE_INFINITY,
    })
  }

  /** A change to this answer is sent now. */
  begin(isAllowed: boolean): void {
    const windows = this.#windows[isAllowed ? 'yes' : 'no']
    if (windows.at(-1)?.untilMs === Number.POSITIVE_INFINITY) return
    windows.push({ fromMs: performance.now(), untilMs: Number.POSITIVE_INFINITY })
    // A request takes seconds at most.
    if (windows.length > 50) windows.shift()
  }

  /** The change is committed. */
  end(isAllowed: boolean): void {
    const window = this.#windows[isAllowed ? 'no' : 'yes'].at(-1)
    if (window !== undefined && window.untilMs === Number.POSITIVE_INFINITY) window.untilMs = performance.now()
  }

  /** Whether the answer was right at some moment between the two. */
  isRight(isAllowed: boolean, fromMs: number, untilMs: number): boolean {
    return this.#windows[isAllowed ? 'yes' : 'no'].some(
      (window) => window.fromMs <= untilMs && window.untilMs >= fromMs,
    )
  }

  /** For how long, at `momentMs`, yes has been wrong; 0 when it may be right. */
  staleMs(momentMs: number): number {
    return Math.max(0, momentMs - (this.#windows.yes.at(-1)?.untilMs ?? Number.NEGATIVE_INFINITY))
  }
}
