import { TenancyError } from '../../core/errors/errors.js'
import { parseTenantRef } from '../../core/tenants/slug.js'
import type { RegisteredRoute, RouteSegment } from './route-segment.js'

/** How a URL names a tenant: `/<prefix>/:<parameter>`. */
interface PathTenantNames {
  /** `TENANT_URL_PREFIX`, in lower case. */
  readonly urlPrefix: string
  /** The name of the route parameter: letters, digits and `_`. */
  readonly parameter: string
}

/**
 * Checks whether the requests of a route name their tenant in the path. They do when the URL has `/tenants/:tenant` once, as
 * two whole segments; the case of the first does not matter. Everything else that may stand for a tenant is refused: a route
 * that ignored the tenant of its path would serve the caller's default tenant.
 *
 * The check is stricter than a router: slashes separate segments even inside a regular expression.
 *
 * @param withoutTenant how a route says that it serves no tenant, for the message
 * @throws {@link TenancyError} TENANCY_ROUTE_TENANT_UNREADABLE
 */
export function namesTenantInPath(
  { url, segments }: Pick<RegisteredRoute, 'url' | 'segments'>,
  names: PathTenantNames,
  withoutTenant: string,
): boolean {
  const refuse = (problem: string | undefined): void => {
    if (problem !== undefined) throw unreadable(url, problem, names, withoutTenant)
  }
  let count = 0
  let previous: RouteSegment | undefined
  for (const segment of segments) {
    // A router may ignore empty segments.
    if (segment.source === '') continue
    const isBehindPrefix = previous?.kind === 'literal' && previous.text.toLowerCase() === names.urlPrefix
    previous = segment
    if (isBehindPrefix && segment.kind === 'parameter' && segment.name === names.parameter) count += 1
    else refuse(problemOf(segment, isBehindPrefix, names))
  }
  if (count > 1) refuse(`it names ${count} tenants`)
  return count === 1
}

/** Says why a segment may stand for a tenant that nobody reads; undefined: it does not. */
function problemOf(segment: RouteSegment, isBehindPrefix: boolean, { urlPrefix, parameter }: PathTenantNames) {
  const shown = JSON.stringify(segment.source)
  if (segment.kind === 'literal') {
    const isSlug = isBehindPrefix && parseTenantRef(segment.text.toLowerCase()) !== undefined
    return isSlug ? `${shown} may be the slug of a tenant (a reserved one, such as "settings", is none)` : undefined
  }
  const parameters = segment.kind === 'parameter' ? [segment.name] : segment.names
  if (parameters.includes(parameter)) {
    return `":${parameter}" has to be a whole segment behind "/${urlPrefix}/", not ${shown}`
  }
  if (isBehindPrefix) return `${shown} stands where the tenant does`
  const isLikePrefix = segment.kind === 'pattern' && segment.rest.toLowerCase().includes(urlPrefix)
  return isLikePrefix ? `${shown} may match "${urlPrefix}"` : undefined
}

function unreadable(
  url: string,
  problem: string,
  { urlPrefix, parameter }: PathTenantNames,
  withoutTenant: string,
): TenancyError {
  return new TenancyError(
    'TENANCY_ROUTE_TENANT_UNREADABLE',
    `Route ${JSON.stringify(url)} would serve the caller’s default tenant instead of the one in its path: ${problem}. ` +
      `Write it as "/${urlPrefix}/:${parameter}/…" and check the parameter's form in the handler; if the route serves no ` +
      `tenant, say so: ${withoutTenant}`,
  )
}

/**
 * Reads the tenant from the path parameters of a request. A missing parameter names no tenant, rather than the default one.
 * @throws {@link TenancyError} TENANCY_TENANT_FORBIDDEN
 */
export function readPathTenant(parameters: unknown, name: string): string {
  const value = (parameters as Readonly<Record<string, unknown>>)[name]
  if (typeof value !== 'string') throw new TenancyError('TENANCY_TENANT_FORBIDDEN')
  return value
}
