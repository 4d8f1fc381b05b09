import type { Logger } from '../../core/logger.js'
import { toProblem } from '../problem.js'

/** Headers of every answer to one person or about one tenant: it is for one caller. */
export const privateHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const

/** Answers with a JSON document. */
export function answerJson(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { ...privateHeaders, 'content-type': 'application/json; charset=utf-8', ...headers },
  })
}

/** Answers 204, without a body. */
export function answerNothing(headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(null, { status: 204, headers: { ...privateHeaders, ...headers } })
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
export function answerProblem(
  error: unknown,
  logger: Logger,
  { requestId }: { readonly requestId?: string | undefined } = {},
): Response {
  const problem = toProblem(error, { requestId })
  logServerError(error, problem?.status ?? 500, logger, requestId)
  if (problem)
    return new Response(problem.body, {
      status: problem.status,
      headers: { ...privateHeaders, ...problem.headers },
    })
  return new Response(JSON.stringify({ type: 'about:blank', title: 'Internal Server Error', status: 500, requestId }), {
    status: 500,
    headers: { ...privateHeaders, 'content-type': 'application/problem+json; charset=utf-8' },
  })
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
