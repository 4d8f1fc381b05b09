import { randomUUID } from 'node:crypto'
import type { Context, MiddlewareHandler } from 'hono'
import { type RequestContext, runInScope } from '../../core/context/request-scope.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import type { HttpTenancy } from '../../http/http-tenancy.js'
import { anonymousContext } from '../../http/pipeline.js'
import { safeRequestId } from '../../http/problem.js'
import { type ChainPlan, createChainPlans, type PlanChain } from '../../http/routes/chain-plan.js'
import { createOwnPaths } from '../../http/routes/own-paths.js'
import type { UndefinedAccess } from '../../http/routes/undefined-access.js'
import { chainOf, partKey, readRoute } from './chain.js'
import { answerable, ThrownValue } from './error-handler.js'
import { resolveOptions, type TenancyMiddlewareOptions } from './middleware-options.js'
import { pathTenantOf, prefixOf } from './request-path.js'
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
  function contextOf(c: Context, { needs, tenantAt }: ChainPlan): RequestContext | Promise<RequestContext> {
    return pipeline.handle({
      authorization: c.req.header('authorization'),
      tenantHeader: c.req.header('x-tenant-id'),
      host: pipeline.readsHost ? (c.req.header('host') ?? new URL(c.req.url).host) : undefined,
      pathTenant: pathTenantOf(c, tenantAt, tenantParameter),
      needs,
    })
  }

  const middleware: MiddlewareHandler<TenancyEnv> = async (c, next) => {
    const known = stateOf(c)
    if (known?.scope !== undefined) {
      // Registered twice: for the application and for a part of it.
      if (known.demands === tenancy) return next()
      throw new TenancyError('TENANCY_CONFIG_INVALID', 'A request is bound to one tenancy, and this is another one')
    }
    const given: unknown = (c as Context).get('requestId')
    const requestId = safeRequestId(typeof given === 'string' ? given : randomUUID())
    const state = { requestId, logger, demands: tenancy, scope: undefined as HonoRequestScope | undefined }
    setState(c, state)
    try {
      // Read at the start: a socket forgets it when the other end hangs up.
      const remoteAddress = readAddress(c)
      const bind = (context: RequestContext): HonoRequestScope => {
        state.scope = new HonoRequestScope(context, c, { requestId, remoteAddress, clientAddress })
        c.set('user', context.user)
        c.set('tenant', context.tenant)
        return state.scope
      }
      const chain = plan(chainOf(c), c.req.routeIndex)
      const target = targetOf(c)
      const facts = { method: c.req.method, target, prefix: prefixOf(c, api !== undefined), hasRoute: chain.hasRoute }
      const own = findOwn(facts)
      if (own !== undefined) {
        return await runInScope(bind(anonymousContext), () => own(c.req.raw, { remoteAddress, target, requestId }))
      }
      const context = contextOf(c, chain)
      await runInScope(bind(context instanceof Promise ? await context : context), next)
      return undefined
    } catch (error) {
      throw error instanceof Error ? answerable(error) : new ThrownValue(error)
    }
  }
  const facts: MiddlewareFacts = { plan, demands: tenancy, undefinedAccess, logger }
  return Object.assign(middleware, { [partKey]: { kind: 'own' }, [factsKey]: facts })
}
