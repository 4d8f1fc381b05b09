/** Options of {@link createBatch}. */
export interface BatchOptions {
  /** Most questions of one read. Default: 500. */
  readonly maxSize?: number
  /** Most reads at a time. Default: 4. */
  readonly maxRunning?: number
  /** While a read runs, questions wait for its end or for this long; then the next read begins. Default: 20. */
  readonly maxWaitMs?: number
}

interface Waiting<Question, Answer> {
  readonly question: Question
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/**
 * Joins questions that are asked at about the same time into one read. A read begins after its last question was asked, and
 * a failed read rejects all of its questions.
 *
 * @param readMany answers in the order of the questions
 * @returns asks one question
 */
export function createBatch<Question, Answer>(
  readMany: (questions: readonly Question[]) => Promise<readonly Answer[]>,
  { maxSize = 500, maxRunning = 4, maxWaitMs = 20 }: BatchOptions = {},
): (question: Question) => Promise<Answer> {
  let waiting: Waiting<Question, Answer>[] = []
  let running = 0
  let immediate: NodeJS.Immediate | undefined
  let timer: NodeJS.Timeout | undefined

  function schedule(): void {
    if (waiting.length === 0 || running >= maxRunning) return
    // Not a microtask: requests that arrive in one turn of the event loop share a read.
    if (running === 0) immediate ??= setImmediate(begin)
    else timer ??= setTimeout(begin, maxWaitMs)
  }

  function begin(): void {
    clearImmediate(immediate)
    clearTimeout(timer)
    immediate = undefined
    timer = undefined
    if (waiting.length > 0) void read()
    schedule()
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
