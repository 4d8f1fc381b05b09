import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import type { AccessRules, Guard, RegisteredPermission, RegisteredRole, Requirement } from '../../core/access.js'
import { TenancyError } from '../../core/errors.js'
import { describeRequirement, enforce, readRequirement, type RouteRequirement } from '../../http/requirement.js'
import { sendProblem, tenancyKey, workKey } from './request-state.js'

/** A Fastify hook that lets a request pass or refuses it. */
export type GuardHook = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

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
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID when called with something else; to a request:
 * TENANCY_ACCESS_DENIED, TENANCY_AUTH_REQUIRED, TENANCY_CONTEXT_MISSING (the plugin is not registered)
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
 * not compile where the definition is registered (`Register`). Without a definition of the application's, a name that no
 * built-in role has logs a warning and lets nobody pass.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID when the route is registered; to a request:
 * TENANCY_ACCESS_DENIED, TENANCY_AUTH_REQUIRED, TENANCY_CONTEXT_MISSING (the plugin is not registered)
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
  const boundByRoute = new WeakMap<object, GuardHook>()
  const hook: GuardHook = (request, reply, done) => {
    const tenancy = request[tenancyKey]
    if (tenancy === undefined) {
      throw new TenancyError('TENANCY_CONTEXT_MISSING', 'A guard needs the plugin: app.register(tenancyPlugin, …)')
    }
    const { config } = request.routeOptions
    let bound = boundByRoute.get(config)
    if (bound === undefined) {
      try {
        bound = bind(requirement, tenancy.rules, { url: config.url, method: config.method })
      } catch (error) {
        return sendProblem(error, request, reply, done)
      }
      boundByRoute.set(config, bound)
    }
    bound(request, reply, done)
  }
  return Object.assign(hook, { [requirementKey]: requirement })
}

/**
 * Binds the guards of a route to the rule set, once, when the route is registered.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: `requirePermission()` on a route without a template;
 * `requireRole` of a role that the application's access definition does not have
 */
export function bindGuards(route: RouteOptions, rules: Rules, warn: (message: string) => void): void {
  for (const name of hookNames) {
    const hooks = route[name]
    if (hooks === undefined) continue
    const bound = [hooks].flat().map((hook) => {
      const requirement = (hook as { [requirementKey]?: RouteRequirement })[requirementKey]
      return requirement === undefined ? hook : bind(requirement, rules, route, warn)
    })
    Object.assign(route, { [name]: bound })
  }
}

function bind(requirement: RouteRequirement, rules: Rules, route: Route, warn?: (message: string) => void): GuardHook {
  const guardFor = (resolved: Requirement): Guard => {
    if (!rules.knows(resolved)) {
      warn?.(`Nothing in the access rules answers to ${describeRequirement(resolved)}: the route refuses everybody`)
    }
    return rules.guard(resolved)
  }
  if (requirement.kind !== 'own-route') return hookOf(guardFor(requirement))
  const path = templateOf(route.url)
  const guards = new Map(
    // A HEAD answers what a GET would, less the body (RFC 9110, 9.3.2): the same rule decides.
    [route.method]
      .flat()
      .map((method) => [method, guardFor({ kind: 'route', path, method: method === 'HEAD' ? 'GET' : method })]),
  )
  const [only, ...others] = guards.values()
  // Most routes have one method, and Fastify's router has compared it already.
  if (others.length === 0) return hookOf(only)
  return (request, reply, done) => check(guards.get(request.method), request, reply, done)
}

function hookOf(guard: Guard | undefined): GuardHook {
  return (request, reply, done) => check(guard, request, reply, done)
}

function check(guard: Guard | undefined, request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) {
  try {
    const work = request[workKey]
    if (work === null) throw new TenancyError('TENANCY_CONTEXT_MISSING', 'The guard ran before the tenancy plugin')
    if (guard === undefined) throw new TenancyError('TENANCY_ACCESS_DENIED')
    enforce(guard, work.context)
  } catch (error) {
    return sendProblem(error, request, reply, done)
  }
  done()
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
