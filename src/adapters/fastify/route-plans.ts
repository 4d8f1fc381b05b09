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
   * Gives the plan of a request's route; undefined: it matches no route. A route that was registered before the plugin had
   * loaded is planned now.
   * @throws {@link TenancyError} TENANCY_CONFIG_INVALID, TENANCY_ROUTE_TENANT_UNREADABLE
   */
  of(request: FastifyRequest): RoutePlan | undefined
}

const wording = {
  setting: 'config.tenancy (or the plugin’s option needs)',
  withoutTenant: "config: { tenancy: 'user' } or 'none'",
}

/** Makes the plans of one application. */
export function createRoutePlans(options: ResolvedOptions & { readonly urlPrefix: string }): RoutePlans {
  const { tenantParameter, urlPrefix } = options
  const late = new WeakMap<object, RoutePlan>()
  const readConfig = createConfigReader()

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
    of(request) {
      const plan = readConfig(request)?.[planKey]
      if (plan !== undefined) return plan
      const { url, method, config, schema } = request.routeOptions
      if (url === undefined) return undefined
      const known = config[planKey] ?? late.get(config)
      if (known !== undefined) return known
      const made = planOf({ url, method, config, schema })
      late.set(config, made)
      return made
    },
  }
}

/**
 * Makes the function that reads the configuration of a request's route where Fastify keeps it: `request.routeOptions` makes a
 * new object of twelve fields each time. Undefined where a version of Fastify keeps it elsewhere.
 */
function createConfigReader(): (request: FastifyRequest) => FastifyContextConfig | undefined {
  let key: symbol | undefined
  return (request) => {
    key ??= Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.context')
    if (key === undefined) return undefined
    return (request as unknown as Record<symbol, { config?: FastifyContextConfig } | undefined>)[key]?.config
  }
}
