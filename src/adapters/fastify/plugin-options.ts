import type { FastifyContextConfig, FastifySchema } from 'fastify'
import type { Register } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { RouteNeeds } from '../../core/request-path.js'
import type { AccountsHandler, HttpTenancy, PlainApiHandler } from '../../http/http-tenancy.js'
import type { UndefinedAccess } from '../../http/routes/undefined-access.js'

/** A route, as the option `needs` of {@link TenancyPluginOptions} is given it. */
export interface TenancyRoute {
  /** The whole URL as written, with the prefixes of the plugins around it. */
  readonly url: string
  readonly method: string | readonly string[]
  readonly config: Readonly<FastifyContextConfig>
  readonly schema: FastifySchema | undefined
}

/** Names of the decorators that the plugin adds to a request; `false`: none. */
export interface DecoratorNames {
  /** Default: `user`. */
  readonly user?: string | false
  /** Default: `tenant`. */
  readonly tenant?: string | false
}

/** The names that the application has registered (`Register`), or any. */
export type RegisteredDecorators = Register extends { readonly decorators: infer Names extends DecoratorNames }
  ? Names
  : DecoratorNames

/** The part of the management API that is mounted. */
export interface MountedApi {
  readonly answer: PlainApiHandler
  /** Paths in braces form, `/tenants/{tenant}`, with their methods. */
  readonly routes: readonly { readonly path: string; readonly methods: readonly string[] }[]
  /** Paths below which it also answers what no route of the application has. Default: none. */
  readonly prefixes?: readonly string[]
}

/** Options of {@link tenancyPlugin}. */
export interface TenancyPluginOptions {
  /** From `createTenancy()`. */
  readonly tenancy: HttpTenancy
  /** From `createAccounts()`: serves accounts under `TENANT_AUTH_PREFIX`. Default: none. */
  readonly accounts?: { readonly handle: AccountsHandler } | undefined
  /** From `createApi()`: serves the management API, each operation at its path. Default: none. */
  readonly api?: MountedApi | undefined
  /** The route parameter that names a tenant, in `/tenants/:tenant/…`: letters, digits and `_`. Default: `tenant`. */
  readonly tenantParameter?: string
  /**
   * Says what a route needs that does not say so itself (`config.tenancy`): for routes of other plugins. Called once for each
   * route; `undefined` stands for the default, `tenant`.
   */
  readonly needs?: (route: TenancyRoute) => RouteNeeds | undefined
  /**
   * Other names for `request.user` and `request.tenant`, for applications where another plugin has these. TypeScript
   * learns the names by `Register`, see docs/fastify.md. Default: `{ user: 'user', tenant: 'tenant' }`.
   */
  readonly decorators?: RegisteredDecorators
  /**
   * What happens to a guard that names a permission, role or route rule which nobody has defined. `refuse`: its route
   * can't be registered. `warn`: it is logged and refuses everybody until somebody defines it, at run time.
   * Default: `refuse`.
   */
  readonly undefinedAccess?: UndefinedAccess
}

/** The options with their defaults. */
export interface ResolvedOptions {
  readonly tenantParameter: string
  readonly needs: (route: TenancyRoute) => RouteNeeds | undefined
  readonly decorators: Required<DecoratorNames>
  readonly undefinedAccess: UndefinedAccess
}

/** @throws {@link TenancyError} TENANCY_CONFIG_INVALID */
export function resolveOptions(options: TenancyPluginOptions): ResolvedOptions {
  const { tenantParameter = 'tenant', needs = () => undefined, undefinedAccess = 'refuse' } = options
  const { user = 'user', tenant = 'tenant' }: DecoratorNames = options.decorators ?? {}
  if (!/^\w+$/.test(tenantParameter)) {
    throw invalid(`tenantParameter has letters, digits and "_", unlike ${JSON.stringify(tenantParameter)}`)
  }
  if (undefinedAccess !== 'refuse' && undefinedAccess !== 'warn') {
    throw invalid(`undefinedAccess is 'refuse' or 'warn', not ${JSON.stringify(undefinedAccess)}`)
  }
  return { tenantParameter, needs, decorators: { user, tenant }, undefinedAccess }
}

function invalid(message: string): TenancyError {
  return new TenancyError('TENANCY_CONFIG_INVALID', `tenancyPlugin: ${message}`)
}
