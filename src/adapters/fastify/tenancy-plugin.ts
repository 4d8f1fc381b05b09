import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type RequestContext, runInScope, tryGetScope } from '../../core/context/current.js'
import { TenancyError } from '../../core/errors/errors.js'
import { anonymousContext, type RequestPipeline } from '../../http/pipeline.js'
import { mountAccounts } from './accounts.js'
import { decorateRequests } from './decorators.js'
import { useErrorHandler } from './error-handler.js'
import { bindGuards, checkUnboundGuards } from './guards.js'
import { resolveOptions, type TenancyPluginOptions } from './options.js'
import { isPreflight } from './preflight.js'
import { identifyLogLines } from './request-log.js'
import { preflightKey, scopeKey } from './request-state.js'
import { FastifyRequestScope } from './request-scope.js'
import { createRoutePlans, type RoutePlans } from './route-plan.js'
import { closeAfterRefusedUpgrades } from './upgrades.js'
import { bindWebSocketsOf } from './websockets.js'

/**
 * Binds every request to its user and tenant. Fail closed: a route serves nobody but a user in a tenant unless its
 * `config: { tenancy: 'user' | 'none' }` says otherwise. Requests that match no route stay 404.
 *
 * Register it before routes and before plugins whose hooks need the context.
 */
async function registerTenancy(app: FastifyInstance, options: TenancyPluginOptions): Promise<void> {
  const { tenancy, accounts } = options
  const { pipeline, rules, urlPrefix } = tenancy
  const resolved = resolveOptions(options)
  const plans = createRoutePlans({ ...resolved, urlPrefix })
  const onUndefined = (message: string): void => {
    if (resolved.undefinedAccess === 'warn') return app.log.warn(message)
    throw new TenancyError(
      'TENANCY_ACCESS_DEFINITION_INVALID',
      `${message}. Define it before the start, or let guards wait for it: undefinedAccess: 'warn'`,
    )
  }

  decorateRequests(app, tenancy, resolved.decorators)
  useErrorHandler(app)
  closeAfterRefusedUpgrades(app)
  const identify = identifyLogLines(app)

  app.addHook('onRoute', function onRoute(route) {
    plans.add(route)
    bindWebSocketsOf(this, route)
    bindGuards(route, rules, (message) => onUndefined(`Route ${String(route.method)} ${route.url}: ${message}`))
  })
  app.addHook('onReady', async () => checkUnboundGuards(app, rules, onUndefined))

  app.addHook('onRequest', (request, reply, done) => {
    const bind = (context: RequestContext): void => {
      const work = new FastifyRequestScope(context, request, reply.raw)
      request[scopeKey] = work
      identify?.(request, reply, context)
      runInScope(work, done)
    }
    let context: RequestContext | Promise<RequestContext>
    try {
      context = contextOf(request, plans, pipeline)
    } catch (error) {
      return done(error as Error)
    }
    if (context instanceof Promise) context.then(bind, done)
    else bind(context)
  })

  // What comes after reading a body runs in the socket's asynchronous context, not in the request's.
  app.addHook('preValidation', (request, _reply, done) => {
    const work = request[scopeKey]
    if (request[preflightKey]) done(new TenancyError('TENANCY_AUTH_REQUIRED'))
    else if (work === null || tryGetScope() === work) done()
    else runInScope(work, done)
  })

  // So do the hooks that are told of a client who went away.
  app.addHook('onRequestAbort', (request, done) => {
    const work = request[scopeKey]
    if (work === null) done()
    else runInScope(work, done)
  })

  app.get('/.well-known/jwks.json', { config: { tenancy: 'none' } }, async () => tenancy.jwks())
  if (accounts !== undefined) mountAccounts(app, tenancy.authPrefix, accounts.handle)
}

/** @throws {@link TenancyError} whatever the pipeline refuses; TENANCY_ROUTE_TENANT_UNREADABLE */
function contextOf(
  request: FastifyRequest,
  plans: RoutePlans,
  pipeline: RequestPipeline,
): RequestContext | Promise<RequestContext> {
  const { routeOptions } = request
  // No route: the 404 handler answers, and is told nothing about the caller.
  if (routeOptions.url === undefined) return anonymousContext
  const { needs, tenantParameter } = plans.of(routeOptions)
  const { headers } = request
  if (needs !== 'none' && isPreflight(request.raw)) {
    request[preflightKey] = true
    return anonymousContext
  }
  return pipeline.handle({
    authorization: headers.authorization,
    tenantHeader: headers['x-tenant-id'],
    host: pipeline.readsHost ? request.host : undefined,
    pathTenant: tenantParameter === undefined ? undefined : readParameter(request.params, tenantParameter),
    needs,
  })
}

/** A parameter that is not there names no tenant, rather than the default one. */
function readParameter(params: unknown, name: string): string {
  const value = (params as Readonly<Record<string, unknown>>)[name]
  if (typeof value !== 'string') throw new TenancyError('TENANCY_TENANT_FORBIDDEN')
  return value
}

/** See {@link registerTenancy}. */
export const tenancyPlugin = Object.assign(registerTenancy, {
  // What fastify-plugin sets: hooks and decorators reach the application, not only a child of it.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'tenants2fast',
  [Symbol.for('plugin-meta')]: { name: 'tenants2fast', fastify: '5.x' },
})
