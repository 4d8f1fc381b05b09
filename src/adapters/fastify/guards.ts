import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  HookHandlerDoneFunction,
  RequestPayload,
  RouteOptions,
} from 'fastify'
import type { AccessRules, Guard, RegisteredPermission, RegisteredRole, Requirement } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import { describeRequirement, enforce, readRequirement, type RouteRequirement } from '../../http/requirement.js'
import { tenancyKey, scopeKey } from './request-state.js'

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
type Route = Pick<RouteOptions, 'url' | 'method'>

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

function bindCheck(
  requirement: RouteRequirement,
  rules: Rules,
  route: Route,
  onUndefined: (message: string) => void,
): Check {
  const report = (resolved: Requirement) =>
    onUndefined(`Nothing in the access rules answers to ${describeRequirement(resolved)}: the guard refuses everybody`)
  if (requirement.kind !== 'own-route') {
    const guard = rules.guard(requirement)
    if (!rules.knows(requirement)) report(requirement)
    return (request) => enforceIn(request, guard)
  }
  const path = templateOf(route.url)
  // A HEAD answers what a GET would, less the body (RFC 9110, 9.3.2): the same rule decides.
  const requirements = [route.method]
    .flat()
    .map((method) => ({ kind: 'route', path, method: method === 'HEAD' ? 'GET' : method }) as const)
  const [first] = requirements
  // On a route of several methods, those without a rule refuse everybody.
  if (first !== undefined && !requirements.some((each) => rules.knows(each))) report(first)
  const guards = new Map([route.method].flat().map((method, at) => [method, guardAt(requirements, at, rules)]))
  const [only, ...others] = guards.values()
  // Most routes have one method, and Fastify's router has compared it already.
  return others.length === 0
    ? (request) => enforceIn(request, only)
    : (request) => enforceIn(request, guards.get(request.method))
}

function guardAt(requirements: readonly Requirement[], at: number, rules: Rules): Guard | undefined {
  const requirement = requirements[at]
  return requirement && rules.guard(requirement)
}

function enforceIn(request: FastifyRequest, guard: Guard | undefined): void {
  const work = request[scopeKey]
  if (work === null) throw new TenancyError('TENANCY_CONTEXT_MISSING', 'The guard ran before the tenancy plugin')
  if (guard === undefined) throw new TenancyError('TENANCY_ACCESS_DENIED')
  enforce(guard, work.context)
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

/** A Fastify route as a rule's path: `/x/:id` becomes `/x/{id}`. */
function templateOf(url: string): string {
  const segments = url.split('/').map((segment) => {
    // `::` is Fastify's way to write a colon.
    const literal = segment.replaceAll('::', '')
    if (!literal.includes(':') && !literal.includes('*')) return segment.replaceAll('::', ':')
    const name = /^:([A-Za-z0-9_]+)$/.exec(segment)?.[1]
    if (name === undefined) {
      throw new TenancyError(
        'TENANCY_ACCESS_DEFINITION_INVALID',
        `requirePermission() can't be used on ${JSON.stringify(url)}: a segment is one ":name" or literal, without ` +
          `wildcard, regular expression or "?". Name the rule: requirePermission('/reports/{id}', 'GET')`,
      )
    }
    return `{${name}}`
  })
  return segments.join('/')
}
