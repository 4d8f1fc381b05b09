import { AsyncLocalStorage } from 'node:async_hooks'
import type { MemberAccess } from '../access/access.js'
import type { AuditOrigin } from './audit-origin.js'
import type { CurrentImpersonation } from '../identity/impersonation.js'
import type { CallingServiceAccount } from '../identity/service-account.js'
import type { VerifiedToken } from '../identity/identity.js'
import type { Tenant, User, UserTenant } from '../model.js'
import type { TenantPool } from '../tenants/tenant-pool.js'

/** The caller, their tenant and what they may do: bound to one request and everything that it starts. */
export interface RequestContext {
  readonly user: User | undefined
  /** The service account of a request with an API key; there is no user then. */
  readonly serviceAccount?: CallingServiceAccount | undefined
  /** The administrator of the installation who acts as the user, who is a member of the tenant. Default: none. */
  readonly impersonation?: CurrentImpersonation | undefined
  readonly tenant: Tenant | undefined
  readonly membership: UserTenant | undefined
  readonly access: MemberAccess | undefined
  readonly token: VerifiedToken | undefined
  /** Version of the tenant's schema, read with the member; null: not known. Only requests have it. */
  readonly schemaVersion?: number | null
  /** The tenant's connection pool; opened on first use. */
  readonly pool: (() => TenantPool) | undefined
}

/** A request with an `Idempotency-Key`, while it is answered. */
export interface KeyedRequestMark {
  /** Hash of the key, under which the request is stored. */
  readonly key: Buffer
  /** The moment it was begun, as the catalog writes it. */
  readonly begunAt: string
  /** What the audit log calls the change: `role.create`. Others within the request are not what was asked for. */
  readonly action: string
}

/** What is known of a request besides its context. */
export interface ScopeFacts {
  /** Where the request comes from, for the audit log. Default: it is no request. */
  readonly origin?: AuditOrigin | undefined
  /** Default: the request has no `Idempotency-Key`. */
  readonly keyed?: KeyedRequestMark | undefined
}

/** One request or job. Requests of the same caller may share a context; each has a scope of its own. */
export class RequestScope {
  readonly context: RequestContext
  readonly keyed: KeyedRequestMark | undefined
  readonly #origin: AuditOrigin | undefined

  constructor(context: RequestContext, facts?: ScopeFacts) {
    this.context = context
    this.keyed = facts?.keyed
    this.#origin = facts?.origin
  }

  /** Where the request comes from, for the audit log; undefined: it is no request. */
  get origin(): AuditOrigin | undefined {
    return this.#origin
  }

  /** The request's id as log lines and problem documents show it, if this is a request. */
  get requestId(): string | undefined {
    return undefined
  }

  /** Whether nobody waits for the result any more. */
  get isAborted(): boolean {
    return false
  }

  /** Calls `listener` when the request is aborted, until `offAborted`. Here never: nobody is known to wait. */
  onAborted(_listener: () => void): void {}

  offAborted(_listener: () => void): void {}
}

const storage = new AsyncLocalStorage<RequestScope>()

/** Runs `callback` and everything it starts as part of `scope` (`AsyncLocalStorage.run`). */
export function runInScope<Result>(scope: RequestScope, callback: () => Result): Result {
  return storage.run(scope, callback)
}

/**
 * Runs `callback` and everything it starts in a new scope with `context` as the current one. Inside of a request it stays known
 * where that comes from.
 */
export function runWithContext<Result>(context: RequestContext, callback: () => Result): Result {
  return storage.run(new RequestScope(context, { origin: tryGetScope()?.origin }), callback)
}

/** The current scope, or undefined outside of a request or job. */
export function tryGetScope(): RequestScope | undefined {
  return storage.getStore()
}

/** The current context, or undefined outside of a request or job. */
export function tryGetContext(): RequestContext | undefined {
  return storage.getStore()?.context
}
