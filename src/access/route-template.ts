/** The longest path that is compared with rules. A longer one matches none. */
const maxPathLength = 2048
const maxRuleLength = 1000

// RFC 3986 unreserved and sub-delims without `*`, plus `:` and `@`. No percent sign, because an encoded path has several
// spellings, and a rule must have one.
const literalSegment = /^[A-Za-z0-9\-._~!$&'()+,;=:@]+$/
const parameterSegment = /^\{[A-Za-z_][A-Za-z0-9_-]*\}$/
const methodPattern = /^[A-Z]{1,20}$/

/** A template segment that stands for exactly one non-empty segment. */
export const parameter = Symbol('parameter')

/** One segment of a template: its text, or {@link parameter}. */
export type TemplateSegment = string | typeof parameter

/** Tells whether `method` is written as an HTTP method: upper case, no `*`. */
export function isMethod(method: string): boolean {
  return methodPattern.test(method)
}

/**
 * Splits a canonical path: a `/` before each segment, no empty, `.` or `..` segment, no trailing slash, ASCII without
 * percent-encoding. `/` alone has no segments. Returns undefined for everything else, which no rule ever matches.
 */
export function splitPath(path: string): string[] | undefined {
  const segments = split(path)
  return segments?.every(isLiteral) === true ? segments : undefined
}

/** Splits a route template: a canonical path whose segments may be `{name}`. Returns undefined for anything else. */
export function splitTemplate(path: string): TemplateSegment[] | undefined {
  const segments = split(path)
  if (segments?.every((segment) => isLiteral(segment) || parameterSegment.test(segment)) !== true) return undefined
  return segments.map((segment) => (segment.startsWith('{') ? parameter : segment))
}

/** Says what is wrong with a rule's path, or undefined. */
export function problemOfTemplate(path: string): string | undefined {
  if (path.length > maxRuleLength) return `is longer than ${maxRuleLength} characters`
  if (splitTemplate(path) !== undefined) return undefined
  return (
    'is not a route template: /literal and /{param} segments only, no trailing slash, no empty, "." or ".." segment, ' +
    'no "*", no percent-encoding'
  )
}

function split(path: string): string[] | undefined {
  if (!path.startsWith('/') || path.length > maxPathLength) return undefined
  return path === '/' ? [] : path.slice(1).split('/')
}

function isLiteral(segment: string): boolean {
  return literalSegment.test(segment) && segment !== '.' && segment !== '..'
}
