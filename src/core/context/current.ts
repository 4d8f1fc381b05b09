import type { Member, MemberAccess } from '../access/access.js'
import { TenancyError } from '../errors/errors.js'
import type { CurrentImpersonation } from '../identity/impersonation.js'
import type { CallingServiceAccount } from '../identity/service-account.js'
import type { Tenant, User } from '../model.js'
import type { TenantPool } from '../tenants/tenant-pool.js'
import { type RequestContext, tryGetContext } from './request-scope.js'

/**
 * Who sent the current request: a person, a program with an API key, or an administrator of the installation who acts as `user`,
 * a member of the tenant. `access` is what they may do in the request's tenant, for
 * `tenancy.can` and `tenancy.permissionsOf`; undefined: the request is in no tenant.
 */
export type Actor =
  | { readonly kind: 'user'; readonly user: User; readonly access: MemberAccess | undefined }
  | {
      readonly kind: 'serviceAccount'
      readonly serviceAccount: CallingServiceAccount
      readonly access: MemberAccess | undefined
    }
  | {
      readonly kind: 'impersonator'
      readonly administrator: CurrentImpersonation['administrator']
      /** The member, as `getCurrentUser()` gives them. */
      readonly user: User
      readonly impersonation: Pick<CurrentImpersonation, 'id' | 'reason' | 'expiresAt'>
      readonly access: MemberAccess | undefined
    }

/** Who sent the current request, or undefined for an anonymous request or outside of a request. */
export function tryGetCurrentActor(): Actor | undefined {
  const context = tryGetContext()
  return context && actorOf(context)
}

/**
 * Who sent the current request: a user, the service account of an API key, or an administrator of the installation who acts as a
 * user.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED (the request is anonymous), TENANCY_CONTEXT_MISSING (no request)
 * @example
 * const actor = getCurrentActor()
 * if (actor.kind === 'user') log(actor.user.id)
 * else if (actor.kind === 'serviceAccount') log(actor.serviceAccount.id)
 * else log(`${actor.administrator.id} as ${actor.user.id}`)
 */
export function getCurrentActor(): Actor {
  const actor = actorOf(requireContext('getCurrentActor'))
  if (!actor) throw new TenancyError('TENANCY_AUTH_REQUIRED')
  return actor
}

function actorOf({ user, serviceAccount, impersonation: given, access }: RequestContext): Actor | undefined {
  if (user && given) {
    const { administrator, ...impersonation } = given
    return { kind: 'impersonator', administrator, user, impersonation, access }
  }
  if (user) return { kind: 'user', user, access }
  return serviceAccount && { kind: 'serviceAccount', serviceAccount, access }
}

/** The current user, or undefined for an anonymous request, one with an API key, or outside of a request. */
export function tryGetCurrentUser(): User | undefined {
  return tryGetContext()?.user
}

/**
 * The user who sent the current request, or whom an administrator acts as: {@link getCurrentActor} tells.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED (the request is anonymous), TENANCY_AUTH_PERSON_REQUIRED (it came with an API
 *   key: see {@link getCurrentActor}), TENANCY_CONTEXT_MISSING (no request)
 */
export function getCurrentUser(): User {
  const context = requireContext('getCurrentUser')
  if (context.user) return context.user
  if (context.serviceAccount) {
    throw new TenancyError(
      'TENANCY_AUTH_PERSON_REQUIRED',
      'This request came with an API key, which has no user: use getCurrentActor()',
    )
  }
  throw new TenancyError('TENANCY_AUTH_REQUIRED')
}

/** The current tenant, or undefined for a request without one or outside of a request. */
export function tryGetCurrentTenant(): Tenant | undefined {
  return tryGetContext()?.tenant
}

/**
 * The tenant that the current request is for.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED, TENANCY_TENANT_NONE, TENANCY_CONTEXT_MISSING
 */
export function getCurrentTenant(): Tenant {
  const context = requireContext('getCurrentTenant')
  if (!context.tenant) throw new TenancyError(context.user ? 'TENANCY_TENANT_NONE' : 'TENANCY_AUTH_REQUIRED')
  return context.tenant
}

/** The current member, or undefined where {@link getCurrentMember} would throw. */
export function tryGetCurrentMember(): Member | undefined {
  const context = tryGetContext()
  return context !== undefined && hasMember(context) ? context : undefined
}

/**
 * The current user as a member of the current tenant: for `tenancy.can` and `tenancy.permissionsOf`.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED, TENANCY_AUTH_PERSON_REQUIRED (the request came with an API key),
 *   TENANCY_TENANT_NONE (also in jobs that no member started), TENANCY_CONTEXT_MISSING
 */
export function getCurrentMember(): Member {
  const context = requireContext('getCurrentMember')
  if (hasMember(context)) return context
  if (context.serviceAccount) {
    throw new TenancyError(
      'TENANCY_AUTH_PERSON_REQUIRED',
      'This request came with an API key, which is no member: use getCurrentActor()',
    )
  }
  throw new TenancyError(context.user ? 'TENANCY_TENANT_NONE' : 'TENANCY_AUTH_REQUIRED')
}

/** The pool of the current tenant's database, or undefined where {@link getTenantPool} would throw. */
export function tryGetTenantPool(): TenantPool | undefined {
  return tryGetContext()?.pool?.()
}

/**
 * The pool of the current tenant's database. Looks like `pg.Pool`.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED, TENANCY_TENANT_NONE, TENANCY_CONTEXT_MISSING
 */
export function getTenantPool(): TenantPool {
  const context = requireContext('getTenantPool')
  if (!context.pool) throw new TenancyError(context.user ? 'TENANCY_TENANT_NONE' : 'TENANCY_AUTH_REQUIRED')
  return context.pool()
}

function hasMember(context: RequestContext): context is RequestContext & Member {
  return context.membership !== undefined && context.access !== undefined
}

function requireContext(caller: string): RequestContext {
  const context = tryGetContext()
  if (!context) {
    throw new TenancyError(
      'TENANCY_CONTEXT_MISSING',
      `${caller}() was called outside of a request: register the tenancy plugin, or use runWithTenant`,
    )
  }
  return context
}
