import { STATUS_CODES, validateHeaderValue } from 'node:http'
import { readProperty } from '../core/errors/error-chain.js'
import { documentOf, isErrorStatus, type Problem, problemHeaders, type ProblemOptions, toProblem } from './problem.js'

/** Options of {@link problemOf}. */
export interface ForeignProblemOptions extends ProblemOptions {
  /** The status that the handler had chosen before it failed. Counts from 400 on, for an error without a status. */
  readonly chosenStatus?: number | undefined
}

/** Most findings of a validator that are shown. */
const maxFindings = 16

/** Headers that tell the client about its next request. No other header of an error is sent (`Set-Cookie`). */
const clientHeaders = ['retry-after', 'www-authenticate', 'allow'] as const
const serverHeaders = ['retry-after'] as const

/**
 * Turns any error into a response: ours as {@link toProblem} does. Another error has the status that it names
 * (`statusCode` or `status`, from 400 to 599), else 500. Errors of the client (4xx) show message, code and what a validator
 * found, as far as JSON has a form for it. All others show a title and the request's id, and of the error nothing but its
 * `Retry-After`.
 */
export function problemOf(error: unknown, options: ForeignProblemOptions = {}): Problem {
  const ours = toProblem(error, options)
  if (ours !== undefined) return ours
  const { requestId, chosenStatus = 0 } = options
  const ownStatus = [readProperty(error, 'statusCode'), readProperty(error, 'status')].find(isErrorStatus)
  const status = ownStatus ?? (isErrorStatus(chosenStatus) ? chosenStatus : 500)
  return {
    status,
    headers: { ...(ownStatus === undefined ? undefined : headersOf(error, status)), ...problemHeaders },
    body: documentOf(
      {
        type: 'about:blank',
        title: STATUS_CODES[status] ?? 'Error',
        status,
        ...(requestId === undefined ? undefined : { requestId }),
      },
      () => (ownStatus !== undefined && ownStatus < 500 ? detailsOf(error) : {}),
    ),
  }
}

function detailsOf(error: unknown): object {
  const code = readProperty(error, 'code')
  const message = readProperty(error, 'message')
  const findings = readProperty(error, 'validation')
  return {
    ...(typeof code === 'string' ? { code } : undefined),
    ...(typeof message === 'string' ? { detail: message } : undefined),
    ...(Array.isArray(findings)
      ? {
          // Only fields that are about the schema: a validator may attach the whole input to its findings.
          validation: findings.slice(0, maxFindings).map((finding: unknown) => ({
            in: readProperty(error, 'validationContext'),
            path: readProperty(finding, 'instancePath'),
            message: readProperty(finding, 'message'),
          })),
        }
      : undefined),
  }
}

/** Headers that `http-errors` and others set on an error, in upper or lower case; none that Node would refuse to write. */
function headersOf(error: unknown, status: number): Record<string, string> {
  const headers = readProperty(error, 'headers')
  if (typeof headers !== 'object' || headers === null) return {}
  const found: Record<string, string> = {}
  for (const name of namesOf(headers)) {
    const lower = name.toLowerCase()
    const allowed: readonly string[] = status < 500 ? clientHeaders : serverHeaders
    const value = readProperty(headers, name)
    if (allowed.includes(lower) && isHeaderValue(lower, value)) found[lower] = value
  }
  return found
}

function namesOf(value: object): string[] {
  try {
    return Object.keys(value)
  } catch {
    return []
  }
}

function isHeaderValue(name: string, value: unknown): value is string {
  if (typeof value !== 'string') return false
  try {
    validateHeaderValue(name, value)
    return true
  } catch {
    return false
  }
}
