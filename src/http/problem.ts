import { isTenancyError, type TenancyErrorCode } from '../core/errors.js'
import { asOutage } from '../core/outage.js'

/** An error as an HTTP response: `application/problem+json` (RFC 9457). */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The document, serialised. */
  readonly body: string
}

/** These say nothing beyond their title: any difference would tell an outsider what is there. */
const terseCodes: ReadonlySet<TenancyErrorCode> = new Set<TenancyErrorCode>([
  'TENANCY_TENANT_FORBIDDEN',
  'TENANCY_AUTH_REQUIRED',
  'TENANCY_AUTH_TOKEN_INVALID',
  'TENANCY_AUTH_USER_REFUSED',
  'TENANCY_ACCOUNTS_CREDENTIALS_INVALID',
])

/** Challenges of RFC 6750, 3: no error code when the request carried no credentials. */
const challenges: Partial<Record<TenancyErrorCode, string>> = {
  TENANCY_AUTH_REQUIRED: 'Bearer',
  TENANCY_AUTH_TOKEN_INVALID: 'Bearer error="invalid_token"',
  TENANCY_AUTH_USER_REFUSED: 'Bearer error="invalid_token"',
  // Every 401 carries a challenge (RFC 9110, 15.5.2), also the one that answers a wrong password.
  TENANCY_ACCOUNTS_CREDENTIALS_INVALID: 'Bearer',
}

/**
 * Turns a `TenancyError`, or a database that went away in the middle of a query, into a response. Returns undefined for
 * any other error: those are the application's.
 * The message of a server error (5xx) stays in the log; neither it nor a cause reaches the response.
 */
export function toProblem(given: unknown): Problem | undefined {
  const error = asOutage(given) ?? given
  if (!isTenancyError(error)) return undefined
  const { code, title, statusCode: status, message } = error
  const isOpen = status < 500 && !terseCodes.has(code)
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json; charset=utf-8',
    'cache-control': 'no-store',
  }
  const challenge = challenges[code]
  if (challenge !== undefined) headers['www-authenticate'] = challenge
  if (error.retryAfterSeconds !== undefined) headers['retry-after'] = String(Math.ceil(error.retryAfterSeconds))
  return {
    status,
    headers,
    body: JSON.stringify({
      ...(isOpen ? error.details : undefined),
      type: `urn:tenants2fast:error:${code}`,
      title,
      status,
      code,
      ...(isOpen && message !== title ? { detail: message } : undefined),
    }),
  }
}
