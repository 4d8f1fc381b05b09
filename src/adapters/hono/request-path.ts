import type { Context } from 'hono'
import { TenancyError } from '../../core/errors/errors.js'
import { readPathTenant } from '../../http/routes/path-tenant.js'
import { pathHere } from './chain.js'

/**
 * The path that the middleware is registered at, without its wildcard.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: it has a pattern, and the API is to be below it
 */
export function prefixOf(c: Context, mountsApi: boolean): string {
  const prefix = pathHere(c).replace(/\/?\*$/, '')
  if (!mountsApi || !/[:*{]/.test(prefix)) return prefix
  const message = `tenancyMiddleware: the management API cannot be served below ${JSON.stringify(prefix)}, which has a pattern`
  throw new TenancyError('TENANCY_CONFIG_INVALID', message)
}

/**
 * Reads the tenant from the path, at the routes that may answer.
 * @throws {@link TenancyError} TENANCY_TENANT_FORBIDDEN, TENANCY_TENANT_CONFLICT
 */
export function pathTenantOf({ req }: Context, tenantAt: readonly number[], parameter: string): string | undefined {
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
