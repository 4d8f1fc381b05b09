import { TenancyError } from '../../core/errors/errors.js'
import type { RouteNeeds } from '../../core/request-path.js'
import { namesTenantInPath } from './path-tenant.js'
import type { RegisteredRoute } from './route-segment.js'

/** What an adapter knows of a route before its first request. */
export interface RoutePlan {
  readonly needs: RouteNeeds
  /** The parameter that names the tenant; undefined: the path names none. */
  readonly tenantParameter: string | undefined
}

/** What {@link planRoute} goes by. */
export interface RoutePlanOptions {
  /** `TENANT_URL_PREFIX`. */
  readonly urlPrefix: string
  /** The route parameter that names a tenant: letters, digits and `_`. */
  readonly tenantParameter: string
  /** How an application says what a route needs, for messages. */
  readonly wording: {
    /** The setting, such as `config.tenancy`. */
    readonly setting: string
    /** How a route says that it serves no tenant. */
    readonly withoutTenant: string
  }
}

/**
 * Decides what a route needs, and whether its path names the tenant.
 *
 * @param needs what the application says: `tenant`, `user` or `none`
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: `needs` is something else; TENANCY_ROUTE_TENANT_UNREADABLE
 */
export function planRoute(
  route: Pick<RegisteredRoute, 'url' | 'segments'>,
  needs: unknown,
  { urlPrefix, tenantParameter, wording }: RoutePlanOptions,
): RoutePlan {
  if (needs !== 'tenant' && needs !== 'user' && needs !== 'none') {
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      `Route ${route.url}: ${wording.setting} is 'tenant', 'user' or 'none', not ${JSON.stringify(needs)}`,
    )
  }
  const names = { urlPrefix: urlPrefix.toLowerCase(), parameter: tenantParameter }
  const isInPath = needs === 'tenant' && namesTenantInPath(route, names, wording.withoutTenant)
  return { needs, tenantParameter: isInPath ? tenantParameter : undefined }
}
