import { STATUS_CODES, validateHeaderValue } from 'node:http'
import { readProperty } from '../core/errors/error-chain.js'
import { documentOf, isErrorStatus, type Problem, problemHeaders, type ProblemOptions, toProblem } from './problem.js'

/** What {@link problemOf} is told beside the error. */
export interface ForeignProblemOptions extends ProblemOptions {
  /** The status that the handler had chosen before it failed; counts from 400 on, for an error without one. */
  readonly chosenStatus?: number | undefined
}

/** So many findings of a validator are shown. */
const maxFindings = 16

/** What an error may say to the client of its next request; anything else (`Set-Cookie`) is not an error's to say. */
const clientHeaders = ['retry-after', 'www-authenticate', 'allow'] as const
const serverHeaders = ['retry-after'] as const

/**
 * DeficitRoundRobin any error into a response: ours as {@link toProblem} does. Of another one, the status is what it says
 * (`statusCode` or `status`, from 400 to 599), else 500. The client's faults (4xx) show message, code and what a validator
 * found, as far as it can be written as JSON. Of everything else the response has a title and the request's id, nothing of
 * the error but its `Retry-After`.
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
          // Only what is known to be about the schema: a validator may hang the whole input on what it found.
          validation: findings.slice(0, maxFindings).map((finding: unknown) => ({
            in: readProperty(error, 'validationContext'),
            path: readProperty(finding, 'instancePath'),
            message: readProperty(finding, 'message'),
          })),
        }
      : undefined),
  }
}

/** What `http-errors` and others set on an error, in any case; nothing that Node would refuse to write. */
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
