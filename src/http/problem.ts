import { readProperty } from '../core/errors/error-chain.js'
import { findTenancyError, type TenancyError, type TenancyErrorCode } from '../core/errors/errors.js'
import { asOutage } from '../postgres/outage.js'

/** An error as an HTTP response: `application/problem+json` (RFC 9457). */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The document, serialised. */
  readonly body: string
}

/** What a problem document says beside the error. */
export interface ProblemOptions {
  /** The request's id, to find its log lines by: see {@link safeRequestId}. Default: none. */
  readonly requestId?: string | undefined
}

/** The headers of every problem document. */
export const problemHeaders: Readonly<Record<string, string>> = Object.freeze({
  'content-type': 'application/problem+json; charset=utf-8',
  'cache-control': 'no-store',
})

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

const maxRequestIdLength = 128

/**
 * DeficitRoundRobin a `TenancyError`, or a database that went away in the middle of a query, into a response; an ORM may have wrapped
 * either. Returns undefined for any other error: those are the application's. So is one that wraps ours and says that it
 * is the client's fault (a `statusCode` from 400 to 499).
 *
 * The message of a server error (5xx) stays in the log; neither it nor a cause reaches the response.
 */
export function toProblem(given: unknown, options: ProblemOptions = {}): Problem | undefined {
  try {
    const error = knownError(given)
    return error === undefined || !isErrorStatus(error.statusCode) ? undefined : problemOfOurs(error, options)
  } catch {
    // It passes for ours, and has properties that throw.
    return undefined
  }
}

/** Whether a status says that there was an error: a whole number from 400 to 599. */
export function isErrorStatus(status: unknown): status is number {
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599
}

function problemOfOurs(error: TenancyError, { requestId }: ProblemOptions): Problem {
  const { code, title, statusCode: status, message } = error
  const isOpen = status < 500 && !terseCodes.has(code)
  const challenge = challenges[code]
  return {
    status,
    headers: {
      ...problemHeaders,
      ...(challenge === undefined ? undefined : { 'www-authenticate': challenge }),
      ...(error.retryAfterSeconds === undefined
        ? undefined
        : { 'retry-after': String(Math.ceil(error.retryAfterSeconds)) }),
    },
    body: documentOf(
      {
        type: `urn:tenants2fast:error:${code}`,
        title,
        status,
        code,
        ...(requestId === undefined ? undefined : { requestId }),
      },
      () => (isOpen ? { ...error.details, ...(message === title ? undefined : { detail: message }) } : {}),
    ),
  }
}

/**
 * A problem document of what is always said and of the error's own details, which may be anything: what JSON has no form
 * for (bigints, circles, a `toJSON` or getter that throws) leaves them out.
 */
export function documentOf(always: object, readDetails: () => object): string {
  try {
    // A document with a `toJSON` of the details' would be whatever that says.
    return JSON.stringify({ ...always, ...readDetails(), ...always, toJSON: undefined })
  } catch {
    return JSON.stringify(always)
  }
}

/**
 * A request's id as logs and problem documents show it: at most 128 letters, digits and `._:@/+=-`, anything else as `_`.
 * The id may be a header of the client's.
 */
export function safeRequestId(id: unknown): string {
  return textOf(id)
    .slice(0, maxRequestIdLength)
    .replaceAll(/[^\w.:@/+=-]/g, '_')
}

/** Nothing of an id that has no text, such as an object without a prototype. */
function textOf(id: unknown): string {
  try {
    return String(id)
  } catch {
    return '_'
  }
}

function knownError(given: unknown): TenancyError | undefined {
  const error = findTenancyError(given) ?? asOutage(given)
  if (error === undefined || error === given) return error
  const status = readProperty(given, 'statusCode')
  const isTheirs = typeof status === 'number' && status >= 400 && status < 500 && status !== error.statusCode
  return isTheirs ? undefined : error
}
