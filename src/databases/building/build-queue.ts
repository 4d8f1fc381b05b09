/** Runs tasks, a limited number at a time; urgent tasks go before the others. */
export interface BuildQueue {
  run<Result>(task: () => Promise<Result>, isUrgent: boolean): Promise<Result>
  /** Resolves when no task runs or waits. */
  drained(): Promise<void>
}

/** A queue that runs at most `maxConcurrent` tasks at a time. */
export function createBuildQueue(maxConcurrent: number): BuildQueue {
  const urgent: (() => void)[] = []
  const ordinary: (() => void)[] = []
  const running = new Set<Promise<unknown>>()
  let active = 0

  const acquire = (isUrgent: boolean): Promise<void> | undefined => {
    if (active < maxConcurrent) {
      active += 1
      return undefined
    }
    return new Promise((resolve) => (isUrgent ? urgent : ordinary).push(resolve))
  }
  const release = () => {
    const next = urgent.shift() ?? ordinary.shift()
    // The next task takes the slot over: the count stays.
    if (next) next()
    else active -= 1
  }
  const runOne = async <Result>(task: () => Promise<Result>, isUrgent: boolean): Promise<Result> => {
    await acquire(isUrgent)
    try {
      return await task()
    } finally {
      release()
    }
  }

  return {
    async run(task, isUrgent) {
      const run = runOne(task, isUrgent)
      running.add(run)
      try {
        return await run
      } finally {
        running.delete(run)
      }
    },
    async drained() {
      while (running.size > 0) await Promise.allSettled(running)
    },
  }
}
