import type { Context } from 'hono'
import { TenancyError } from '../../core/errors/errors.js'
import { type Logger, stderrLogger } from '../../core/logger.js'
import type { AccountsHandler, HttpTenancy } from '../../http/http-tenancy.js'
import type { MountedApi } from '../../http/routes/own-paths.js'
import type { UndefinedAccess } from '../../http/routes/undefined-access.js'
import { remoteAddressOf } from './request-state.js'

/** Options of {@link tenancyMiddleware}. */
export interface TenancyMiddlewareOptions {
  /** From `createTenancy()`. */
  readonly tenancy: HttpTenancy
  /** From `createAccounts()`: serves accounts under `TENANT_AUTH_PREFIX`. Default: none. */
  readonly accounts?: { readonly handle: AccountsHandler } | undefined
  /** From `createApi()`: serves the management API, below the path of the middleware. Default: none. */
  readonly api?: MountedApi | undefined
  /** The route parameter that names a tenant, in `/tenants/:tenant/…`: letters, digits and `_`. Default: `tenant`. */
  readonly tenantParameter?: string | undefined
  /**
   * What `assertGuarded` does about a guard that names a permission, role or route rule which nobody has defined. `refuse`: it
   * fails. `warn`: it is logged. Such a guard refuses everybody until somebody defines it. Default: `refuse`.
   */
  readonly undefinedAccess?: UndefinedAccess | undefined
  /** Where errors go, with the ids of request, tenant and user. Default: warnings and errors to standard error, as JSON lines. */
  readonly logger?: Logger | undefined
  /** Finds the address of the other end of the socket, for the audit log and the limits of accounts. Default: as `@hono/node-server` says. */
  readonly remoteAddress?: ((c: Context) => string | undefined) | undefined
}

/** The options with their defaults. */
interface ResolvedOptions {
  readonly tenantParameter: string
  readonly undefinedAccess: UndefinedAccess
  readonly logger: Logger
  readonly remoteAddress: (c: Context) => string | undefined
}

/** @throws {@link TenancyError} TENANCY_CONFIG_INVALID */
export function resolveOptions(options: TenancyMiddlewareOptions): ResolvedOptions {
  const { tenantParameter = 'tenant', undefinedAccess = 'refuse', logger = stderrLogger } = options
  if (!/^\w+$/.test(tenantParameter)) {
    throw invalid(`tenantParameter has letters, digits and "_", unlike ${JSON.stringify(tenantParameter)}`)
  }
  if (undefinedAccess !== 'refuse' && undefinedAccess !== 'warn') {
    throw invalid(`undefinedAccess is 'refuse' or 'warn', not ${JSON.stringify(undefinedAccess)}`)
  }
  return { tenantParameter, undefinedAccess, logger, remoteAddress: options.remoteAddress ?? remoteAddressOf }
}

function invalid(message: string): TenancyError {
  return new TenancyError('TENANCY_CONFIG_INVALID', `tenancyMiddleware: ${message}`)
}
