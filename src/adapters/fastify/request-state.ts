import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import type { Work } from '../../core/context.js'
import { isTenancyError } from '../../core/errors.js'
import type { Tenant, User } from '../../core/model.js'
import type { HttpTenancy } from '../../http/http-tenancy.js'
import type { RouteNeeds } from '../../http/pipeline.js'
import { toProblem } from '../../http/problem.js'

/** The request's work and context; null until the plugin's `onRequest` hook has found the context. */
export const workKey: unique symbol = Symbol('tenants2fast.work')
/** The tenancy that the plugin was registered with; not there without the plugin. */
export const tenancyKey: unique symbol = Symbol('tenants2fast.tenancy')

declare module 'fastify' {
  interface FastifyRequest {
    /** The tenant that this request is for. Throws TENANCY_TENANT_NONE or TENANCY_AUTH_REQUIRED when it has none. */
    tenant: Tenant
    /** The user who makes this request. Throws TENANCY_AUTH_REQUIRED when nobody is authenticated. */
    user: User
    [workKey]: Work | null
    readonly [tenancyKey]: HttpTenancy | undefined
  }
  interface FastifyContextConfig {
    /** What the route demands: `tenant` (the default: a user in a tenant), `user`, or `none` (public). */
    tenancy?: RouteNeeds
  }
}

/**
 * Answers with the problem document of a `TenancyError`; any other error goes to Fastify. Server errors are logged
 * with their message and cause, which the response does not carry.
 */
export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  next: HookHandlerDoneFunction,
): void {
  const problem = toProblem(error)
  if (problem === undefined) return next(error as Error)
  // Nobody reads the answer to a request whose client is gone.
  const isOutage = problem.status >= 500 && !isTenancyError(error, 'TENANCY_CONNECTION_ABORTED')
  if (isOutage) request.log.error({ err: error }, problem.body)
  else request.log.debug({ err: error }, problem.body)
  // A reply from a hook ends the request: no later hook and no handler runs.
  void reply.code(problem.status).headers(problem.headers).send(problem.body)
}
