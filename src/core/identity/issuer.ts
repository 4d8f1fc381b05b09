/** Asymmetric signature algorithms (RFC 7518, RFC 8037). */
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

/** A claim: the name of a top-level one, taken as it is (dots included), or the path to a nested one. */
export type ClaimPath = string | readonly string[]

/** A value that a claim is compared with. */
export type ClaimValue = string | number | boolean

/** The rights of a foreign issuer over the users of this installation. */
export interface IssuerTrust {
  readonly issuer: string
  /** Whether a subject seen for the first time becomes a user. Default: false. */
  readonly createUsers?: boolean | undefined
  /**
   * Whether a subject seen for the first time is joined to the account with the same e-mail address, when the token says
   * that it is verified. An account whose address was not proven loses its passwords, logins and identities. Default: false.
   */
  readonly linkByVerifiedEmail?: boolean | undefined
  /**
   * Whether users who come with this issuer's tokens need a verified e-mail address. `false`: the identity (`iss` and
   * subject) suffices; users created without an address get a placeholder below `identity.invalid`. Default: true.
   */
  readonly requireVerifiedEmail?: boolean | undefined
  /** Claim with the e-mail address. Default: `email`. */
  readonly emailClaim?: ClaimPath | undefined
  /**
   * When an address counts as verified. `claim`: when `emailVerifiedClaim` says so. `trusted`: also when that claim is
   * absent, for an issuer that verifies every address. `never`: no address of this issuer counts. Default: `claim`.
   */
  readonly emailVerified?: 'claim' | 'trusted' | 'never' | undefined
  /** Claim that says that the address is verified. Default: `email_verified`. */
  readonly emailVerifiedClaim?: ClaimPath | undefined
  /** Values of that claim that mean yes, compared with their type. Default: `[true]`. */
  readonly emailVerifiedValues?: readonly ClaimValue[] | undefined
}

/** A foreign issuer (any OIDC provider) whose tokens are accepted. */
export interface IssuerOptions extends IssuerTrust {
  /**
   * `iss`, compared exactly. An https URL (http on loopback only), unless `jwksUri` is given. `{tenantid}` in it stands
   * for the directory (claim `tid`) of a Microsoft Entra application for several directories; see `issuerTenants`.
   */
  readonly issuer: string
  /** The directories that `{tenantid}` may stand for, by id; `any`: all of Microsoft's customers. */
  readonly issuerTenants?: readonly string[] | 'any' | undefined
  /** `audienceClaim` must contain one of these. */
  readonly audience: string | readonly string[]
  /**
   * Claim with the audience of the token: `aud`, or for tokens without it the client that it was issued to (`client_id` or
   * `azp`). Default: `aud`.
   */
  readonly audienceClaim?: 'aud' | 'client_id' | 'azp' | undefined
  /** The algorithms this issuer signs with; more than one only while it changes. Default: `RS256`. */
  readonly algorithm?: SignatureAlgorithm | readonly SignatureAlgorithm[] | undefined
  /** Address of its keys. Default: discovered by `<issuer>/.well-known/openid-configuration`. */
  readonly jwksUri?: string | undefined
  /** Whether its keys may come from an address in a private network (RFC 1918, RFC 4193, RFC 6598). Default: false. */
  readonly allowPrivateNetwork?: boolean | undefined
  /** Accepted header `typ`; null: none at all. Default: `at+jwt` (RFC 9068). */
  readonly typ?: string | null | readonly (string | null)[] | undefined
  /**
   * Claims that a token must have, each with one of the values. An array contains it, `scope` and `scp` contain it as one
   * of their words; any other claim equals it. Default: none.
   */
  readonly requiredClaims?: Readonly<Record<string, ClaimValue | readonly ClaimValue[]>> | undefined
  /** Claim that names the subject. Default: `sub`. */
  readonly subjectClaim?: string | undefined
  /** Claim that names the tenant (id or slug) the token is for. Default: none. */
  readonly tenantClaim?: ClaimPath | undefined
  /**
   * Form of that claim: one name, an array of names, or an object whose keys are the names. A token with several names is
   * for all of them, and each request names one. Default: `string`.
   */
  readonly tenantClaimType?: 'string' | 'array' | 'object' | undefined
  /** Meaning of null, an empty text, array or object: an invalid token, or one for no tenant. Default: `refuse`. */
  readonly tenantClaimEmpty?: 'refuse' | 'unbound' | undefined
  /** Whether a token that is for no tenant is invalid. Default: false. */
  readonly requireTenant?: boolean | undefined
  /** Our id or slug for each value of the claim; a value that is not in it names no tenant. Default: taken as they are. */
  readonly tenantMap?: Readonly<Record<string, string>> | undefined
  /** Longest token, in bytes; 65536 at most. Default: 8192. */
  readonly maxTokenBytes?: number | undefined
  /** Tolerated difference between its clock and ours, in seconds; 120 at most. Default: 5. */
  readonly clockToleranceSeconds?: number | undefined
}

/** The placeholder of the directory in a templated issuer (Microsoft Entra). */
export const issuerTenantPlaceholder = '{tenantid}'

const directoryPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Reads the directory by which a template becomes `issuer`; undefined when none does, or `template` is no template. */
export function readIssuerTenant(template: string, issuer: string): string | undefined {
  const [before, after, ...rest] = template.split(issuerTenantPlaceholder)
  if (before === undefined || after === undefined || rest.length > 0) return undefined
  if (!issuer.startsWith(before) || !issuer.endsWith(after)) return undefined
  const directory = issuer.slice(before.length, issuer.length - after.length)
  return directoryPattern.test(directory) ? directory : undefined
}

/** Tells whether a text can name a subject. The database refuses control characters, and lone surrogates look alike in it. */
export function isSubject(text: unknown): text is string {
  return typeof text === 'string' && /^[^\p{Cc}\p{Cs}]{1,255}$/u.test(text)
}

/** Reads a claim of a token; undefined when the token does not have it. */
export function readClaim(claims: Readonly<Record<string, unknown>>, path: ClaimPath): unknown {
  let value: unknown = claims
  for (const name of typeof path === 'string' ? [path] : path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) {
      return undefined
    }
    value = (value as Record<string, unknown>)[name]
  }
  return value
}
