import { readProperty } from '../core/errors/error-chain.js'
import { type ErrorEntry, errorTable } from '../core/errors/error-table.js'
import { findTenancyError, type TenancyError } from '../core/errors/errors.js'
import { asOutage } from '../postgres/outages/outage.js'

/** An error as an HTTP response: `application/problem+json` (RFC 9457). */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The document, serialised. */
  readonly body: string
}

/** Additions to the problem document of an error. */
export interface ProblemOptions {
  /** The request's id, by which its log lines are found: see {@link safeRequestId}. Default: none. */
  readonly requestId?: string | undefined
}

/** The headers of every problem document. */
export const problemHeaders: Readonly<Record<string, string>> = Object.freeze({
  'content-type': 'application/problem+json; charset=utf-8',
  'cache-control': 'no-store',
})

const maxRequestIdLength = 128

/**
 * Turns a `TenancyError`, or the loss of a database in the middle of a query, into a response; an ORM may have wrapped
 * either. Returns undefined for any other error: those are the application's. So is an error that wraps ours and says that
 * the client is at fault (a `statusCode` from 400 to 499).
 *
 * The message of a server error (5xx) stays in the log; neither it nor a cause reaches the response.
 */
export function toProblem(given: unknown, options: ProblemOptions = {}): Problem | undefined {
  try {
    const error = knownError(given)
    return error === undefined || !isErrorStatus(error.statusCode) ? undefined : problemOfOurs(error, options)
  } catch {
    // The error passes for ours and has properties that throw.
    return undefined
  }
}

/** Tells whether a status is one of an error: a whole number from 400 to 599. */
export function isErrorStatus(status: unknown): status is number {
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599
}

function problemOfOurs(error: TenancyError, { requestId }: ProblemOptions): Problem {
  const { code, title, statusCode: status, message } = error
  const entry: ErrorEntry | undefined = errorTable[code]
  const isOpen = status < 500 && entry?.isTerse !== true
  return {
    status,
    headers: { ...problemHeaders, ...headersOf(error, entry) },
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

/** A method is a token (RFC 9110, 5.6.2 and 9.1); anything else must not get into a header. */
const methodPattern = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}$/

/** The headers that the table of errors says, with the error's own values. A newer copy of the package has more codes. */
function headersOf(
  { retryAfterSeconds, allowedMethods, completeBytes }: TenancyError,
  entry: ErrorEntry | undefined,
): Record<string, string> {
  const challenge = entry?.headers?.['www-authenticate']
  return {
    ...(challenge === undefined ? undefined : { 'www-authenticate': challenge }),
    ...(retryAfterSeconds === undefined ? undefined : { 'retry-after': String(Math.ceil(retryAfterSeconds)) }),
    ...(entry?.headers?.['content-range'] === undefined || !Number.isSafeInteger(completeBytes)
      ? undefined
      : { 'content-range': `bytes */${completeBytes}` }),
    ...(entry?.headers?.allow === undefined || !Array.isArray(allowedMethods)
      ? undefined
      : { allow: allowedMethods.filter((method) => methodPattern.test(method)).join(', ') }),
  }
}

/**
 * Serialises a problem document: the fields that every one has, and the error's own details. Those may be anything; details
 * that JSON has no form for (bigints, circles, a `toJSON` or getter that throws) are left out.
 */
export function documentOf(always: object, readDetails: () => object): string {
  try {
    // A `toJSON` among the details would replace the whole document.
    return JSON.stringify({ ...always, ...readDetails(), ...always, toJSON: undefined })
  } catch {
    return JSON.stringify(always)
  }
}

/**
 * Gives a request's id as logs and problem documents show it: at most 128 letters, digits and `._:@/+=-`, anything else as
 * `_`. The id may come from a header of the client.
 */
export function safeRequestId(id: unknown): string {
  return textOf(id)
    .slice(0, maxRequestIdLength)
    .replaceAll(/[^\w.:@/+=-]/g, '_')
}

/** Some ids have no text, such as an object without a prototype: they become `_`. */
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
