import { STATUS_CODES } from 'node:http'
import { readProperty } from '../core/error-chain.js'
import { type Problem, problemHeaders, type ProblemOptions, toProblem } from './problem.js'

/** What {@link problemOf} is told beside the error. */
export interface ForeignProblemOptions extends ProblemOptions {
  /** The status that the handler had chosen before it failed; counts from 400 on, for an error without one. */
  readonly chosenStatus?: number | undefined
}

/** So many findings of a validator are shown. */
const maxFindings = 16

/** These are of the response that a foreign error's `headers` belonged to. */
const ownHeaders: ReadonlySet<string> = new Set([
  ...Object.keys(problemHeaders),
  'content-length',
  'content-encoding',
  'transfer-encoding',
  'connection',
])

/**
 * Turns any error into a response: ours as {@link toProblem} does. Of another one, the status is what it says
 * (`statusCode` or `status`, from 400 to 599), else 500. The client's faults (4xx) show message, code and what a validator
 * found. Of everything else the response has a title and the request's id, nothing of the error.
 */
export function problemOf(error: unknown, options: ForeignProblemOptions = {}): Problem {
  const ours = toProblem(error, options)
  if (ours !== undefined) return ours
  const { requestId, chosenStatus = 0 } = options
  const ownStatus = [readProperty(error, 'statusCode'), readProperty(error, 'status')].find(isErrorStatus)
  const status = ownStatus ?? (isErrorStatus(chosenStatus) ? chosenStatus : 500)
  return {
    status,
    headers: { ...(ownStatus === undefined ? undefined : headersOf(error)), ...problemHeaders },
    body: JSON.stringify({
      type: 'about:blank',
      title: STATUS_CODES[status] ?? 'Error',
      status,
      ...(ownStatus !== undefined && ownStatus < 500 ? detailsOf(error) : undefined),
      ...(requestId === undefined ? undefined : { requestId }),
    }),
  }
}

function isErrorStatus(status: unknown): status is number {
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599
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

/** What `http-errors` and others set on an error: `Retry-After`, `WWW-Authenticate`. */
function headersOf(error: unknown): Record<string, string> {
  const headers = readProperty(error, 'headers')
  if (typeof headers !== 'object' || headers === null) return {}
  return Object.fromEntries(
    Object.keys(headers)
      .map((name) => [name.toLowerCase(), readProperty(headers, name)] as const)
      .filter((entry): entry is [string, string] => typeof entry[1] === 'string' && !ownHeaders.has(entry[0])),
  )
}
