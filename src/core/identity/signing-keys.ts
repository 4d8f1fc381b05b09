import type { KeyObject, webcrypto } from 'node:crypto'

/** Algorithms our own access tokens are signed with. */
export type SigningAlgorithm = 'EdDSA' | 'ES256'

/** A public key as JSON (RFC 7517). Holds no private part. */
export type PublicJwk = Readonly<Record<string, unknown>>

/** A signing key as the catalog stores it. */
export interface StoredSigningKey {
  /** RFC 7638 thumbprint of the public key. */
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly publicJwk: PublicJwk
  /** The private key, encrypted: opens with TENANT_SECRET only. */
  readonly sealedPrivateKey: Uint8Array
  /** Moment from which the key signs; it is published earlier. */
  readonly signsFrom: Date
  /** Set once a successor exists: when the last token this key signed has expired. */
  readonly expiresAt: Date | null
}

/** A key about to be stored. */
export type NewSigningKey = Pick<StoredSigningKey, 'kid' | 'algorithm' | 'publicJwk' | 'sealedPrivateKey'>

/** Seconds until a successor begins to sign, and for which its predecessors stay published after that. */
export interface RotationTimes {
  readonly publishSeconds: number
  readonly keepSeconds: number
}

/** Stores signing keys. Every change is safe when several processes make it at once. */
export interface SigningKeyStore {
  /** Lists all keys that have not expired, oldest first. */
  listKeys(): Promise<readonly StoredSigningKey[]>
  /** Stores the first key, signing at once; does nothing when there is one already. */
  addFirstKey(key: NewSigningKey): Promise<void>
  /**
   * Stores a successor, and ends the other keys once it has taken over. Does nothing and returns false while an earlier
   * successor does not sign yet (unless `publishSeconds` is 0).
   * @param actor id of the user who rotates, for the audit log. Default: none
   */
  addSuccessor(key: NewSigningKey, times: RotationTimes, actor?: string): Promise<boolean>
}

/** The public keys of one issuer, kept up to date. */
export interface VerificationKeys {
  /** Goes up when a key is withdrawn. */
  readonly generation: number
  /**
   * Tells whether a token that was verified at `generation` still counts for a request that arrived at `sinceMs`
   * (`performance.now()`). Called for every cached token, so it costs no more than a comparison.
   */
  isCurrent(generation: number, sinceMs: number): boolean
  /**
   * Finds the key that a token header names; undefined when the issuer has none. `kid` is a look-up key only.
   * @throws TENANCY_AUTH_ISSUER_UNAVAILABLE, TENANCY_CATALOG_UNAVAILABLE
   */
  findKey(algorithm: string, kid: string | undefined): Promise<KeyObject | webcrypto.CryptoKey | undefined>
}

/** The contents of an access token of our own. */
export interface AccessTokenInput {
  readonly userId: string
  /** `users.token_epoch` as it is now: the token ends when it rises. */
  readonly epoch: number
  /** Id of the tenant that the token is bound to. Default: none. */
  readonly tenant?: string | undefined
  /** Id of the session that it belongs to (claim `sid`). Default: none. */
  readonly session?: string | undefined
  /** Seconds the token is valid, 1 to 900. */
  readonly ttlSeconds: number
}

/** The contents of a token of a platform administrator. */
export interface PlatformTokenInput extends Pick<AccessTokenInput, 'userId' | 'epoch'> {
  /** Names the grant of the role: the token ends with that grant, even if another one follows. */
  readonly grant: number
  /** Seconds the token is valid, 1 to 3600. */
  readonly ttlSeconds: number
}

/** The contents of a token of an administrator of the installation who acts as a member. */
export interface ImpersonationTokenInput extends Pick<AccessTokenInput, 'userId' | 'epoch'> {
  /** The claim `jti`. */
  readonly id: string
  /** Id of the tenant that the token is bound to. */
  readonly tenant: string
  /** Id of the administrator. */
  readonly administrator: string
  /** Seconds the token is valid, 1 to 3600. */
  readonly ttlSeconds: number
}

/** A signed access token. `expiresIn`: seconds, as OAuth 2.0 answers it. */
export interface IssuedToken {
  readonly token: string
  readonly expiresIn: number
  /** Its claim `jti`, under which the audit log knows it. */
  readonly tokenId: string
}

/** Options of a rotation of signing keys. */
export interface RotationOptions {
  /** For a leaked key: the successor signs at once, all earlier tokens end. Default: false. */
  readonly withdraw?: boolean | undefined
  /** Id of the user who rotates, for the audit log. Default: none. */
  readonly actor?: string | undefined
}

/** Our own issuer: signs access tokens and publishes the keys to verify them. */
export interface SigningKeys extends VerificationKeys {
  /** Says that keys may have changed: they are read again before another token counts. */
  invalidate(): void
  readonly issuer: string
  readonly audience: string
  /** Signs an access token (RFC 9068 `at+jwt`; claims iss, aud, sub, iat, exp, jti, epoch and, if given, tenant and sid). */
  issueAccessToken(input: AccessTokenInput): Promise<IssuedToken>
  /**
   * Signs a token of a platform administrator: as an access token, but for the audience of {@link platformAudienceOf}, which
   * no other route takes, and with the claim `grant`.
   */
  issuePlatformToken(input: PlatformTokenInput): Promise<IssuedToken>
  /**
   * Signs a token of an administrator who acts as a member: as an access token of the member, but for the audience of
   * {@link impersonationAudienceOf}, and with the administrator in the claim `act` (RFC 8693, 4.1).
   */
  issueImpersonationToken(input: ImpersonationTokenInput): Promise<IssuedToken>
  /** Makes the document for `/.well-known/jwks.json`. */
  jwks(): Promise<{ readonly keys: readonly PublicJwk[] }>
  /**
   * Makes a successor, published now and signing after a margin. `withdraw: true` is for a leaked key: the
   * successor signs at once and the tokens of all other keys end.
   */
  rotate(options?: RotationOptions): Promise<void>
}

/** Longest life of an access token of our own, seconds. */
export const maxAccessTokenSeconds = 900

/** Longest life of a token of a platform administrator, seconds. */
export const maxPlatformTokenSeconds = 3600

/** Longest life of a token of an administrator who acts as a member, seconds. */
export const maxImpersonationTokenSeconds = 3600

/**
 * The audience of tokens of administrators who act as a member. It is another one than that of the member's own tokens, so that a
 * service that knows nothing of `act` does not take one for the other.
 */
export function impersonationAudienceOf(audience: string): string {
  return `${audience}/impersonation`
}

/** The audience of tokens of platform administrators. */
export function platformAudienceOf(audience: string): string {
  return `${audience}/platform`
}
