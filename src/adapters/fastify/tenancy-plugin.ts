import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { type RequestContext, runInScope, tryGetScope } from '../../core/context/request-scope.js'
import { TenancyError } from '../../core/errors/errors.js'
import { anonymousContext, type RequestPipeline } from '../../http/pipeline.js'
import { isPreflight } from '../../http/preflight.js'
import { readPathTenant } from '../../http/routes/path-tenant.js'
import { reportUndefinedAccess } from '../../http/routes/undefined-access.js'
import { bindAbortHooks, bindAbortHooksOf } from './bind-abort-hooks.js'
import { bindWebSocketsOf } from './bind-websockets.js'
import { decorateRequests } from './decorate-requests.js'
import { useErrorHandler } from './error-handler.js'
import { bindGuards, checkUnboundGuards } from './guards.js'
import { mountAccounts, mountApi } from './mounting/mount.js'
import { resolveOptions, type TenancyPluginOptions } from './plugin-options.js'
import { closeAfterRefusedUpgrades } from './refused-upgrades.js'
import { identifyLogLines } from './request-log.js'
import { FastifyRequestScope } from './request-scope.js'
import { scopeKey } from './request-state.js'
import { createRoutePlans, type RoutePlans } from './route-plans.js'

/**
 * Binds every request to its user and tenant. It fails closed: a route serves only users in a tenant unless its
 * `config: { tenancy: 'user' | 'none' }` says otherwise. Requests that match no route stay 404.
 *
 * Register it before routes and before plugins whose hooks need the context.
 */
async function registerTenancy(app: FastifyInstance, options: TenancyPluginOptions): Promise<void> {
  const { tenancy, accounts, api } = options
  const { pipeline, urlPrefix, clientAddress } = tenancy
  const resolved = resolveOptions(options)
  const plans = createRoutePlans({ ...resolved, urlPrefix })
  const onUndefined = reportUndefinedAccess(resolved.undefinedAccess, (message) => app.log.warn(message))

  decorateRequests(app, tenancy, resolved.decorators)
  useErrorHandler(app)
  closeAfterRefusedUpgrades(app)
  const identify = identifyLogLines(app)

  app.addHook('onRoute', function onRoute(route) {
    plans.add(route)
    bindWebSocketsOf(this, route)
    bindGuards(route, tenancy, (message) => onUndefined(`Route ${String(route.method)} ${route.url}: ${message}`))
    // After the guards were looked for: a bound hook does not show that it is one.
    bindAbortHooksOf(route)
  })
  app.addHook('onReady', async () => checkUnboundGuards(app, tenancy, onUndefined))

  // Both are functions beside the hook: closures in it would be made for every request.
  function bind(context: RequestContext, request: FastifyRequest, reply: FastifyReply, done: () => void): void {
    const scope = new FastifyRequestScope(context, request, reply.raw, clientAddress)
    request[scopeKey] = scope
    identify?.(request, reply, context)
    runInScope(scope, done)
  }
  function bindLater(
    context: Promise<RequestContext>,
    request: FastifyRequest,
    reply: FastifyReply,
    done: HookHandlerDoneFunction,
  ): void {
    context.then((found) => bind(found, request, reply, done), done)
  }
  app.addHook('onRequest', (request, reply, done) => {
    let context: RequestContext | Promise<RequestContext>
    try {
      context = contextOf(request, plans, pipeline)
    } catch (error) {
      return done(error as Error)
    }
    if (context instanceof Promise) bindLater(context, request, reply, done)
    else bind(context, request, reply, done)
  })

  // After a body has been read, hooks run in the socket's asynchronous context, not in the request's.
  app.addHook('preValidation', (request, _reply, done) => {
    const scope = request[scopeKey]
    if (scope === null) done()
    else if (scope.context === preflightContext) done(new TenancyError('TENANCY_AUTH_REQUIRED'))
    else if (tryGetScope() === scope) done()
    else runInScope(scope, done)
  })
  bindAbortHooks(app)

  app.get('/.well-known/jwks.json', { config: { tenancy: 'none' } }, async () => tenancy.jwks())
  if (accounts !== undefined) mountAccounts(app, tenancy.authPrefix, accounts.handle)
  if (api !== undefined) mountApi(app, api)
}

/** The context of a CORS preflight, which may reach later hooks but no handler. */
const preflightContext: RequestContext = Object.freeze({ ...anonymousContext })

/**
 * Finds the context of a request.
 * @throws {@link TenancyError} whatever the pipeline refuses; TENANCY_ROUTE_TENANT_UNREADABLE
 */
function contextOf(
  request: FastifyRequest,
  plans: RoutePlans,
  pipeline: RequestPipeline,
): RequestContext | Promise<RequestContext> {
  const plan = plans.of(request)
  // Without a route the 404 handler answers, which learns nothing about the caller.
  if (plan === undefined) return anonymousContext
  const { needs, tenantParameter } = plan
  const { headers } = request
  if (needs !== 'none' && isPreflight(request.raw)) return preflightContext
  return pipeline.handle({
    authorization: headers.authorization,
    tenantHeader: headers['x-tenant-id'],
    host: pipeline.readsHost ? request.host : undefined,
    pathTenant: tenantParameter === undefined ? undefined : readPathTenant(request.params, tenantParameter),
    needs,
  })
}

/** See {@link registerTenancy}. */
export const tenancyPlugin = Object.assign(registerTenancy, {
  // As fastify-plugin sets them, so that hooks and decorators apply to the application, not only to a child scope.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'tenants2fast',
  [Symbol.for('plugin-meta')]: { name: 'tenants2fast', fastify: '5.x' },
})
