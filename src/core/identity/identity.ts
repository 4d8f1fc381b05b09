import type { User } from '../model.js'

/** An access token that was verified: signature, issuer, audience, type, times and required claims. */
export interface VerifiedToken {
  readonly issuer: string
  readonly subject: string
  /** Whether the token comes from this installation's own issuer; then `subject` is the user id. */
  readonly isOwn: boolean
  /** Own tokens: the user's token epoch when the token was issued. Foreign tokens: undefined. */
  readonly epoch: number | undefined
  /** `iat` and `exp`, seconds since 1970 (RFC 7519). */
  readonly issuedAt: number
  readonly expiresAt: number
  /** Tenant id or slug that the token was issued for (own tokens: claim `tenant`; foreign: `tenantClaim`). */
  readonly tenant: string | undefined
  /** Tenant ids or slugs of a foreign token that was issued for several; then `tenant` is undefined. */
  readonly tenants?: readonly string[] | undefined
  /** Foreign tokens: the issuer as it is configured, where that is a template and so differs from `issuer`. */
  readonly configuredIssuer?: string | undefined
  /** Foreign tokens: whether the user needs no verified e-mail address (`requireVerifiedEmail: false`). */
  readonly identitySuffices?: boolean | undefined
  /** Foreign tokens: seconds by which the issuer's clock may be ahead of ours, and so `issuedAt` too late. */
  readonly clockToleranceSeconds?: number | undefined
  /** Own tokens: the administrator of the installation who acts as the user. Default: nobody does. */
  readonly impersonation?: TokenImpersonation | undefined
  /** All claims, as signed. Frozen. */
  readonly claims: Readonly<Record<string, unknown>>
}

/** What a token says of an impersonation: its id (`jti`), and the id of the administrator (`act.sub`, RFC 8693, 4.1). */
export interface TokenImpersonation {
  readonly id: string
  readonly administrator: string
}

/**
 * Turns the text of a bearer token into verified claims. The same text gives the same object while it is cached, so that a
 * caller can attach its own cache to it; `exp` is checked again on every call.
 */
export interface TokenVerifier {
  /**
   * Returns a cached token at once, and a promise otherwise.
   * @param sinceMs when the request arrived (`performance.now()`). Default: now
   * @throws TENANCY_AUTH_TOKEN_INVALID, TENANCY_AUTH_ISSUER_UNAVAILABLE, TENANCY_CATALOG_UNAVAILABLE (also as a rejection)
   */
  verify(token: string, sinceMs?: number): VerifiedToken | Promise<VerifiedToken>
}

/** A user's identity at a foreign issuer, by which they log in without a password of ours. */
export interface UserIdentity {
  readonly issuer: string
  /** `sub`, or the claim that `subjectClaim` names. */
  readonly subject: string
  readonly createdAt: Date
}

/** A user with the facts that decide whether a token of theirs still counts. */
export interface UserRecord {
  readonly user: User
  /** Own tokens count while their epoch equals this one (`users.token_epoch`). */
  readonly tokenEpoch: number
  /** Foreign tokens count when issued after this moment, seconds since 1970; 0: any. */
  readonly tokensValidAfter: number
  /** `users.access_epoch` when the row was read. */
  readonly accessEpoch: number
}

/** Finds the user behind a verified token. Implemented on the catalog, cached above it. */
export interface UserDirectory {
  /** Finds all of them by one query; the answers are in the order of the ids. */
  findUsersById(ids: readonly string[]): Promise<(UserRecord | undefined)[]>
  findUserByIdentity(issuer: string, subject: string): Promise<UserRecord | undefined>
  /**
   * Creates the user of a foreign issuer on first sight, or links them if the issuer is trusted for it; undefined when the
   * issuer may do neither. Safe when called twice at once.
   * @throws TENANCY_AUTH_USER_REFUSED: no usable, verified e-mail address in the token, it belongs to another account, or
   * the identity was unlinked
   */
  createUserFromToken(token: VerifiedToken): Promise<UserRecord | undefined>
}

/** Tells whether the user of a verified token is let in: not disabled, and with a verified address or a trusted identity. */
export function isUserAdmitted(token: VerifiedToken, { user }: UserRecord): boolean {
  return user.disabledAt === null && (user.emailVerified || token.identitySuffices === true)
}

/** Tells whether a token is for certain tenants only: it counts in no other, and not for what concerns its user as such. */
export function isTenantBound(token: VerifiedToken): boolean {
  return token.tenant !== undefined || token.tenants !== undefined
}

/**
 * Tells whether a verified token still counts for its user: not revoked since, and the user is let in. `iat` has whole
 * seconds, so a foreign token that was issued in the very second of a revocation does not count. Nor does one issued within
 * the tolerance after it: a clock that is ahead may have issued it before.
 */
export function isTokenCurrent(token: VerifiedToken, record: UserRecord): boolean {
  if (!isUserAdmitted(token, record)) return false
  if (token.isOwn) return token.epoch === record.tokenEpoch
  return record.tokensValidAfter === 0 || token.issuedAt - (token.clockToleranceSeconds ?? 0) > record.tokensValidAfter
}
