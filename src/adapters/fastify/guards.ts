import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  HookHandlerDoneFunction,
  RequestPayload,
  RouteOptions,
} from 'fastify'
import type { RegisteredPermission, RegisteredRole } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import { readRequirement, type RouteRequirement } from '../../http/routes/requirement.js'
import type { HttpTenancy } from '../../http/http-tenancy.js'
import { bindRouteGuard } from '../../http/routes/route-guard.js'
import { bindSchemaGuard } from '../../http/routes/schema-guard.js'
import { scopeKey, tenancyKey } from './request-state.js'
import { readRoute } from './route-segments.js'

/**
 * A Fastify hook that lets a request pass or refuses it, at `onRequest`, `preParsing`, `preValidation` or `preHandler`. A
 * refusal goes to the error handler of the route, like any other error.
 */
export interface GuardHook {
  (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void
  /** The form at `preParsing`, where the payload precedes `done`. */
  (request: FastifyRequest, reply: FastifyReply, payload: RequestPayload, done: HookHandlerDoneFunction): void
}

type Check = (request: FastifyRequest) => void
type Demands = Pick<HttpTenancy, 'rules' | 'schema'>
/** What a guard asks for. */
type Requirement = RouteRequirement | { readonly kind: 'schema'; readonly migration: string }

const requirementKey = Symbol('tenants2fast.requirement')
const hookNames = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/**
 * Lets a request pass if the member holds a permission. Deny wins, and the default is deny.
 *
 * `requirePermission('/reports', 'GET')`: any permission of the route rule for that path and method.
 * `requirePermission('reports:read')`: the permission of that name. A misspelled name does not compile if the application has
 * registered its access definition (`Register`).
 * `requirePermission()`: any permission of the guarded route's own rule, with `/x/:id` read as `/x/{id}`. Routes with
 * wildcards, regular expressions or several parameters in a segment then fail when they are registered.
 *
 * A permission or rule that nobody has defined fails when its route is registered (plugin option `undefinedAccess`). So does a
 * guard at a later hook, such as `onSend`.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: other arguments, or a failure when the route is registered.
 * In a request: TENANCY_ACCESS_DENIED, TENANCY_AUTH_REQUIRED, TENANCY_REQUEST_PATH_UNKNOWN (no route, for a guard on a whole
 * scope), TENANCY_CONTEXT_MISSING (the plugin is not registered)
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
 * Lets a request pass if the member has this built-in role, such as `Owner`, directly or included in another one. A tenant's
 * own role does not count, whatever its name.
 *
 * A role that the application's access definition does not have fails when its route is registered, and does not compile if
 * the definition is registered (`Register`). Without a definition, a name that no built-in role has fails in the same way
 * (plugin option `undefinedAccess`).
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID when the route is registered. In a request:
 * TENANCY_ACCESS_DENIED, TENANCY_AUTH_REQUIRED, TENANCY_REQUEST_PATH_UNKNOWN, TENANCY_CONTEXT_MISSING
 * @example
 * app.delete('/tenant', { preHandler: requireRole('Owner') }, handler)
 */
export function requireRole(name: RegisteredRole): GuardHook {
  return makeHook({ kind: 'role', name })
}

/**
 * Lets a request pass if the schema of its tenant's database has a migration: for a route that needs a column which a
 * deployment is still adding to the fleet. Costs no query. A tenant without it is answered 503 with `Retry-After`, until it
 * has been migrated and this process has heard of it (within `TENANT_MAX_STALENESS_MS`).
 *
 * A migration that the schema of this process does not have fails when its route is registered.
 *
 * @param migration its id, as its source has it, such as `0007_orders_note.sql`
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: no text, or when the route is registered. In a request:
 * TENANCY_DATABASE_SCHEMA_BEHIND, TENANCY_AUTH_REQUIRED, TENANCY_TENANT_NONE, TENANCY_REQUEST_PATH_UNKNOWN,
 * TENANCY_CONTEXT_MISSING
 * @example
 * const preHandler = [requirePermission('orders:read'), requireSchema('0007_orders_note.sql')]
 * app.get('/orders/:id/note', { preHandler }, handler)
 */
export function requireSchema(migration: string): GuardHook {
  if (typeof migration !== 'string' || migration === '') {
    throw new TenancyError('TENANCY_CONFIG_INVALID', "requireSchema takes a migration's id: '0007_orders_note.sql'")
  }
  return makeHook({ kind: 'schema', migration })
}

/**
 * Makes the hook that the application gets. {@link bindGuards} usually replaces it with a bound one when its route is
 * registered. Where that is not possible (added by `addHook`, or before the plugin loaded), it binds at first use.
 */
function makeHook(requirement: Requirement): GuardHook {
  const boundByRoute = new WeakMap<object, Check>()
  const hook = hookOf((request) => {
    const tenancy = request[tenancyKey]
    if (tenancy === undefined) {
      throw new TenancyError('TENANCY_CONTEXT_MISSING', 'A guard needs the plugin: app.register(tenancyPlugin, …)')
    }
    // Without a route there is nothing to guard.
    if (request.is404) throw new TenancyError('TENANCY_REQUEST_PATH_UNKNOWN')
    const { config } = request.routeOptions
    let bound = boundByRoute.get(config)
    if (bound === undefined) {
      bound = bindCheck(requirement, tenancy, config, (message) =>
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
 * @param onUndefined is called for a requirement that nothing in the rule set answers to
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: `requirePermission()` on a route whose URL no rule can have;
 * `requireRole` of a role that the application's access definition does not have; a guard that is not a hook before the
 * handler. TENANCY_CONFIG_INVALID: `requireSchema` of an unknown migration
 */
export function bindGuards(route: RouteOptions, demands: Demands, onUndefined: (message: string) => void): void {
  for (const [name, value] of Object.entries(route) as [string, unknown][]) {
    if (!isGuardHook(name) && [value].flat().some(isGuard)) throw misplaced(`Route ${route.url}`, name)
  }
  for (const name of hookNames) {
    const hooks = route[name]
    if (hooks === undefined) continue
    const bound = [hooks].flat().map((hook) => {
      const requirement = (hook as { [requirementKey]?: Requirement })[requirementKey]
      return requirement === undefined ? hook : hookOf(bindCheck(requirement, demands, route, onUndefined))
    })
    Object.assign(route, { [name]: bound })
  }
}

/**
 * Checks the guards that are bound at first use. It finds them by the names of hooks in `printRoutes`. Guards by a route's own
 * rule are left out, because only the first request tells the route.
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID
 */
export function checkUnboundGuards(
  app: FastifyInstance,
  demands: Demands,
  onUndefined: (message: string) => void,
): void {
  const shown = app.printRoutes({ includeHooks: true, commonPrefix: false })
  for (const [, name = ''] of shown.matchAll(/• \((\w+)\) .*tenancyGuard</g)) {
    if (!isGuardHook(name)) throw misplaced('A scope or route', name)
  }
  const names = new Set([...shown.matchAll(/tenancyGuard<([^>]*)>/g)].map(([, encoded = '']) => encoded))
  for (const encoded of names) {
    const requirement = JSON.parse(decodeURIComponent(encoded)) as Requirement
    if (requirement.kind !== 'own-route') bindCheck(requirement, demands, { url: '', method: [] }, onUndefined)
  }
}

function isGuardHook(name: string): boolean {
  return (hookNames as readonly string[]).includes(name)
}

function isGuard(value: unknown): boolean {
  return typeof value === 'function' && requirementKey in value
}

/** A guard protects nothing at a hook that runs after the handler, or not at all. */
function misplaced(where: string, name: string): TenancyError {
  return new TenancyError(
    'TENANCY_ACCESS_DEFINITION_INVALID',
    `${where} has a guard at ${name}, where it would not keep anybody from the handler. Put it at ${hookNames.join(', ')}`,
  )
}

function nameOf(requirement: Requirement): string {
  return `tenancyGuard<${encodeURIComponent(JSON.stringify(requirement))}>`
}

/** Binds a requirement to a route's requests. */
function bindCheck(
  requirement: Requirement,
  { rules, schema }: Demands,
  route: Pick<RouteOptions, 'url' | 'method'>,
  onUndefined: (message: string) => void,
): Check {
  const guard =
    requirement.kind === 'schema'
      ? bindSchemaGuard(requirement.migration, schema)
      : bindRouteGuard(requirement, readRoute(route), rules, onUndefined)
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
