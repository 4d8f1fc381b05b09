import type { Register } from '../../core/access/access.js'
import type { RequestScope } from '../../core/context/current.js'
import type { Tenant, User } from '../../core/model.js'
import type { HttpTenancy } from '../../http/http-tenancy.js'
import type { RouteNeeds } from '../../core/request-path.js'

export { sendProblem } from './error-handler.js'

/** The request's work and context; null until the plugin's `onRequest` hook has found the context. */
export const scopeKey: unique symbol = Symbol('tenants2fast.work')
/** The tenancy that the plugin was registered with; not there without the plugin. */
export const tenancyKey: unique symbol = Symbol('tenants2fast.tenancy')
/** The preflight of a request (CORS) that has been let through to later hooks, and to nothing else. */
export const preflightKey: unique symbol = Symbol('tenants2fast.preflight')

/** The name that the application has registered for a decorator (`Register`), or the usual one; never: there is none. */
type NameOf<Decorator extends string> = Register extends { readonly decorators: infer Names }
  ? Decorator extends keyof Names
    ? Names[Decorator] extends string
      ? Names[Decorator]
      : never
    : Decorator
  : Decorator

/**
 * What the plugin adds to a request. `user`: who makes this request; throws TENANCY_AUTH_REQUIRED when nobody is
 * authenticated. `tenant`: the tenant that it is for; throws TENANCY_TENANT_NONE or TENANCY_AUTH_REQUIRED when it has none.
 */
type RequestDecorators = { [Name in NameOf<'user'>]: User } & { [Name in NameOf<'tenant'>]: Tenant }

declare module 'fastify' {
  interface FastifyRequest extends RequestDecorators {
    [scopeKey]: RequestScope | null
    [preflightKey]: boolean
    readonly [tenancyKey]: HttpTenancy | undefined
  }
  interface FastifyContextConfig {
    /** What the route demands: `tenant` (the default: a user in a tenant), `user`, or `none` (public). */
    tenancy?: RouteNeeds
  }
}
