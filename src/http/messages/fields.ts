import type { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'

/**
 * Checks fields against a schema.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID, which names every bad field and repeats no value: in the message, and
 *   as `errors` in the form of RFC 9457, 3
 */
export function parseFields<Schema extends z.ZodType>(schema: Schema, fields: unknown): z.output<Schema> {
  const result = schema.safeParse(fields)
  if (result.success) return result.data
  const problems = result.error.issues.flatMap(problemsOf)
  throw new TenancyError(
    'TENANCY_REQUEST_INVALID',
    problems.map(({ field, detail }) => (field === '' ? `The body ${detail}` : `${field} ${detail}`)).join('; '),
    { details: { errors: problems.map(({ field, detail }) => ({ pointer: pointerTo(field), detail })) } },
  )
}

interface FieldProblem {
  /** Empty: the body as a whole. */
  readonly field: string
  readonly detail: string
}

const kinds: Readonly<Record<string, string>> = { string: 'text', boolean: 'true or false', object: 'an object' }

function problemsOf(issue: z.core.$ZodIssue): FieldProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((field) => ({ field, detail: 'is not a field of this request' }))
  }
  const field = issue.path.map(String).join('.')
  if (issue.code !== 'invalid_type') return [{ field, detail: issue.message }]
  return [{ field, detail: `must be given as ${kinds[issue.expected] ?? issue.expected}` }]
}

/** Writes a JSON pointer (RFC 6901) as the fragment of a URI. */
function pointerTo(field: string): string {
  const name = field
    .replaceAll(/\p{Cs}/gu, '\ufffd')
    .replaceAll('~', '~0')
    .replaceAll('/', '~1')
  return field === '' ? '#' : `#/${encodeURIComponent(name)}`
}
