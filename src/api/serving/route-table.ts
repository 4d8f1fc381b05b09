import { TenancyError } from '../../core/errors/errors.js'
import { refuseRequest } from '../../http/messages/refusals.js'
import { badEscape } from '../../http/messages/strict-text.js'
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

/** The operations by method and path. */
export interface RouteTable {
  /**
   * Finds the operation of a request.
   * @throws {@link TenancyError} TENANCY_REQUEST_PATH_UNKNOWN, TENANCY_REQUEST_METHOD_UNSUPPORTED; TENANCY_REQUEST_INVALID: a
   *   parameter cannot be decoded
   */
  readonly find: (method: string, path: string) => Match
}

interface Route {
  readonly segments: readonly string[]
  readonly methods: Map<string, Operation>
}

/**
 * Finds the operation of a request. Paths are compared as they are in the request line: nothing is resolved, an empty segment
 * or a slash at the end is another path, and a parameter with an escape that is no UTF-8 is refused.
 */
export function createRouteTable(served: readonly ServedOperation[]): RouteTable {
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
  const literals = new Map(
    routes
      .filter(({ segments }) => !segments.some(isParameter))
      .map(({ segments, methods }) => [`/${segments.join('/')}`, methods]),
  )

  function find(method: string, path: string): Match {
    const literal = literals.get(path)?.get(method === 'HEAD' ? 'GET' : method)
    if (literal !== undefined) return { operation: literal, params: {} }
    const given = path.split('/').slice(1)
    const allowed = new Set<string>()
    let undecodable: string | undefined
    for (const { segments, methods } of routes) {
      const params = matchSegments(segments, given)
      if (typeof params === 'string') undecodable ??= params
      if (typeof params !== 'object') continue
      const operation = methods.get(method === 'HEAD' ? 'GET' : method)
      if (operation !== undefined) return { operation, params }
      for (const known of methods.keys()) allowed.add(known)
    }
    if (undecodable !== undefined) throw refuseRequest(badEscape, { parameter: undecodable })
    if (allowed.size === 0) throw new TenancyError('TENANCY_REQUEST_PATH_UNKNOWN')
    throw refuseMethod([...allowed])
  }
  return { find }
}

/** The refusal of a method, with those that there are: HEAD and OPTIONS are answered by themselves. */
export function refuseMethod(methods: readonly string[]): TenancyError {
  const allowedMethods = [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].toSorted()
  return new TenancyError('TENANCY_REQUEST_METHOD_UNSUPPORTED', `Use ${allowedMethods.join(', ')}`, { allowedMethods })
}

const isParameter = (segment: string) => segment.startsWith('{')
const specificityOf = ({ segments }: Route) => segments.map((segment) => (isParameter(segment) ? '1' : '0')).join('')

/** Gives the parameters; undefined: the path is another; the name of a parameter: it cannot be decoded. */
function matchSegments(
  segments: readonly string[],
  given: readonly string[],
): Record<string, string> | string | undefined {
  if (segments.length !== given.length) return undefined
  const params: Record<string, string> = {}
  let undecodable: string | undefined
  for (const [index, segment] of segments.entries()) {
    const text = given[index] ?? ''
    if (isParameter(segment)) {
      if (text === '') return undefined
      const name = segment.slice(1, -1)
      const value = decode(text)
      if (value === undefined) undecodable ??= name
      else params[name] = value
    } else if (segment !== text) return undefined
  }
  return undecodable ?? params
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
