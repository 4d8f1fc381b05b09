import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  HookHandlerDoneFunction,
  RequestPayload,
  RouteOptions,
} from 'fastify'
import type { AccessRules, RegisteredPermission, RegisteredRole } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import { readRequirement, type RouteRequirement } from '../../http/routes/requirement.js'
import { bindRouteGuard } from '../../http/routes/route-guard.js'
import { scopeKey, tenancyKey } from './request-state.js'
import { readRoute } from './route-segments.js'

/**
 * A Fastify hook that lets a request pass or refuses it, at `onRequest`, `preParsing`, `preValidation` or `preHandler`. A
 * refusal goes to the error handler of the route, as any other error.
 */
export interface GuardHook {
  (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void
  /** At `preParsing` the payload comes before. */
  (request: FastifyRequest, reply: FastifyReply, payload: RequestPayload, done: HookHandlerDoneFunction): void
}

type Check = (request: FastifyRequest) => void
type Rules = Pick<AccessRules, 'guard' | 'knows'>

const requirementKey = Symbol('tenants2fast.requirement')
const hookNames = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/**
 * Lets a request pass if the member holds what a route rule or permission asks for. Deny wins, default deny.
 *
 * `requirePermission('/reports', 'GET')`: what the route rule of that path and method asks for.
 * `requirePermission('reports:read')`: the permission of that name; misspelled, it does not compile where the application
 * has registered its access definition (`Register`).
 * `requirePermission()`: what the rule of the route it guards asks for, `/x/:id` read as `/x/{id}`. Not for routes
 * with wildcards, regular expressions, or several parameters in a segment: those fail when they are registered.
 *
 * A permission or rule that nobody has defined fails when its route is registered (plugin option `undefinedAccess`), and
 * so does a guard at a later hook, such as `onSend`.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID when called with something else, and when the route is
 * registered; to a request: TENANCY_ACCESS_DENIED, TENANCY_AUTH_REQUIRED, TENANCY_REQUEST_PATH_UNKNOWN (no route; the guard
 * stands on a whole scope), TENANCY_CONTEXT_MISSING (the plugin is not registered)
 * @example
 * app.get('/reports', { preHandler: requirePermission('/reports', 'GET') }, handler)
 */
export function requirePermission(): GuardHook
export function requirePermission(permission: RegisteredPermission): GuardHook
export function requirePermission(path: string, method: string): GuardHook
export function requirePermission(permissionOrPath?: string, method?: string): GuardHook {
  return makeHook(readRequirement(permissionOrPath, method))
}

/**
 * Lets a request pass if the member has this built-in role, such as `Owner`, directly or included in another one. A role
 * that a tenant has made does not count, whatever its name.
 *
 * A name that the application's access definition does not have fails when its route is registered; misspelled, it does
 * not compile where the definition is registered (`Register`). So does, without a definition of the application's, a name
 * that no built-in role has (plugin option `undefinedAccess`).
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID when the route is registered; to a request:
 * TENANCY_ACCESS_DENIED, TENANCY_AUTH_REQUIRED, TENANCY_REQUEST_PATH_UNKNOWN, TENANCY_CONTEXT_MISSING
 * @example
 * app.delete('/tenant', { preHandler: requireRole('Owner') }, handler)
 */
export function requireRole(name: RegisteredRole): GuardHook {
  return makeHook({ kind: 'role', name })
}

/**
 * The hook as the application holds it. Usually {@link bindGuards} replaces it by a bound one when its route is
 * registered; where that was not possible (added by `addHook`, or before the plugin loaded), it binds at first use.
 */
function makeHook(requirement: RouteRequirement): GuardHook {
  const boundByRoute = new WeakMap<object, Check>()
  const hook = hookOf((request) => {
    const tenancy = request[tenancyKey]
    if (tenancy === undefined) {
      throw new TenancyError('TENANCY_CONTEXT_MISSING', 'A guard needs the plugin: app.register(tenancyPlugin, …)')
    }
    // No route, no rule: what a scope's guard stands before does not exist.
    if (request.is404) throw new TenancyError('TENANCY_REQUEST_PATH_UNKNOWN')
    const { config } = request.routeOptions
    let bound = boundByRoute.get(config)
    if (bound === undefined) {
      bound = bindCheck(requirement, tenancy.rules, config, (message) =>
        request.server.log.error({ route: config.url, method: config.method }, message),
      )
      boundByRoute.set(config, bound)
    }
    bound(request)
  })
  Object.defineProperty(hook, 'name', { value: nameOf(requirement) })
  return Object.assign(hook, { [requirementKey]: requirement })
}

/**
 * Binds the guards of a route to the rule set, once, when the route is registered.
 *
 * @param onUndefined is told of a requirement that nothing in the rule set answers to
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: `requirePermission()` on a route without a template;
 * `requireRole` of a role that the application's access definition does not have; a guard that is no hook before the
 * handler
 */
export function bindGuards(route: RouteOptions, rules: Rules, onUndefined: (message: string) => void): void {
  for (const [name, value] of Object.entries(route) as [string, unknown][]) {
    if (!isGuardHook(name) && [value].flat().some(isGuard)) throw misplaced(`Route ${route.url}`, name)
  }
  for (const name of hookNames) {
    const hooks = route[name]
    if (hooks === undefined) continue
    const bound = [hooks].flat().map((hook) => {
      const requirement = (hook as { [requirementKey]?: RouteRequirement })[requirementKey]
      return requirement === undefined ? hook : hookOf(bindCheck(requirement, rules, route, onUndefined))
    })
    Object.assign(route, { [name]: bound })
  }
}

/**
 * Checks the guards that are bound at first use, by the names of hooks that `printRoutes` shows. Those of a route's own
 * rule are left out: which rule that is, the first request tells.
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID
 */
export function checkUnboundGuards(app: FastifyInstance, rules: Rules, onUndefined: (message: string) => void): void {
  const shown = app.printRoutes({ includeHooks: true, commonPrefix: false })
  for (const [, name = ''] of shown.matchAll(/• \((\w+)\) .*tenancyGuard</g)) {
    if (!isGuardHook(name)) throw misplaced('A scope or route', name)
  }
  const names = new Set([...shown.matchAll(/tenancyGuard<([^>]*)>/g)].map(([, encoded = '']) => encoded))
  for (const encoded of names) {
    const requirement = JSON.parse(decodeURIComponent(encoded)) as RouteRequirement
    if (requirement.kind !== 'own-route') bindCheck(requirement, rules, { url: '', method: [] }, onUndefined)
  }
}

function isGuardHook(name: string): boolean {
  return (hookNames as readonly string[]).includes(name)
}

function isGuard(value: unknown): boolean {
  return typeof value === 'function' && requirementKey in value
}

/** Where the handler has run already, or never does, a guard would protect nothing. */
function misplaced(where: string, name: string): TenancyError {
  return new TenancyError(
    'TENANCY_ACCESS_DEFINITION_INVALID',
    `${where} has a guard at ${name}, where it would not keep anybody from the handler. Put it at ${hookNames.join(', ')}`,
  )
}

function nameOf(requirement: RouteRequirement): string {
  return `tenancyGuard<${encodeURIComponent(JSON.stringify(requirement))}>`
}

/** Binds a requirement to a route's requests. */
function bindCheck(
  requirement: RouteRequirement,
  rules: Rules,
  route: Pick<RouteOptions, 'url' | 'method'>,
  onUndefined: (message: string) => void,
): Check {
  const guard = bindRouteGuard(requirement, readRoute(route), rules, onUndefined)
  return (request) => {
    const scope = request[scopeKey]
    if (scope === null) throw new TenancyError('TENANCY_CONTEXT_MISSING', 'The guard ran before the tenancy plugin')
    guard(scope.context, request)
  }
}

function hookOf(check: Check): GuardHook {
  return (request: FastifyRequest, _reply: FastifyReply, third: unknown, fourth?: HookHandlerDoneFunction) => {
    const done = fourth ?? (third as HookHandlerDoneFunction)
    try {
      check(request)
    } catch (error) {
      return done(error as Error)
    }
    done()
  }
}
