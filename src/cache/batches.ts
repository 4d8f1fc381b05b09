/** Options of {@link createBatch}. */
export interface BatchOptions {
  /** Most questions of one read. Default: 500. */
  readonly maxSize?: number
  /** Most reads at a time; what is asked meanwhile waits for the next. Default: 2. */
  readonly maxRunning?: number
}

interface Waiting<Question, Answer> {
  readonly question: Question
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/**
 * Joins questions that are asked at about the same time into one read. A read begins after its last question was asked.
 * When it fails, it fails for all of them.
 *
 * @param readMany answers in the order of the questions
 * @returns asks one question
 */
export function createBatch<Question, Answer>(
  readMany: (questions: readonly Question[]) => Promise<readonly Answer[]>,
  { maxSize = 500, maxRunning = 2 }: BatchOptions = {},
): (question: Question) => Promise<Answer> {
  let waiting: Waiting<Question, Answer>[] = []
  let running = 0
  let isScheduled = false

  function schedule(): void {
    if (isScheduled || running >= maxRunning || waiting.length === 0) return
    isScheduled = true
    // Not a microtask: requests that arrived in one turn of the event loop are to be in one read.
    setImmediate(() => {
      isScheduled = false
      void read()
      schedule()
    })
  }

  async function read(): Promise<void> {
    const batch = waiting.slice(0, maxSize)
    waiting = waiting.slice(maxSize)
    running += 1
    try {
      const answers = await readMany(batch.map(({ question }) => question))
      for (const [index, { resolve }] of batch.entries()) resolve(answers[index] as Answer)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      running -= 1
      schedule()
    }
  }

  return (question) =>
    new Promise((resolve, reject) => {
      waiting.push({ question, resolve, reject })
      schedule()
    })
}
