import type { FastifyContextConfig, FastifyRequest, RouteOptions } from 'fastify'
import { planRoute, type RoutePlan } from '../../http/routes/route-plan.js'
import type { ResolvedOptions, TenancyRoute } from './plugin-options.js'
import { readSegments } from './route-segments.js'

const planKey: unique symbol = Symbol('tenants2fast.plan')

declare module 'fastify' {
  interface FastifyContextConfig {
    [planKey]?: RoutePlan
  }
}

/** The plans of an application's routes, made when each route is registered. */
export interface RoutePlans {
  /**
   * Plans a route that is being registered.
   * @throws {@link TenancyError} TENANCY_CONFIG_INVALID, TENANCY_ROUTE_TENANT_UNREADABLE
   */
  add(route: RouteOptions): void
  /**
   * Gives the plan of a request's route. A route that was registered before the plugin had loaded is planned now.
   * @throws {@link TenancyError} TENANCY_CONFIG_INVALID, TENANCY_ROUTE_TENANT_UNREADABLE
   */
  of(options: FastifyRequest['routeOptions']): RoutePlan
}

const wording = {
  setting: 'config.tenancy (or the plugin’s option needs)',
  withoutTenant: "config: { tenancy: 'user' } or 'none'",
}

/** Makes the plans of one application. */
export function createRoutePlans(options: ResolvedOptions & { readonly urlPrefix: string }): RoutePlans {
  const { tenantParameter, urlPrefix } = options
  const late = new WeakMap<object, RoutePlan>()

  function planOf(route: TenancyRoute): RoutePlan {
    const needs: unknown = route.config.tenancy ?? options.needs(route) ?? 'tenant'
    const { url } = route
    return planRoute({ url, segments: readSegments(url) }, needs, { urlPrefix, tenantParameter, wording })
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
