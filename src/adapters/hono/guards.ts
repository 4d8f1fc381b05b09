import type { Context, MiddlewareHandler } from 'hono'
import type { RegisteredPermission, RegisteredRole } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant } from '../../core/model.js'
import { type BindChainGuard, type ChainRequirement, createChainGuard } from '../../http/routes/chain-guard.js'
import { readRequirement } from '../../http/routes/requirement.js'
import { chainOf, partKey, readRoute } from './chain.js'
import { answerable } from './error-handler.js'
import { stateOf } from './request-state.js'

/** A middleware that lets a request pass or refuses it. A refusal goes to `app.onError`, like any other error. */
export type TenancyGuard = MiddlewareHandler<{ Variables: { tenant: Tenant } }>

export const bindKey: unique symbol = Symbol('tenants2fast.bind')

/**
 * Lets a request pass if the member holds a permission. Deny wins, and the default is deny.
 *
 * `requirePermission('/reports', 'GET')`: any permission of the route rule for that path and method.
 * `requirePermission('reports:read')`: the permission of that name. A misspelled name does not compile if the application has
 * registered its access definition (`Register`).
 * `requirePermission()`: any permission of the guarded route's own rule, with `/x/:id` read as `/x/{id}`. By `app.use()` it
 * goes by the one route behind it that may answer, and fails where there are several. It also fails on routes with wildcards,
 * regular expressions or optional parameters.
 *
 * A permission or rule that nobody has defined refuses everybody, and is logged; `assertGuarded(app)` finds it before the
 * first request.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: other arguments. In a request: TENANCY_ACCESS_DENIED,
 * TENANCY_AUTH_REQUIRED, TENANCY_REQUEST_PATH_UNKNOWN (no route, for a guard by `app.use()`), TENANCY_CONTEXT_MISSING (the
 * middleware has not run), TENANCY_ACCESS_DEFINITION_INVALID (the route has no rule of its own that can be told)
 * @example
 * app.get('/reports', requirePermission('/reports', 'GET'), handler)
 */
export function requirePermission(): TenancyGuard
export function requirePermission(permission: RegisteredPermission): TenancyGuard
export function requirePermission(path: string, method: string): TenancyGuard
export function requirePermission(permissionOrPath?: string, method?: string): TenancyGuard {
  return makeGuard(readRequirement(permissionOrPath, method))
}

/**
 * Lets a request pass if the member has this built-in role, such as `Owner`, directly or included in another one. A tenant's
 * own role does not count, whatever its name.
 *
 * @throws {@link TenancyError} In a request: TENANCY_ACCESS_DENIED, TENANCY_AUTH_REQUIRED, TENANCY_REQUEST_PATH_UNKNOWN,
 * TENANCY_CONTEXT_MISSING, TENANCY_ACCESS_DEFINITION_INVALID (the access definition has no such role)
 * @example
 * app.delete('/tenant', requireRole('Owner'), handler)
 */
export function requireRole(name: RegisteredRole): TenancyGuard {
  return makeGuard({ kind: 'role', name })
}

/**
 * Lets a request pass if the schema of its tenant's database has a migration: for a route that needs a column which a
 * deployment is still adding to the fleet. Costs no query. A tenant without it is answered 503 with `Retry-After`.
 *
 * @param migration its id, as its source has it, such as `0007_orders_note.sql`
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: no text. In a request: TENANCY_DATABASE_SCHEMA_BEHIND,
 * TENANCY_AUTH_REQUIRED, TENANCY_TENANT_NONE, TENANCY_REQUEST_PATH_UNKNOWN, TENANCY_CONTEXT_MISSING, TENANCY_CONFIG_INVALID
 * (the schema of this process has no such migration)
 * @example
 * app.get('/orders/:id/note', requirePermission('orders:read'), requireSchema('0007_orders_note.sql'), handler)
 */
export function requireSchema(migration: string): TenancyGuard {
  if (typeof migration !== 'string' || migration === '') {
    throw new TenancyError('TENANCY_CONFIG_INVALID', "requireSchema takes a migration's id: '0007_orders_note.sql'")
  }
  return makeGuard({ kind: 'schema', migration })
}

function makeGuard(requirement: ChainRequirement): TenancyGuard {
  const bind = createChainGuard(requirement, readRoute)
  const guard: TenancyGuard = (c, next) => {
    try {
      check(c, bind)
    } catch (error) {
      throw answerable(error)
    }
    return next()
  }
  return Object.assign(guard, { [partKey]: { kind: 'own' }, [bindKey]: bind })
}

function check(c: Context, bind: BindChainGuard): void {
  const state = stateOf(c)
  if (state?.scope === undefined) {
    throw new TenancyError(
      'TENANCY_CONTEXT_MISSING',
      'A guard needs the middleware before it: app.use(tenancyMiddleware(…))',
    )
  }
  const { demands, logger, scope, requestId } = state
  const bound = bind(chainOf(c), c.req.routeIndex, demands, (message) => logger.error({ requestId }, message))
  if (bound === undefined) throw new TenancyError('TENANCY_REQUEST_PATH_UNKNOWN')
  bound(scope.context, c.req)
}
