import type { MemberRecord } from './access/access.js'
import type { RequestContext } from './context/request-scope.js'
import type { UserRecord, VerifiedToken } from './identity/identity.js'
import type { TenantRef } from './tenants/slug.js'

/** A value that was read from the catalog and cached. The directory cache tells whether it may still be used. */
export interface Remembered<Value> {
  readonly value: Value
  /** Approximate size in memory. */
  readonly bytes: number
}

/** The cached answer to "which tenant, when the request names none?" */
export type RememberedDefault =
  | { readonly kind: 'none' }
  | { readonly kind: 'ambiguous' }
  | { readonly kind: 'member'; readonly member: Remembered<MemberRecord> }

/**
 * Caches users and members for as long as they are known to be current. `sinceMs` is the moment at which the request
 * arrived (`performance.now()`): an answer was current at most `maxStalenessMs` before it.
 *
 * Every method that reads rejects with TENANCY_CATALOG_UNAVAILABLE when the catalog can't be reached.
 */
export interface DirectoryCache {
  /** Tells whether `entry` may be used without asking the catalog. */
  isUsable(entry: Remembered<unknown>, sinceMs: number): boolean
  /** Asks the catalog, in one query, whether both are still current. */
  confirm(user: Remembered<UserRecord>, member: Remembered<MemberRecord> | undefined, sinceMs: number): Promise<boolean>
  /** Finds the user of a verified token. A foreign issuer's user may be created on first sight. */
  findUser(token: VerifiedToken, sinceMs: number): Promise<Remembered<UserRecord> | undefined>
  findMember(
    user: Remembered<UserRecord>,
    ref: TenantRef,
    sinceMs: number,
  ): Promise<Remembered<MemberRecord> | undefined>
  findDefaultMember(user: Remembered<UserRecord>, sinceMs: number): Promise<RememberedDefault>
}

/** The demand of a route before its handler runs: a user in a tenant, only a user, or nothing (public). */
export type RouteNeeds = 'tenant' | 'user' | 'none'

/**
 * A context that was made for one token and one combination of tenant names in a request, with the entries that it was made
 * of. The names are ids and slugs of at most 40 letters, not the bytes that a client sent.
 */
export interface RememberedContext {
  readonly needs: RouteNeeds
  readonly byHeader: string | undefined
  readonly byHost: string | undefined
  readonly byPath: string | undefined
  readonly user: Remembered<UserRecord>
  readonly member: Remembered<MemberRecord> | undefined
  readonly context: RequestContext
}

/** RequestContexts by token, bounded in bytes. */
export interface RequestContexts {
  of(token: VerifiedToken): readonly RememberedContext[] | undefined
  /** Replaces the contexts of a token. */
  set(token: VerifiedToken, contexts: readonly RememberedContext[]): void
  /** Approximate size in memory of all contexts. */
  readonly bytes: number
}

/** The places where a request may name its tenant, as the framework gives them. undefined: the place names none. */
export interface TenantSources {
  /** Header `X-Tenant-Id`. */
  readonly tenantHeader: string | readonly string[] | undefined
  /** Header `Host`, or `:authority`. */
  readonly host: string | undefined
  /** The path parameter, decoded. */
  readonly pathTenant: string | undefined
}

/** Knows the hosts of tenants. */
export interface HostDirectory {
  /**
   * Finds the id of the tenant that a host is proven for: at once while that is known, otherwise by one query.
   * @throws TENANCY_CATALOG_UNAVAILABLE, as a rejection
   */
  find(host: string, sinceMs: number): string | undefined | Promise<string | undefined>
}

/** Finds the tenant that a request asks for. */
export interface TenantResolver {
  /** Whether a host can name a tenant; if not, callers need not read it. */
  readonly readsHost: boolean
  /**
   * Reads the slug that a host names, or finds the id of the tenant that has proven it; undefined: none; an empty text: a name that
   * no tenant can have. A promise: the catalog has to be asked.
   */
  nameOfHost(host: string | undefined, sinceMs: number): string | undefined | Promise<string | undefined>
  /**
   * Finds the membership that the request asks for, or the user's default one. `byHost` is what `nameOfHost` said.
   *
   * @throws TENANCY_TENANT_FORBIDDEN, TENANCY_TENANT_CONFLICT, TENANCY_TENANT_REQUIRED, TENANCY_TENANT_NONE,
   * TENANCY_TENANT_SUSPENDED, TENANCY_TENANT_DELETED
   */
  resolve(
    sources: Pick<TenantSources, 'tenantHeader' | 'pathTenant'>,
    byHost: string | undefined,
    token: VerifiedToken,
    user: Remembered<UserRecord>,
    sinceMs: number,
  ): Promise<Remembered<MemberRecord>>
}
