import { findTenancyError, type TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import { answerJson, logServerError } from '../../http/messages/answers.js'

/** Answers with an error of the token endpoint (RFC 6749, 5.2): a code, and a text that repeats nothing of the request. */
export function answerTokenError(error: unknown, logger: Logger): Response {
  const known = findTenancyError(error)
  const status = known?.statusCode ?? 500
  logServerError(error, status, logger)
  const [code, description] = tokenErrorOf(known)
  return answerJson(
    // 401 is for failed authentication of clients, and here a user's credentials are wrong (RFC 6749, 5.2).
    status === 401 || status === 404 || status === 415 ? 400 : status,
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
    case 'TENANCY_ACCOUNTS_ORIGIN_REFUSED':
      return ['access_denied', error.title]
    // RFC 8707, 2: the token cannot be for what it is wanted for.
    case 'TENANCY_TENANT_NOT_FOUND':
    case 'TENANCY_TENANT_SUSPENDED':
      return ['invalid_target', error.title]
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
