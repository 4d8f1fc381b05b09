import type { FastifyContextConfig, FastifyRequest, RouteOptions } from 'fastify'
import { TenancyError } from '../../core/errors/errors.js'
import type { RouteNeeds } from '../../core/request-path.js'
import type { ResolvedOptions, TenancyRoute } from './options.js'
import { namesTenantInPath } from './path-tenant.js'

/** What the plugin knows of a route before its first request. */
export interface RoutePlan {
  readonly needs: RouteNeeds
  /** The parameter that names the tenant, or undefined. */
  readonly tenantParameter: string | undefined
}

const planKey: unique symbol = Symbol('tenants2fast.plan')

declare module 'fastify' {
  interface FastifyContextConfig {
    [planKey]?: RoutePlan
  }
}

/** Decides what each route demands, when it is registered. */
export interface RoutePlans {
  /**
   * Plans a route that is being registered.
   * @throws {@link TenancyError} TENANCY_CONFIG_INVALID, TENANCY_ROUTE_TENANT_UNREADABLE
   */
  add(route: RouteOptions): void
  /**
   * The plan of a request's route: one that was registered before the plugin had loaded is planned now.
   * @throws {@link TenancyError} TENANCY_CONFIG_INVALID, TENANCY_ROUTE_TENANT_UNREADABLE
   */
  of(options: FastifyRequest['routeOptions']): RoutePlan
}

/** Makes the plans of one application. */
export function createRoutePlans(options: ResolvedOptions & { readonly urlPrefix: string }): RoutePlans {
  const { tenantParameter, urlPrefix } = options
  const late = new WeakMap<object, RoutePlan>()

  function planOf(route: TenancyRoute): RoutePlan {
    const needs: unknown = route.config.tenancy ?? options.needs(route) ?? 'tenant'
    if (needs !== 'tenant' && needs !== 'user' && needs !== 'none') {
      throw new TenancyError(
        'TENANCY_CONFIG_INVALID',
        `Route ${route.url}: config.tenancy (or the plugin’s option needs) is 'tenant', 'user' or 'none', not ` +
          JSON.stringify(needs),
      )
    }
    const names = { urlPrefix: urlPrefix.toLowerCase(), parameter: tenantParameter }
    const isInPath = needs === 'tenant' && namesTenantInPath(route.url, names)
    return { needs, tenantParameter: isInPath ? tenantParameter : undefined }
  }

  return {
    add(route) {
      const { url, method, config = {}, schema } = route
      const plan = planOf({ url, method, config, schema })
      // A copy: the application may use one object for several routes.
      const planned: FastifyContextConfig = { ...config, [planKey]: plan }
      Object.assign(route, { config: planned })
    },
    of({ url = '', method, config, schema }) {
      const known = config[planKey] ?? late.get(config)
      if (known !== undefined) return known
      const plan = planOf({ url, method, config, schema })
      late.set(config, plan)
      return plan
    },
  }
}
