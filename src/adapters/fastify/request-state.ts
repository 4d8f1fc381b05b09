import type { FastifyRequest } from 'fastify'
import type { Register } from '../../core/access/access.js'
import type { RequestScope } from '../../core/context/request-scope.js'
import type { Tenant, User } from '../../core/model.js'
import type { RouteNeeds } from '../../core/request-path.js'
import type { HttpTenancy } from '../../http/http-tenancy.js'
import { safeRequestId } from '../../http/problem.js'

/** The request's scope; null until the plugin's `onRequest` hook has found the context. */
export const scopeKey: unique symbol = Symbol('tenants2fast.scope')
/** The tenancy that the plugin was registered with; undefined without the plugin. */
export const tenancyKey: unique symbol = Symbol('tenants2fast.tenancy')

/** The name that the application has registered for a decorator (`Register`), or the default one; never: there is none. */
type NameOf<Decorator extends string> = Register extends { readonly decorators: infer Names }
  ? Decorator extends keyof Names
    ? Names[Decorator] extends string
      ? Names[Decorator]
      : never
    : Decorator
  : Decorator

/**
 * The decorators that the plugin adds to a request. `user`: who makes this request; throws TENANCY_AUTH_REQUIRED when nobody
 * is authenticated. `tenant`: the tenant that it is for; throws TENANCY_TENANT_NONE or TENANCY_AUTH_REQUIRED when it has none.
 */
type RequestDecorators = { [Name in NameOf<'user'>]: User } & { [Name in NameOf<'tenant'>]: Tenant }

declare module 'fastify' {
  interface FastifyRequest extends RequestDecorators {
    [scopeKey]: RequestScope | null
    readonly [tenancyKey]: HttpTenancy | undefined
  }
  interface FastifyContextConfig {
    /** What the route needs: `tenant` (the default: a user in a tenant), `user`, or `none` (public). */
    tenancy?: RouteNeeds
  }
}

/** The request's id as log lines and problem documents show it. */
export function requestIdOf(request: Pick<FastifyRequest, 'id'>): string {
  return safeRequestId(request.id)
}
