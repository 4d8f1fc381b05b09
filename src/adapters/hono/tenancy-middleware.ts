import { randomUUID } from 'node:crypto'
import type { Context, MiddlewareHandler } from 'hono'
import { type RequestContext, runInScope } from '../../core/context/request-scope.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import type { HttpTenancy } from '../../http/http-tenancy.js'
import { anonymousContext } from '../../http/pipeline.js'
import { isPreflight } from '../../http/preflight.js'
import { safeRequestId } from '../../http/problem.js'
import { type ChainPlan, createChainPlans, type PlanChain } from '../../http/routes/chain-plan.js'
import { createOwnPaths } from '../../http/routes/own-paths.js'
import { readPathTenant } from '../../http/routes/path-tenant.js'
import type { UndefinedAccess } from '../../http/routes/undefined-access.js'
import { chainOf, partKey, pathHere, readRoute } from './chain.js'
import { answerable, ThrownValue } from './error-handler.js'
import { resolveOptions, type TenancyMiddlewareOptions } from './middleware-options.js'
import { HonoRequestScope, setState, stateOf, targetOf, type TenancyEnv } from './request-state.js'

/** What `assertGuarded` reads of a middleware. */
export interface MiddlewareFacts {
  readonly plan: PlanChain
  readonly demands: HttpTenancy
  readonly undefinedAccess: UndefinedAccess
  readonly logger: Logger
}

export const factsKey: unique symbol = Symbol('tenants2fast.middleware')

/**
 * Binds every request to its user and tenant. It fails closed: a route serves only users in a tenant unless it says otherwise
 * (`needs`). Requests that match no route stay 404.
 *
 * Register it before routes: Hono runs what is registered first. Errors go to `app.onError`, which answers them with
 * `tenancyErrorHandler`.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: an option
 * @example
 * const app = new Hono<TenancyEnv>()
 * app.use(tenancyMiddleware({ tenancy }))
 * app.onError(tenancyErrorHandler)
 */
export function tenancyMiddleware(options: TenancyMiddlewareOptions): MiddlewareHandler<TenancyEnv> {
  const { tenancy, api } = options
  const { tenantParameter, undefinedAccess, logger, remoteAddress: readAddress } = resolveOptions(options)
  const { pipeline, urlPrefix, clientAddress } = tenancy
  const wording = { setting: 'needs()', withoutTenant: "needs('user') or needs('none')" }
  const plan = createChainPlans({ urlPrefix, tenantParameter, wording }, readRoute)
  const findOwn = createOwnPaths(options)

  /** @throws {@link TenancyError} whatever the pipeline refuses; TENANCY_ROUTE_TENANT_UNREADABLE */
  function contextOf(
    c: Context,
    { needs, tenantAt, hasRoute }: ChainPlan,
    isAsking: boolean,
  ): RequestContext | Promise<RequestContext> {
    if (needs !== 'none' && isAsking) {
      // Middleware behind this one may answer it (CORS), but no route.
      if (hasRoute) throw new TenancyError('TENANCY_AUTH_REQUIRED')
      return anonymousContext
    }
    return pipeline.handle({
      authorization: c.req.header('authorization'),
      tenantHeader: c.req.header('x-tenant-id'),
      host: pipeline.readsHost ? (c.req.header('host') ?? new URL(c.req.url).host) : undefined,
      pathTenant: pathTenantOf(c, tenantAt, tenantParameter),
      needs,
    })
  }

  const middleware: MiddlewareHandler<TenancyEnv> = async (c, next) => {
    // Registered twice: for the application and for a part of it.
    if (stateOf(c)?.scope !== undefined) return next()
    const given: unknown = (c as Context).get('requestId')
    const requestId = safeRequestId(typeof given === 'string' ? given : randomUUID())
    const state = { requestId, logger, demands: tenancy, scope: undefined as HonoRequestScope | undefined }
    setState(c, state)
    const bind = (context: RequestContext): HonoRequestScope => {
      const scope = new HonoRequestScope(context, c, { requestId, remoteAddress: readAddress(c), clientAddress })
      state.scope = scope
      c.set('user', context.user)
      c.set('tenant', context.tenant)
      return scope
    }
    try {
      const chain = plan(chainOf(c), c.req.routeIndex)
      const isAsking = c.req.method === 'OPTIONS' && isPreflight({ method: 'OPTIONS', headers: c.req.header() })
      const target = targetOf(c)
      const facts = { method: c.req.method, target, prefix: prefixOf(c, api !== undefined), hasRoute: chain.hasRoute }
      const own = isAsking ? undefined : findOwn(facts)
      if (own !== undefined) {
        const scope = bind(anonymousContext)
        const { remoteAddress } = scope
        return await runInScope(scope, () => own(c.req.raw, { remoteAddress, target, requestId }))
      }
      const context = contextOf(c, chain, isAsking)
      const scope = bind(context instanceof Promise ? await context : context)
      await runInScope(scope, next)
      return undefined
    } catch (error) {
      throw error instanceof Error ? answerable(error) : new ThrownValue(error)
    }
  }
  const facts: MiddlewareFacts = { plan, demands: tenancy, undefinedAccess, logger }
  return Object.assign(middleware, { [partKey]: { kind: 'own' }, [factsKey]: facts })
}

/** The path that the middleware is registered at. */
function prefixOf(c: Context, mountsApi: boolean): string {
  const prefix = pathHere(c).replace(/\/?\*$/, '')
  if (!mountsApi || !/[:*{]/.test(prefix)) return prefix
  const message = `tenancyMiddleware: the management API cannot be served below ${JSON.stringify(prefix)}, which has a pattern`
  throw new TenancyError('TENANCY_CONFIG_INVALID', message)
}

/**
 * Reads the tenant from the path, at the routes that may answer.
 * @throws {@link TenancyError} TENANCY_TENANT_FORBIDDEN, TENANCY_TENANT_CONFLICT
 */
function pathTenantOf({ req }: Context, tenantAt: readonly number[], parameter: string): string | undefined {
  const { routeIndex } = req
  try {
    const [first, ...others] = tenantAt.map((index) => {
      // Hono reads the parameters of the entry that it is at.
      req.routeIndex = index
      return readPathTenant(req.param(), parameter)
    })
    if (others.some((other) => other !== first)) throw new TenancyError('TENANCY_TENANT_CONFLICT')
    return first
  } finally {
    req.routeIndex = routeIndex
  }
}
