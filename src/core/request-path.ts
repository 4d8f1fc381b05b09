import type { MemberRecord } from './access/access.js'
import type { RequestContext } from './context/request-scope.js'
import type { UserRecord, VerifiedToken } from './identity/identity.js'
import type { TenantRef } from './tenants/slug.js'

/** Something read from the catalog and remembered. Whether it may still be used, the directory cache says. */
export interface Remembered<Value> {
  readonly value: Value
  /** About how much memory it takes. */
  readonly bytes: number
}

/** The answer to "which tenant, when the request names none?", remembered. */
export type RememberedDefault =
  | { readonly kind: 'none' }
  | { readonly kind: 'ambiguous' }
  | { readonly kind: 'member'; readonly member: Remembered<MemberRecord> }

/**
 * Users and members, remembered for as long as they are known to be current. `sinceMs` is when the request
 * arrived (`performance.now()`): what is answered was current at most `maxStalenessMs` before it.
 *
 * Every method that reads rejects with TENANCY_CATALOG_UNAVAILABLE when the catalog can't be reached.
 */
export interface DirectoryCache {
  /** Whether `entry` may be used without asking the catalog. */
  isUsable(entry: Remembered<unknown>, sinceMs: number): boolean
  /** Asks the catalog, in one query, whether both are still current. */
  confirm(user: Remembered<UserRecord>, member: Remembered<MemberRecord> | undefined, sinceMs: number): Promise<boolean>
  /** The user behind a verified token; a foreign issuer's may be created on first sight. */
  findUser(token: VerifiedToken, sinceMs: number): Promise<Remembered<UserRecord> | undefined>
  findMember(
    user: Remembered<UserRecord>,
    ref: TenantRef,
    sinceMs: number,
  ): Promise<Remembered<MemberRecord> | undefined>
  findDefaultMember(user: Remembered<UserRecord>, sinceMs: number): Promise<RememberedDefault>
}

/** What a route demands before its handler runs: a user in a tenant, only a user, or nothing (public). */
export type RouteNeeds = 'tenant' | 'user' | 'none'

/**
 * A context that was given for one token and one way of asking, and what it rests on. A way of asking is what the places
 * of the request name, as ids and slugs, which have at most 40 letters: none of the bytes that a client sent.
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
  /** About how much memory all of them take. */
  readonly bytes: number
}

/** Where a request may name its tenant, as the framework hands it over. undefined: this place says nothing. */
export interface TenantSources {
  /** Header `X-Tenant-Id`. */
  readonly tenantHeader: string | readonly string[] | undefined
  /** Header `Host`, or `:authority`. */
  readonly host: string | undefined
  /** The path parameter, decoded. */
  readonly pathTenant: string | undefined
}

/** Which tenant a request asks for. */
export interface TenantResolver {
  /** Whether the host can name a tenant; otherwise the caller need not read it. */
  readonly readsHost: boolean
  /** The slug that a host names; undefined: none; an empty text: something that no tenant can be called. */
  nameOfHost(host: string | undefined): string | undefined
  /**
   * Finds the membership that the request asks for, or the user's default one.
   *
   * @throws TENANCY_TENANT_FORBIDDEN, TENANCY_TENANT_CONFLICT, TENANCY_TENANT_REQUIRED, TENANCY_TENANT_NONE,
   * TENANCY_TENANT_SUSPENDED, TENANCY_TENANT_DELETED
   */
  resolve(
    sources: TenantSources,
    token: VerifiedToken,
    user: Remembered<UserRecord>,
    sinceMs: number,
  ): Promise<Remembered<MemberRecord>>
}
