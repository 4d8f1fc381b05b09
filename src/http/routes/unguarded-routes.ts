import type { RouteNeeds } from '../../core/request-path.js'
import type { GuardDemands, BindChainGuard } from './chain-guard.js'
import type { PlanChain } from './chain-plan.js'
import type { ChainEntry } from './handler-chain.js'

/** An entry of an application's routes, as they are registered. */
export interface RegisteredEntry {
  readonly entry: ChainEntry
  /** Of the middleware that binds requests. */
  readonly middleware?: { readonly plan: PlanChain; readonly demands: GuardDemands } | undefined
  /** Of a guard. */
  readonly bind?: BindChainGuard | undefined
}

/** What is wrong with the routes of an application. */
export interface RouteFindings {
  /** Routes that the middleware does not run before. */
  readonly unbound: readonly string[]
  /** Routes without a guard that have not said what they need: every member of a tenant may use them. */
  readonly unguarded: readonly string[]
}

/**
 * Looks at the routes of an application before its first request. Binds its guards and reads the tenants of its paths.
 *
 * @param onUndefined is called for a guard that nothing in the access rules answers to
 * @throws {@link TenancyError} TENANCY_ROUTE_TENANT_UNREADABLE, TENANCY_ACCESS_DEFINITION_INVALID, TENANCY_CONFIG_INVALID
 */
export function findUnguarded(
  registered: readonly RegisteredEntry[],
  onUndefined: (message: string) => void,
): RouteFindings {
  const unbound = new Set<string>()
  const unguarded = new Set<string>()
  for (const [index, { entry }] of registered.entries()) {
    const { part, method, url } = entry
    if (part.kind !== 'handler' || (method === 'ALL' && !part.ends)) continue
    const before = registered
      .slice(0, index + 1)
      .filter((each) => each.entry.method === 'ALL' || each.entry.method === method)
      .filter((each) => covers(each.entry.url, url))
    const chain = before.map((each) => each.entry)
    const at = before.findIndex(({ middleware }) => middleware !== undefined)
    const { plan, demands } = before[at]?.middleware ?? {}
    if (plan === undefined || demands === undefined) {
      unbound.add(`${method} ${url}`)
      continue
    }
    plan(chain, at)
    const guards = before.flatMap(({ bind }, place) => (bind === undefined ? [] : [{ bind, place }]))
    for (const { bind, place } of guards) bind(chain, place, demands, onUndefined)
    const said: RouteNeeds[] = chain.flatMap((each) => (each.part.kind === 'needs' ? [each.part.needs] : []))
    if (guards.length === 0 && said.length === 0) unguarded.add(`${method} ${url}`)
  }
  return { unbound: [...unbound], unguarded: [...unguarded] }
}

/** Whether every address of a route is also one of a pattern. False where that cannot be told. */
function covers(pattern: string, url: string): boolean {
  if (pattern === url || pattern === '*' || pattern === '/*') return true
  const [own, other] = [pattern.split('/'), url.split('/')]
  const isOpen = own.at(-1) === '*'
  if (isOpen) own.pop()
  if (isOpen ? other.length < own.length : other.length !== own.length) return false
  return own.every((segment, index) => {
    const given = other[index] ?? ''
    // A regular expression may match several segments (`:path{.+}`), and an optional one none.
    if (/[?{*]/.test(segment + given)) return segment === given
    return segment.startsWith(':') ? given !== '' : segment === given
  })
}
