/** The opened parts of an installation, to be closed in reverse order. */
export interface Closing {
  add(close: () => Promise<void> | void): void
  /** Closes every part, even when one fails, and then throws the first failure. A second call waits for the first. */
  close(): Promise<void>
}

/** Makes an empty {@link Closing}. */
export function createClosing(): Closing {
  const steps: (() => Promise<void> | void)[] = []
  let closing: Promise<void> | undefined

  async function closeAll(): Promise<void> {
    const failures: unknown[] = []
    for (const step of steps.toReversed()) {
      try {
        await step()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  return {
    add: (close) => void steps.push(close),
    close: () => (closing ??= closeAll()),
  }
}
