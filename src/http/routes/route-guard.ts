import type { AccessRules, Guard, MemberAccess, Requirement } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { RouteRequirement } from './requirement.js'
import { type RegisteredRoute, rulePathOf } from './route-segment.js'

/** The part of a request's context that a guard reads. */
interface Caller {
  readonly user?: unknown
  readonly access: MemberAccess | undefined
}

/**
 * Returns if the caller may pass.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED, TENANCY_TENANT_NONE (no user or tenant in the context),
 * TENANCY_ACCESS_DENIED
 */
export type RouteGuard = (caller: Caller, request: { readonly method: string }) => void

/**
 * Binds a requirement to the rule set for one route, once, so that each request costs a few comparisons.
 *
 * @param onUndefined is called with a message if no rule, permission or role answers to the requirement
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: the route's own rule on a route with a pattern; a role that
 * the application's access definition does not have
 */
export function bindRouteGuard(
  requirement: RouteRequirement,
  route: RegisteredRoute,
  rules: Pick<AccessRules, 'guard' | 'knows'>,
  onUndefined: (message: string) => void,
): RouteGuard {
  const report = (resolved: Requirement) =>
    onUndefined(`Nothing in the access rules answers to ${describe(resolved)}: the guard refuses everybody`)
  if (requirement.kind !== 'own-route') {
    const guard = rules.guard(requirement)
    if (!rules.knows(requirement)) report(requirement)
    return (caller) => enforce(guard, caller)
  }
  const path = rulePathOf(route)
  const requirements = new Map(route.methods.map((method) => [method, ruleOf(method, path)]))
  const [first] = requirements.values()
  // On a route of several methods, those without a rule refuse everybody.
  if (first !== undefined && ![...requirements.values()].some((each) => rules.knows(each))) report(first)
  const guards = new Map([...requirements].map(([method, each]) => [method, rules.guard(each)]))
  const [only, ...others] = guards.values()
  // Most routes have one method, which the framework's router has compared already.
  return others.length === 0
    ? (caller) => enforce(only, caller)
    : (caller, { method }) => enforce(guards.get(method), caller)
}

/** HEAD answers what GET would, without the body (RFC 9110, 9.3.2), so the rule of GET decides. */
function ruleOf(method: string, path: string): Requirement {
  return { kind: 'route', path, method: method === 'HEAD' ? 'GET' : method }
}

function describe(requirement: Requirement): string {
  if (requirement.kind === 'route') return `${requirement.method} ${requirement.path}`
  return `${requirement.kind} ${requirement.name}`
}

function enforce(guard: Guard | undefined, { access, user }: Caller): void {
  if (guard === undefined) throw new TenancyError('TENANCY_ACCESS_DENIED')
  if (access !== undefined && guard.allows(access)) return
  // A service account has access, and is no user.
  if (access !== undefined) throw new TenancyError('TENANCY_ACCESS_DENIED')
  throw new TenancyError(user === undefined ? 'TENANCY_AUTH_REQUIRED' : 'TENANCY_TENANT_NONE')
}
