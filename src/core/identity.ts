import type { User } from './model.js'

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
  /** All claims, as signed. Frozen. */
  readonly claims: Readonly<Record<string, unknown>>
}

/**
 * Turns the text of a bearer token into verified claims. The same text gives the same object while it is
 * remembered, so that a caller can hang its own memory on it; `exp` is checked again on every call.
 */
export interface TokenVerifier {
  /**
   * Answers at once for a remembered token, with a promise otherwise.
   * @throws TENANCY_AUTH_TOKEN_INVALID, TENANCY_AUTH_ISSUER_UNAVAILABLE, TENANCY_CATALOG_UNAVAILABLE (also as a rejection)
   */
  verify(token: string): VerifiedToken | Promise<VerifiedToken>
}

/** Asymmetric signature algorithms (RFC 7518, RFC 8037). An issuer uses exactly one. */
export type SignatureAlgorithm =
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA'

/** What a foreign issuer may do to the users of this installation. */
export interface IssuerTrust {
  readonly issuer: string
  /** Whether a subject seen for the first time becomes a user. Default: false. */
  readonly createUsers?: boolean | undefined
  /**
   * Whether a subject seen for the first time is joined to the account that has the same e-mail address, when
   * both the token (`email_verified`) and the account say it is verified. Default: false.
   */
  readonly linkByVerifiedEmail?: boolean | undefined
}

/** A foreign issuer (any OIDC provider) whose access tokens are accepted. */
export interface IssuerOptions extends IssuerTrust {
  /** `iss`, compared exactly. An https URL (http on loopback only), unless `jwksUri` is given. */
  readonly issuer: string
  /** `aud` must contain one of these. */
  readonly audience: string | readonly string[]
  /** The one algorithm this issuer signs with. Default: `RS256`. */
  readonly algorithm?: SignatureAlgorithm | undefined
  /** Where its keys are. Default: discovered by `<issuer>/.well-known/openid-configuration`. */
  readonly jwksUri?: string | undefined
  /** Type of its access tokens: `at+jwt` (RFC 9068, the default), or `JWT` where the issuer knows nothing better. */
  readonly typ?: string | undefined
  /** Claim that names the tenant (id or slug) the token is for. Default: none. */
  readonly tenantClaim?: string | undefined
}

/** A user with what decides whether a token of theirs still counts. */
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
  /** All of them by one query; the answers are in the order of the ids. */
  findUsersById(ids: readonly string[]): Promise<(UserRecord | undefined)[]>
  findUserByIdentity(issuer: string, subject: string): Promise<UserRecord | undefined>
  /**
   * Creates (or, if trusted for it, links) the user of a foreign issuer on first sight; undefined when that issuer
   * may not. Safe when called twice at once.
   * @throws TENANCY_AUTH_USER_REFUSED: no usable, verified e-mail address in the token, or it belongs to another account
   */
  createUserFromToken(token: VerifiedToken): Promise<UserRecord | undefined>
}

/**
 * Whether a verified token still counts for its user: not revoked since, user not disabled, e-mail verified.
 * `iat` has whole seconds, so a foreign token issued in the very second of a revocation does not count.
 */
export function isTokenCurrent(token: VerifiedToken, record: UserRecord): boolean {
  if (record.user.disabledAt !== null || !record.user.emailVerified) return false
  if (token.isOwn) return token.epoch === record.tokenEpoch
  return record.tokensValidAfter === 0 || token.issuedAt > record.tokensValidAfter
}
