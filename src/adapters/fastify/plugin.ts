import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type RequestContext, runWork, tryGetWork } from '../../core/context.js'
import { TenancyError } from '../../core/errors.js'
import type { AccountsHandler, HttpTenancy } from '../../http/http-tenancy.js'
import { anonymousContext, type RouteNeeds } from '../../http/pipeline.js'
import { mountAccounts } from './accounts.js'
import { bindGuards } from './guards.js'
import { sendProblem, tenancyKey, workKey } from './request-state.js'
import { RequestWork } from './request-work.js'

/** What {@link tenancyPlugin} takes. */
export interface TenancyPluginOptions {
  /** From `createTenancy()`. */
  readonly tenancy: HttpTenancy
  /** From `createAccounts()`: serves accounts under `TENANT_AUTH_PREFIX`. Default: none. */
  readonly accounts?: { readonly handle: AccountsHandler } | undefined
  /** The route parameter that names a tenant, in `/tenants/:tenant/…`. Default: `tenant`. */
  readonly tenantParameter?: string
}

/**
 * Binds every request to its user and tenant. Fail closed: a route serves nobody but a user in a tenant unless its
 * `config: { tenancy: 'user' | 'none' }` says otherwise. Requests that match no route stay 404.
 *
 * Register it before routes and before plugins whose hooks need the context; `@fastify/cors` goes before it.
 */
async function registerTenancy(app: FastifyInstance, options: TenancyPluginOptions): Promise<void> {
  const { tenancy, accounts, tenantParameter = 'tenant' } = options
  const { pipeline, rules, urlPrefix } = tenancy
  const pathMark = `/${urlPrefix}/:${tenantParameter}`

  app.decorateRequest(workKey, null)
  app.decorateRequest(tenancyKey, { getter: () => tenancy })
  app.decorateRequest('user', {
    getter() {
      return userOf(contextOf(this))
    },
  })
  app.decorateRequest('tenant', {
    getter() {
      const context = contextOf(this)
      if (context.tenant === undefined)
        throw new TenancyError(context.user ? 'TENANCY_TENANT_NONE' : 'TENANCY_AUTH_REQUIRED')
      return context.tenant
    },
  })

  app.addHook('onRoute', (route) => {
    const needs: unknown = route.config?.tenancy ?? 'tenant'
    if (needs !== 'tenant' && needs !== 'user' && needs !== 'none') {
      throw new TenancyError(
        'TENANCY_CONFIG_INVALID',
        `Route ${route.url}: config.tenancy is 'tenant', 'user' or 'none', not ${JSON.stringify(needs)}`,
      )
    }
    bindGuards(route, rules, (message) => app.log.warn({ route: route.url, method: route.method }, message))
    route.errorHandler ??= answerProblem
  })

  app.addHook('onRequest', (request, reply, done) => {
    const { url, config } = request.routeOptions
    const bind = (context: RequestContext) => {
      const work = new RequestWork(context, reply.raw)
      request[workKey] = work
      runWork(work, done)
    }
    // No route: the 404 handler answers, and is told nothing about the caller.
    if (url === undefined) return bind(anonymousContext)
    const { headers } = request
    try {
      const context = pipeline.handle({
        authorization: headers.authorization,
        tenantHeader: headers['x-tenant-id'],
        host: pipeline.readsHost ? request.host : undefined,
        pathTenant: namesTenant(url) ? (request.params as Record<string, string>)[tenantParameter] : undefined,
        needs: needsOf(config.tenancy),
      })
      if (context instanceof Promise) context.then(bind, (error: unknown) => sendProblem(error, request, reply, done))
      else bind(context)
    } catch (error) {
      sendProblem(error, request, reply, done)
    }
  })

  // What comes after reading a body runs in the socket's asynchronous context, not in the request's.
  app.addHook('preValidation', (request, _reply, done) => {
    const work = request[workKey]
    if (work === null || tryGetWork() === work) done()
    else runWork(work, done)
  })

  app.get('/.well-known/jwks.json', { config: { tenancy: 'none' } }, async () => tenancy.jwks())
  if (accounts !== undefined) mountAccounts(app, tenancy.authPrefix, accounts.handle)

  function namesTenant(url: string): boolean {
    const start = url.indexOf(pathMark)
    if (start === -1) return false
    const next = url[start + pathMark.length]
    return next === undefined || next === '/'
  }
}

function needsOf(setting: unknown): RouteNeeds {
  return setting === 'none' || setting === 'user' ? setting : 'tenant'
}

function contextOf(request: FastifyRequest): RequestContext {
  const work = request[workKey]
  if (work === null)
    throw new TenancyError('TENANCY_CONTEXT_MISSING', 'The tenancy plugin has not run for this request yet')
  return work.context
}

function userOf(context: RequestContext) {
  if (context.user === undefined) throw new TenancyError('TENANCY_AUTH_REQUIRED')
  return context.user
}

/**
 * Answers what handlers throw of ours, and databases that went away, if the application has no error handler of its own;
 * everything else goes up to the next error handler.
 */
function answerProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (request.server.errorHandler.name !== 'defaultErrorHandler') throw error
  sendProblem(error, request, reply, (other) => {
    throw other
  })
}

/** See {@link registerTenancy}. */
export const tenancyPlugin = Object.assign(registerTenancy, {
  // What fastify-plugin sets: hooks and decorators reach the application, not only a child of it.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'tenants2fast',
  [Symbol.for('plugin-meta')]: { name: 'tenants2fast', fastify: '5.x' },
})
