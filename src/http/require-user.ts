import type { RequestContext } from '../core/context/request-scope.js'
import { TenancyError } from '../core/errors/errors.js'
import type { Tenant, User } from '../core/model.js'

/**
 * Gives the user of a request's context.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED: nobody is authenticated; TENANCY_AUTH_PERSON_REQUIRED: a service account is
 */
export function requireUser({ user, serviceAccount }: RequestContext): User {
  if (user !== undefined) return user
  throw new TenancyError(serviceAccount === undefined ? 'TENANCY_AUTH_REQUIRED' : 'TENANCY_AUTH_PERSON_REQUIRED')
}

/**
 * Gives the id of the user or service account of a request's context: the actor of what it changes.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED: nobody is authenticated
 */
export function requireActorId({ user, serviceAccount }: RequestContext): string {
  const id = user?.id ?? serviceAccount?.id
  if (id === undefined) throw new TenancyError('TENANCY_AUTH_REQUIRED')
  return id
}

/**
 * Gives the tenant of a request's context.
 * @throws {@link TenancyError} TENANCY_TENANT_NONE, TENANCY_AUTH_REQUIRED (there is no user either)
 */
export function requireTenant({ tenant, user }: RequestContext): Tenant {
  if (tenant !== undefined) return tenant
  throw new TenancyError(user === undefined ? 'TENANCY_AUTH_REQUIRED' : 'TENANCY_TENANT_NONE')
}
