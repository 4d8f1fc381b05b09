import type { z } from 'zod'
import { type FieldError, TenancyError } from '../../core/errors/errors.js'
import { pointerTo } from '../../core/errors/pointer-to.js'

/** What fields are of: the body, or the path and the query. */
export type FieldsOf = 'body' | 'parameters'

/**
 * Checks fields against a schema.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID, which names every bad field and repeats no value: in the message, and
 *   as `errors` in the form of RFC 9457, 3
 */
export function parseFields<Schema extends z.ZodType>(
  schema: Schema,
  fields: unknown,
  of: FieldsOf = 'body',
): z.output<Schema> {
  const result = schema.safeParse(fields)
  if (result.success) return result.data
  const problems = result.error.issues.flatMap(problemsOf)
  throw new TenancyError(
    'TENANCY_REQUEST_INVALID',
    problems
      .map(({ path, detail }) => (path.length === 0 ? `The body ${detail}` : `${path.map(String).join('.')} ${detail}`))
      .join('; '),
    { details: { errors: problems.map((problem) => errorOf(problem, of)) } },
  )
}

interface FieldProblem {
  /** Empty: the whole. */
  readonly path: readonly PropertyKey[]
  readonly detail: string
}

function errorOf({ path, detail }: FieldProblem, of: FieldsOf): FieldError {
  return of === 'body' ? { pointer: pointerTo(path), detail } : { parameter: String(path[0] ?? ''), detail }
}

const kinds: Readonly<Record<string, string>> = { string: 'text', boolean: 'true or false', object: 'an object' }

function problemsOf(issue: z.core.$ZodIssue): FieldProblem[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], detail: 'is not a field of this request' }))
  }
  if (issue.code !== 'invalid_type') return [{ path, detail: issue.message }]
  return [{ path, detail: `must be given as ${kinds[issue.expected] ?? issue.expected}` }]
}
