import type { z } from 'zod'

/**
 * Lists what is wrong with the value of a setting, in the form "[0].audience is missing": where in the value, unless it is
 * the whole one, and what. Repeats no value. Empty: nothing is wrong.
 */
export function problemsOf(result: z.ZodSafeParseResult<unknown>): string[] {
  if (result.success) return []
  const problems = result.error.issues.map(({ path, message }) => `${placeOf(path)} ${message}`.trimStart())
  return [...new Set(problems)]
}

/** Words a problem for which the schema has no words of its own. */
export const describeProblem: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `must be ${types[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`
    case 'unrecognized_keys':
      return `has fields that are unknown: ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}`
    case 'too_small':
      return `must ${isCount(issue.origin) ? 'have' : 'be'} at least ${issue.minimum}${unitOf(issue.origin, issue.minimum)}`
    case 'too_big':
      return `must ${isCount(issue.origin) ? 'have' : 'be'} at most ${issue.maximum}${unitOf(issue.origin, issue.maximum)}`
    default:
      return undefined
  }
}

const types: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a JSON array',
  object: 'a JSON object',
  record: 'a JSON object',
}

const isCount = (origin: string): boolean => origin === 'array' || origin === 'string'

function unitOf(origin: string, count: number | bigint): string {
  const isOne = Number(count) === 1
  if (origin === 'array') return isOne ? ' entry' : ' entries'
  if (origin === 'string') return isOne ? ' character' : ' characters'
  return ''
}

function placeOf(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '')
}
