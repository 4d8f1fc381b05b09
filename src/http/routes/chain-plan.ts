import type { RouteNeeds } from '../../core/request-path.js'
import { type ChainEntry, readChain, strictestOf } from './handler-chain.js'
import { planRoute, type RoutePlan, type RoutePlanOptions } from './route-plan.js'
import type { RegisteredRoute } from './route-segment.js'

/** What is known of a request by the chain that runs for it. */
export interface ChainPlan {
  /** The strictest of what the routes need that may answer. Nothing, where nothing may answer. */
  readonly needs: RouteNeeds
  /** Where the path names a tenant: places in the chain. */
  readonly tenantAt: readonly number[]
  /** Whether a route of the application may answer. */
  readonly hasRoute: boolean
}

/**
 * Plans a request by the chain behind one of its entries. It fails closed: what has not said what it needs, needs a tenant, also
 * middleware that may answer.
 *
 * @throws {@link TenancyError} TENANCY_ROUTE_TENANT_UNREADABLE
 */
export type PlanChain = (chain: readonly ChainEntry[], at: number) => ChainPlan

/** Makes the function that plans requests. A route is read once. */
export function createChainPlans(
  options: RoutePlanOptions,
  readRoute: (entry: ChainEntry) => RegisteredRoute,
): PlanChain {
  const plans = new WeakMap<ChainEntry, RoutePlan>()
  const planOf = (entry: ChainEntry): RoutePlan => {
    let plan = plans.get(entry)
    if (plan === undefined) plans.set(entry, (plan = planRoute(readRoute(entry), 'tenant', options)))
    return plan
  }
  return (chain, at) => {
    const { routes, mayAnswer, needsOfAll = 'tenant' } = readChain(chain, at)
    const all = routes.map((route) => ({ ...route, needs: route.needs ?? 'tenant' }))
    const needs = strictestOf(all.map((route) => route.needs)) ?? (mayAnswer ? needsOfAll : 'none')
    const inPath = all.filter((route) => route.needs === 'tenant' && planOf(route.entry).tenantParameter !== undefined)
    return { needs, tenantAt: inPath.map(({ index }) => index), hasRoute: routes.length > 0 }
  }
}
