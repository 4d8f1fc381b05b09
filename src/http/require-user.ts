import type { RequestContext } from '../core/context/request-scope.js'
import { TenancyError } from '../core/errors/errors.js'
import type { Tenant, User } from '../core/model.js'

/**
 * Gives the user of a request's context.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED: nobody is authenticated
 */
export function requireUser({ user }: RequestContext): User {
  if (user === undefined) throw new TenancyError('TENANCY_AUTH_REQUIRED')
  return user
}

/**
 * Gives the tenant of a request's context.
 * @throws {@link TenancyError} TENANCY_TENANT_NONE, TENANCY_AUTH_REQUIRED (there is no user either)
 */
export function requireTenant({ tenant, user }: RequestContext): Tenant {
  if (tenant !== undefined) return tenant
  throw new TenancyError(user === undefined ? 'TENANCY_AUTH_REQUIRED' : 'TENANCY_TENANT_NONE')
}
