import type { RequestContext } from '../../core/context/request-scope.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { HttpTenancy } from '../http-tenancy.js'
import { type ChainEntry, isSameRoute, readChain } from './handler-chain.js'
import type { RouteRequirement } from './requirement.js'
import { bindRouteGuard } from './route-guard.js'
import type { RegisteredRoute } from './route-segment.js'
import { bindSchemaGuard } from './schema-guard.js'

/** What guards ask. */
export type GuardDemands = Pick<HttpTenancy, 'rules' | 'schema'>

/** The requirement of a guard in a chain. */
export type ChainRequirement = RouteRequirement | { readonly kind: 'schema'; readonly migration: string }

/**
 * Returns if the caller may pass.
 * @throws {@link TenancyError} as `RouteGuard` and `SchemaGuard`
 */
export type ChainGuard = (caller: RequestContext, request: { readonly method: string }) => void

/**
 * Binds a guard at its place in a chain, once for each route. Undefined: nothing is behind it, so there is nothing to guard.
 *
 * @param onUndefined is called if no rule, permission or role answers to the requirement
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: the guard goes by the rule of a route, and which route answers
 *   cannot be told, or it has a pattern; TENANCY_CONFIG_INVALID: an unknown migration
 */
export type BindChainGuard = (
  chain: readonly ChainEntry[],
  at: number,
  demands: GuardDemands,
  onUndefined: (message: string) => void,
) => ChainGuard | undefined

/** Makes the function that binds a guard. */
export function createChainGuard(
  requirement: ChainRequirement,
  readRoute: (entry: ChainEntry) => RegisteredRoute,
): BindChainGuard {
  const known = new WeakMap<ChainEntry, ChainGuard>()
  return (chain, at, { rules, schema }, onUndefined) => {
    const own = chain[at]
    const { routes, mayAnswer } = readChain(chain, at)
    if (own === undefined || !mayAnswer) return undefined
    const others = routes.map(({ entry }) => entry)
    const entry = requirement.kind === 'own-route' ? routeOf(own, others) : own
    const bound =
      known.get(entry) ??
      (requirement.kind === 'schema'
        ? bindSchemaGuard(requirement.migration, schema)
        : bindRouteGuard(requirement, readRoute(entry), rules, (message) =>
            onUndefined(`Route ${entry.method} ${entry.url}: ${message}`),
          ))
    known.set(entry, bound)
    return bound
  }
}

/** Finds the one route that a guard is for: that of its own registration, or the only one behind it. */
function routeOf(own: ChainEntry, others: readonly ChainEntry[]): ChainEntry {
  const [first] = others
  if (first !== undefined && (isSameRoute(first, own) || others.every((each) => isSameRoute(each, first)))) return first
  const found = others.map(({ method, url }) => `${method} ${url}`).join(', ')
  throw new TenancyError(
    'TENANCY_ACCESS_DEFINITION_INVALID',
    `requirePermission() at ${own.method} ${own.url} cannot tell which route answers (${found || 'middleware only'}). ` +
      `Put it on the route, or name the rule: requirePermission('/reports/{id}', 'GET')`,
  )
}
