import type { Logger } from '../../core/logger.js'
import { problemHeaders, toProblem } from '../problem.js'

/** Headers of every answer to one person or about one tenant: it is for one caller. */
export const privateHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const

const jsonHeaders = { ...privateHeaders, 'content-type': 'application/json; charset=utf-8' } as const

type HeaderSet = Readonly<Record<string, string>>

/** An answer that is whole in memory. Frameworks of Node send it as it is; making a `Response` first costs more than a read. */
export interface PlainAnswer {
  readonly status: number
  /** Sets of headers, names in lower case; later ones win. They are not merged, which would cost more than sending them. */
  readonly headers: readonly HeaderSet[]
  /** Null: none. */
  readonly body: string | null
}

/** Makes the `Response` of an answer. */
export function toResponse({ status, headers, body }: PlainAnswer): Response {
  return new Response(body, { status, headers: Object.assign({}, ...headers) as HeaderSet })
}

/** Makes an answer of JSON text; null: 204, without a body. */
export function plainAnswer(status: number, text: string | null, headers: HeaderSet = {}): PlainAnswer {
  if (text === null) return { status: 204, headers: [privateHeaders, headers], body: null }
  return { status, headers: [jsonHeaders, headers], body: text }
}

/** Answers with a JSON document. */
export function answerJson(status: number, value: unknown, headers: HeaderSet = {}): Response {
  return toResponse(plainAnswer(status, JSON.stringify(value), headers))
}

/** Answers 204, without a body. */
export function answerNothing(headers: HeaderSet = {}): Response {
  return toResponse(plainAnswer(204, null, headers))
}

/** The options of a problem document. */
interface ProblemFacts {
  readonly requestId?: string | undefined
}

const streamed = new WeakSet<Response>()

/** Whether an adapter has to pass the body on as it comes; every other answer is short, and whole already. */
export function isStreamed(response: Response): boolean {
  return streamed.has(response)
}

/** Chunks of a body, and who is told when they cannot be read to the end. */
export interface StreamedBody {
  /** Called once, when the first byte is asked for; it is left (`return`) when the reader goes. */
  readonly read: () => AsyncIterable<Uint8Array>
  /** The answer has begun: the connection is cut, so that the reader does not take a part for the whole. */
  readonly onFailure: (error: unknown) => void
}

/** Answers with a body that is read as fast as the other end takes it. */
export function answerStream(
  status: number,
  headers: Readonly<Record<string, string>>,
  { read, onFailure }: StreamedBody,
): Response {
  let chunks: AsyncIterator<Uint8Array> | undefined
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          chunks ??= read()[Symbol.asyncIterator]()
          const { done, value } = await chunks.next()
          if (done === true) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          onFailure(error)
          controller.error(error)
        }
      },
      async cancel() {
        await chunks?.return?.()
      },
    },
    // Nothing is read before somebody asks for it.
    { highWaterMark: 0 },
  )
  const response = new Response(body, { status, headers: { ...privateHeaders, ...headers } })
  streamed.add(response)
  return response
}

/**
 * A problem document (RFC 9457). An error that is not ours is a 500 that says nothing; it goes to the log, as do the
 * message and cause of a 5xx error of ours.
 */
export function plainProblem(error: unknown, logger: Logger, { requestId }: ProblemFacts = {}): PlainAnswer {
  const problem = toProblem(error, { requestId })
  logServerError(error, problem?.status ?? 500, logger, requestId)
  if (problem) return { ...problem, headers: [privateHeaders, problem.headers] }
  return {
    status: 500,
    headers: [privateHeaders, problemHeaders],
    body: JSON.stringify({ type: 'about:blank', title: 'Internal Server Error', status: 500, requestId }),
  }
}

/** Answers with the document of {@link plainProblem}. */
export function answerProblem(error: unknown, logger: Logger, facts?: ProblemFacts): Response {
  return toResponse(plainProblem(error, logger, facts))
}

/** Logs a 5xx with the details that the answer leaves out. */
export function logServerError(error: unknown, status: number, logger: Logger, requestId?: string): void {
  if (status < 500) return
  const cause = error instanceof Error && error.cause instanceof Error ? { cause: error.cause.message } : {}
  logger.error(
    {
      error: error instanceof Error ? error.stack : String(error),
      ...cause,
      ...(requestId !== undefined && { requestId }),
    },
    'A request failed',
  )
}
