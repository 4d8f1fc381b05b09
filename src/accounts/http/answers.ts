import { findTenancyError, type TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import { toProblem } from '../../http/problem.js'

/** Headers of every answer: each is about one person and for one caller. */
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
  logServerError(error, problem?.status ?? 500, logger)
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

/** Answers with an error of the token endpoint (RFC 6749, 5.2): a code, and a text that repeats nothing of the request. */
export function answerTokenError(error: unknown, logger: Logger): Response {
  const known = findTenancyError(error)
  const status = known?.statusCode ?? 500
  logServerError(error, status, logger)
  const [code, description] = tokenErrorOf(known)
  return answerJson(
    // 401 is for failed authentication of clients, and here a user's credentials are wrong (RFC 6749, 5.2).
    status === 401 || status === 415 ? 400 : status,
    { error: code, error_description: description },
    {
      pragma: 'no-cache',
      ...(known?.retryAfterSeconds === undefined ? {} : { 'retry-after': String(Math.ceil(known.retryAfterSeconds)) }),
    },
  )
}

function tokenErrorOf(error: TenancyError | undefined): readonly [code: string, description: string] {
  switch (error?.code) {
    case 'TENANCY_ACCOUNTS_CREDENTIALS_INVALID':
      return ['invalid_grant', error.title]
    case 'TENANCY_ACCOUNTS_GRANT_INVALID':
      return ['invalid_grant', 'The refresh token is not valid: log in again']
    case 'TENANCY_REQUEST_INVALID':
    case 'TENANCY_REQUEST_TOO_LARGE':
    case 'TENANCY_REQUEST_TYPE_UNSUPPORTED':
      return ['invalid_request', printable(error.message)]
    default:
      // RFC 6749, 5.2 has no code for server errors: these are from 4.1.2.1.
      return error === undefined || error.statusCode === 500
        ? ['server_error', 'Something went wrong here']
        : ['temporarily_unavailable', error.title]
  }
}

/** Keeps ASCII without quotes and backslashes (RFC 6749, 5.2). */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')
}

/** Logs a 5xx with the details that the answer leaves out. */
export function logServerError(error: unknown, status: number, logger: Logger): void {
  if (status < 500) return
  const cause = error instanceof Error && error.cause instanceof Error ? { cause: error.cause.message } : {}
  logger.error(
    { error: error instanceof Error ? error.stack : String(error), ...cause },
    'A request for accounts failed',
  )
}
