import { TenancyError } from '../../core/errors/errors.js'
import type { Operation } from '../operation.js'

/** An operation at its whole path. */
export interface ServedOperation {
  readonly operation: Operation
  /** In braces form, with the installation's prefix. */
  readonly path: string
}

/** An operation that a request is for, and the parameters of its path, decoded. */
export interface Match {
  readonly operation: Operation
  readonly params: Readonly<Record<string, string>>
}

interface Route {
  readonly segments: readonly string[]
  readonly methods: Map<string, Operation>
}

/**
 * Finds the operation of a request. Paths are compared as they are in the request line: nothing is resolved, an empty segment
 * or a slash at the end is another path, and a segment with an escape that is no UTF-8 is no parameter.
 */
export function createRouteTable(served: readonly ServedOperation[]) {
  const routes: Route[] = []
  for (const { operation, path } of served) {
    const segments = path.split('/').slice(1)
    let route = routes.find((known) => known.segments.join('/') === segments.join('/'))
    if (route === undefined) routes.push((route = { segments, methods: new Map() }))
    const method = operation.method.toUpperCase()
    if (route.methods.has(method)) throw new Error(`two operations are at ${method} ${path}`)
    route.methods.set(method, operation)
  }
  // A literal goes before a parameter.
  routes.sort((a, b) => (specificityOf(a) < specificityOf(b) ? -1 : 1))

  /** @throws {@link TenancyError} TENANCY_REQUEST_PATH_UNKNOWN, TENANCY_REQUEST_METHOD_UNSUPPORTED */
  return function find(method: string, path: string): Match {
    const given = path.split('/').slice(1)
    const allowed = new Set<string>()
    for (const { segments, methods } of routes) {
      const params = matchSegments(segments, given)
      if (params === undefined) continue
      const operation = methods.get(method === 'HEAD' ? 'GET' : method)
      if (operation !== undefined) return { operation, params }
      for (const known of methods.keys()) allowed.add(known)
    }
    if (allowed.size === 0) throw new TenancyError('TENANCY_REQUEST_PATH_UNKNOWN')
    if (allowed.has('GET')) allowed.add('HEAD')
    const allowedMethods = [...allowed].toSorted()
    throw new TenancyError('TENANCY_REQUEST_METHOD_UNSUPPORTED', `Use ${allowedMethods.join(', ')}`, { allowedMethods })
  }
}

const isParameter = (segment: string) => segment.startsWith('{')
const specificityOf = ({ segments }: Route) => segments.map((segment) => (isParameter(segment) ? '1' : '0')).join('')

function matchSegments(segments: readonly string[], given: readonly string[]): Record<string, string> | undefined {
  if (segments.length !== given.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, segment] of segments.entries()) {
    const text = given[index] ?? ''
    if (isParameter(segment)) {
      const value = decode(text)
      if (value === undefined || value === '') return undefined
      params[segment.slice(1, -1)] = value
    } else if (segment !== text) return undefined
  }
  return params
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
