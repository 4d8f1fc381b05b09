import { AsyncLocalStorage } from 'node:async_hooks'
import type { Member, MemberAccess } from '../access/access.js'
import { TenancyError } from '../errors/errors.js'
import type { VerifiedToken } from '../identity/identity.js'
import type { Tenant, User, UserTenant } from '../model.js'
import type { TenantPool } from '../tenants/tenant-pool.js'

/** Who calls, for which tenant, and what they may do: bound to one request and everything it starts. */
export interface RequestContext {
  readonly user: User | undefined
  readonly tenant: Tenant | undefined
  readonly membership: UserTenant | undefined
  readonly access: MemberAccess | undefined
  readonly token: VerifiedToken | undefined
  /** The tenant's connection pool; opened on first use. */
  readonly pool: (() => TenantPool) | undefined
}

/** One request or job. Its context may be shared with other requests of the same caller; this object is its own. */
export class RequestScope {
  readonly context: RequestContext

  constructor(context: RequestContext) {
    this.context = context
  }

  /** The request's id as log lines and problem documents show it, if this is a request. */
  get requestId(): string | undefined {
    return undefined
  }

  /** Nobody waits for the result any more. */
  get isAborted(): boolean {
    return false
  }

  /** Calls `listener` when the work is abandoned, until `offAborted`. Here never: nobody is known to wait. */
  onAborted(_listener: () => void): void {}

  offAborted(_listener: () => void): void {}
}

const storage = new AsyncLocalStorage<RequestScope>()

/** Runs `callback` and everything it starts as part of `work` (`AsyncLocalStorage.run`). */
export function runInScope<Result>(work: RequestScope, callback: () => Result): Result {
  return storage.run(work, callback)
}

/** Runs `callback` and everything it starts as one piece of work with `context` as the current one. */
export function runWithContext<Result>(context: RequestContext, callback: () => Result): Result {
  return storage.run(new RequestScope(context), callback)
}

/** The current work, or undefined outside of any. */
export function tryGetScope(): RequestScope | undefined {
  return storage.getStore()
}

/** The current context, or undefined outside of one. */
export function tryGetContext(): RequestContext | undefined {
  return storage.getStore()?.context
}

/** The current user, or undefined when nobody is authenticated or no context is bound. */
export function tryGetCurrentUser(): User | undefined {
  return storage.getStore()?.context.user
}

/**
 * The user who makes the current request.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED (the request is anonymous), TENANCY_CONTEXT_MISSING (no request)
 */
export function getCurrentUser(): User {
  const context = requireContext('getCurrentUser')
  if (!context.user) throw new TenancyError('TENANCY_AUTH_REQUIRED')
  return context.user
}

/** The current tenant, or undefined when the request has none or no context is bound. */
export function tryGetCurrentTenant(): Tenant | undefined {
  return storage.getStore()?.context.tenant
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
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED, TENANCY_TENANT_NONE (also for work that no member asked for),
 * TENANCY_CONTEXT_MISSING
 */
export function getCurrentMember(): Member {
  const context = requireContext('getCurrentMember')
  if (!hasMember(context)) throw new TenancyError(context.user ? 'TENANCY_TENANT_NONE' : 'TENANCY_AUTH_REQUIRED')
  return context
}

/** The pool of the current tenant's database, or undefined where {@link getTenantPool} would throw. */
export function tryGetTenantPool(): TenantPool | undefined {
  return storage.getStore()?.context.pool?.()
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
