import { TenancyError } from '../../core/errors/errors.js'
import { parseTenantRef } from '../../core/tenants/slug.js'

/** How a URL names a tenant: `/<prefix>/:<parameter>`. */
export interface PathTenantNames {
  /** `TENANT_URL_PREFIX`, in lower case. */
  readonly urlPrefix: string
  /** The name of the route parameter: letters, digits and `_`. */
  readonly parameter: string
}

/**
 * Whether the requests of a route name their tenant in the path: its template has `/tenants/:tenant` once, as two whole
 * segments; case does not matter for the first. Everything else that may stand for a tenant is refused: a route that
 * ignored the tenant of its path would serve the caller's default one.
 *
 * It is stricter than the router, not equal to it: segments are what slashes part, also inside of a regular expression.
 *
 * @throws {@link TenancyError} TENANCY_ROUTE_TENANT_UNREADABLE
 */
export function namesTenantInPath(url: string, names: PathTenantNames): boolean {
  // `::` is Fastify's way to write a colon. Empty segments may vanish (`ignoreDuplicateSlashes`).
  const segments = url
    .replaceAll('::', '\u0000')
    .split('/')
    .filter((segment) => segment !== '')
  let count = 0
  let previous: string | undefined
  for (const segment of segments) {
    const isBehindPrefix = previous?.toLowerCase() === names.urlPrefix
    previous = segment
    if (isBehindPrefix && segment === `:${names.parameter}`) count += 1
    else refuse(url, problemOf(segment, isBehindPrefix, names), names)
  }
  if (count > 1) refuse(url, `it names ${count} tenants`, names)
  return count === 1
}

/** Why a segment may stand for a tenant that nobody reads, or undefined. */
function problemOf(segment: string, isBehindPrefix: boolean, { urlPrefix, parameter }: PathTenantNames) {
  const shown = JSON.stringify(segment.replaceAll('\u0000', '::'))
  if (new RegExp(`:${parameter}(?!\\w)`).test(segment)) {
    return `":${parameter}" has to be a whole segment behind "/${urlPrefix}/", not ${shown}`
  }
  if (segment.includes(':') || segment.includes('*')) {
    if (isBehindPrefix) return `${shown} stands where the tenant does`
    const isLikePrefix = segment.replaceAll(/:\w+/g, ':').toLowerCase().includes(urlPrefix)
    return isLikePrefix ? `${shown} may match "${urlPrefix}"` : undefined
  }
  const isSlug = isBehindPrefix && parseTenantRef(segment.toLowerCase()) !== undefined
  return isSlug ? `${shown} may be the slug of a tenant (a reserved one, such as "settings", is none)` : undefined
}

function refuse(url: string, problem: string | undefined, { urlPrefix, parameter }: PathTenantNames): void {
  if (problem === undefined) return
  throw new TenancyError(
    'TENANCY_ROUTE_TENANT_UNREADABLE',
    `Route ${JSON.stringify(url)} would serve the caller’s default tenant instead of the one in its path: ${problem}. ` +
      `Write it as "/${urlPrefix}/:${parameter}/…" and check the parameter's form in the handler; if the route serves no ` +
      "tenant, say so: config: { tenancy: 'user' } or 'none'",
  )
}
