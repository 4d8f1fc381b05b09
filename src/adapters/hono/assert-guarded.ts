import type { RouterRoute } from 'hono/types'
import { findTargetHandler } from 'hono/utils/handler'
import { TenancyError } from '../../core/errors/errors.js'
import type { BindChainGuard } from '../../http/routes/chain-guard.js'
import { reportUndefinedAccess } from '../../http/routes/undefined-access.js'
import { findUnguarded } from '../../http/routes/unguarded-routes.js'
import { entryOf } from './chain.js'
import { bindKey } from './guards.js'
import { factsKey, type MiddlewareFacts } from './tenancy-middleware.js'

/** Options of {@link assertGuarded}. */
export interface AssertGuardedOptions {
  /** Whether every route has to have a guard, or to say what it needs. Default: false. */
  readonly strict?: boolean | undefined
}

/**
 * Checks the routes of an application before its first request, because Hono tells a middleware nothing of them: the middleware
 * runs before each, every guard names something that is defined, and the path of each names its tenant readably. Middleware
 * (`app.use`) is not looked at.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID (names the routes that nothing guards), TENANCY_ROUTE_TENANT_UNREADABLE,
 * TENANCY_ACCESS_DEFINITION_INVALID
 * @example
 * assertGuarded(app, { strict: true })
 * serve(app)
 */
export function assertGuarded(
  app: { readonly routes: readonly RouterRoute[] },
  options: AssertGuardedOptions = {},
): void {
  const registered = app.routes.map((route) => {
    const { [factsKey]: middleware, [bindKey]: bind } = findTargetHandler(route.handler) as {
      readonly [factsKey]?: MiddlewareFacts
      readonly [bindKey]?: BindChainGuard
    }
    return { entry: entryOf(route), middleware, bind }
  })
  const facts = registered.find(({ middleware }) => middleware !== undefined)?.middleware
  if (facts === undefined)
    throw new TenancyError('TENANCY_CONFIG_INVALID', 'assertGuarded: the application has no tenancyMiddleware')
  const onUndefined = reportUndefinedAccess(facts.undefinedAccess, (message) => facts.logger.warn({}, message))
  const { unbound, unguarded } = findUnguarded(registered, onUndefined)
  const problems = [
    ...(unbound.length === 0 ? [] : [`tenancyMiddleware does not run before ${unbound.join(', ')}: register it first`]),
    ...(unguarded.length === 0 || options.strict !== true
      ? []
      : [`${unguarded.join(', ')} have no guard: add requirePermission(), or say what they need: needs('tenant')`]),
  ]
  if (problems.length > 0) throw new TenancyError('TENANCY_CONFIG_INVALID', `assertGuarded: ${problems.join('; ')}`)
}
