import type { TokenImpersonation, VerifiedToken } from '../core/identity/identity.js'
import {
  type ClaimValue,
  isSubject,
  type IssuerOptions,
  issuerTenantPlaceholder,
  readIssuerTenant,
} from '../core/identity/issuer.js'
import { maxAccessTokenSeconds, maxImpersonationTokenSeconds } from '../core/identity/signing-keys.js'
import { defaultTokenBytes, type ParsedToken } from './parse-token.js'
import { readTenants, type TenantClaimRules, tenantClaimRules } from './tenant-claim.js'
import { quote, TokenRefusal } from './token-refusal.js'

/** The demands on the tokens of one issuer. */
export interface TokenPolicy {
  /** The configured issuer: `iss` itself, or a template of it. */
  readonly issuer: string
  /** For a template: the directories that may stand in it. */
  readonly directories: ReadonlySet<string> | 'any' | undefined
  readonly isOwn: boolean
  readonly audienceClaim: 'aud' | 'client_id' | 'azp'
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  /** Accepted values of `typ`, in lower case; null: a missing `typ`. */
  readonly types: readonly (string | null)[]
  readonly requiredClaims: readonly (readonly [name: string, values: readonly ClaimValue[]])[]
  readonly subjectClaim: string
  readonly tenantClaim: TenantClaimRules | undefined
  /** True: a user needs no verified e-mail address. */
  readonly identitySuffices: boolean
  readonly maxTokenBytes: number
  readonly toleranceSeconds: number
  /** Longest life of our own tokens, in seconds. */
  readonly maxLifetimeSeconds: number
  /** Our own: the audience of tokens whose user an administrator acts as. Undefined: there are none. */
  readonly impersonationAudience?: string | undefined
}

/** Our own issuer, as a verifier takes its tokens. */
export interface OwnIssuer {
  readonly issuer: string
  readonly audience: string
  /** Longest life of a token, in seconds. Default: 900. */
  readonly maxLifetimeSeconds?: number | undefined
  /** The audience of tokens whose user an administrator acts as. Default: they are refused. */
  readonly impersonationAudience?: string | undefined
}

/** Default tolerance for differences between clocks, in seconds. */
export const defaultToleranceSeconds = 5

/** The policy for our own tokens. Each key has one algorithm; a token that names another finds no key. */
export function ownPolicy(
  { issuer, audience, maxLifetimeSeconds = maxAccessTokenSeconds, impersonationAudience }: OwnIssuer,
  toleranceSeconds = defaultToleranceSeconds,
): TokenPolicy {
  return {
    issuer,
    directories: undefined,
    isOwn: true,
    audienceClaim: 'aud',
    audiences: impersonationAudience === undefined ? [audience] : [audience, impersonationAudience],
    algorithms: ['EdDSA', 'ES256'],
    types: ['at+jwt'],
    requiredClaims: [],
    subjectClaim: 'sub',
    tenantClaim: tenantClaimRules({ tenantClaim: 'tenant' }),
    identitySuffices: false,
    maxTokenBytes: defaultTokenBytes,
    ...{ toleranceSeconds, maxLifetimeSeconds, impersonationAudience },
  }
}

/** The policy for a foreign issuer. `application/` may be left out of a media type (RFC 7515, 4.1.9). */
export function foreignPolicy(options: IssuerOptions, toleranceSeconds = defaultToleranceSeconds): TokenPolicy {
  const { issuer, issuerTenants, algorithm = 'RS256', typ = 'at+jwt', requiredClaims = {} } = options
  return {
    issuer,
    directories: issuerTenants === undefined || issuerTenants === 'any' ? issuerTenants : new Set(issuerTenants),
    isOwn: false,
    audienceClaim: options.audienceClaim ?? 'aud',
    audiences: listOf(options.audience),
    algorithms: listOf(algorithm),
    types: listOf(typ).flatMap((type) => {
      const lower = type?.toLowerCase() ?? null
      return lower === null || lower.includes('/') ? [lower] : [lower, `application/${lower}`]
    }),
    requiredClaims: Object.entries(requiredClaims).map(([name, values]) => [name, listOf(values)]),
    subjectClaim: options.subjectClaim ?? 'sub',
    tenantClaim: tenantClaimRules(options),
    identitySuffices: options.requireVerifiedEmail === false,
    maxTokenBytes: options.maxTokenBytes ?? defaultTokenBytes,
    toleranceSeconds: options.clockToleranceSeconds ?? toleranceSeconds,
    maxLifetimeSeconds: Number.POSITIVE_INFINITY,
  }
}

function listOf<Value>(value: Value | readonly Value[]): readonly Value[] {
  return Array.isArray(value) ? (value as readonly Value[]) : [value as Value]
}

/** Refuses a token, and names the issuer's setting that would accept it. */
function refuse({ issuer, isOwn }: TokenPolicy, check: string, help?: string): never {
  throw new TokenRefusal(check, issuer, isOwn ? undefined : help)
}

/**
 * Checks a token header and returns algorithm and id of the key. Embedded keys and key addresses (`jwk`, `jku`, `x5u`,
 * `x5c`) are never read.
 * @throws {@link TokenRefusal}
 */
export function checkHeader(
  header: ParsedToken['header'],
  policy: TokenPolicy,
): { readonly algorithm: string; readonly kid: string | undefined } {
  const { alg, typ = null, kid } = header
  if (typeof alg !== 'string' || !policy.algorithms.includes(alg)) {
    const isShared = typeof alg === 'string' && alg.startsWith('HS')
    refuse(
      policy,
      'algorithm',
      `its "alg" is ${quote(alg)}; ${
        isShared
          ? 'let the issuer sign with an asymmetric key: a secret that verifies tokens can make them, too'
          : 'set "algorithm" in TENANT_OIDC_ISSUERS if this issuer signs with it'
      }`,
    )
  }
  checkType(typ, 'typ' in header, policy)
  if ('crit' in header || 'b64' in header) refuse(policy, 'critical header parameters')
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 255)) refuse(policy, 'key id')
  if (policy.isOwn && (kid === undefined || Object.keys(header).length !== 3)) refuse(policy, 'own header')
  return { algorithm: alg, kid }
}

function checkType(typ: unknown, isThere: boolean, policy: TokenPolicy): void {
  const type = typeof typ === 'string' && !policy.isOwn ? typ.toLowerCase() : typ
  if (isThere ? typeof type === 'string' && policy.types.includes(type) : policy.types.includes(null)) return
  refuse(
    policy,
    'type',
    isThere
      ? `its "typ" is ${quote(typ)}; set "typ" in TENANT_OIDC_ISSUERS if the access tokens of this issuer have that one`
      : 'it has no "typ"; set "typ": null in TENANT_OIDC_ISSUERS if this issuer sends none',
  )
}

/**
 * Checks all claims of a token, before any key is looked up or signature verified.
 * @throws {@link TokenRefusal}
 */
export function checkClaims(claims: ParsedToken['claims'], policy: TokenPolicy, nowSeconds: number): VerifiedToken {
  const { isOwn } = policy
  const issuer = checkIssuer(claims, policy)
  checkAudience(claims, policy)
  checkRequiredClaims(claims, policy)
  const subject = Object.hasOwn(claims, policy.subjectClaim) ? claims[policy.subjectClaim] : undefined
  if (!isSubject(subject)) {
    refuse(
      policy,
      'subject',
      `its claim "${policy.subjectClaim}" is ${quote(subject)}, which names no user; let the issuer add it, or set "subjectClaim" in TENANT_OIDC_ISSUERS`,
    )
  }
  const { issuedAt, expiresAt } = checkTimes(claims, policy, nowSeconds)
  const impersonation = isOwn ? checkOwnClaims(claims, policy, expiresAt - issuedAt) : undefined
  const tenants = readTenants(claims, policy.tenantClaim, (help) => refuse(policy, 'tenant', help))
  return Object.freeze({
    issuer,
    subject,
    isOwn,
    epoch: isOwn ? (claims['epoch'] as number) : undefined,
    issuedAt,
    expiresAt,
    tenant: tenants.length === 1 ? tenants[0] : undefined,
    ...(tenants.length > 1 ? { tenants: Object.freeze(tenants) } : undefined),
    ...(issuer === policy.issuer ? undefined : { configuredIssuer: policy.issuer }),
    ...(policy.identitySuffices ? { identitySuffices: true } : undefined),
    ...(impersonation && { impersonation: Object.freeze(impersonation) }),
    ...(isOwn ? undefined : { clockToleranceSeconds: policy.toleranceSeconds }),
    claims: deepFreeze(claims),
  })
}

function checkIssuer({ iss, tid }: ParsedToken['claims'], policy: TokenPolicy): string {
  if (!policy.issuer.includes(issuerTenantPlaceholder)) {
    if (iss !== policy.issuer) refuse(policy, 'issuer')
    return policy.issuer
  }
  const directory = typeof iss === 'string' ? readIssuerTenant(policy.issuer, iss) : undefined
  // Anybody with a directory can get tokens that name it in one claim, so both claims must agree.
  if (typeof iss !== 'string' || directory === undefined || directory !== tid) refuse(policy, 'issuer')
  if (policy.directories !== 'any' && !policy.directories?.has(directory)) {
    refuse(
      policy,
      'directory',
      `its directory is ${directory}; add it to "issuerTenants" in TENANT_OIDC_ISSUERS if it may come in`,
    )
  }
  return iss
}

function checkAudience(claims: ParsedToken['claims'], policy: TokenPolicy): void {
  const { audienceClaim: name } = policy
  const value = claims[name]
  // Only `aud` may be a list (RFC 7519, 4.1.3).
  const audiences: readonly unknown[] = name === 'aud' && Array.isArray(value) ? value : [value]
  const areTexts = audiences.every((item) => typeof item === 'string')
  if (areTexts && audiences.some((item) => policy.audiences.includes(item))) return
  refuse(
    policy,
    'audience',
    value === undefined
      ? `it has no "${name}"; let the issuer add it, or set "audienceClaim" in TENANT_OIDC_ISSUERS to the claim that names the client`
      : `its "${name}" is ${quote(value)}; set "audience" in TENANT_OIDC_ISSUERS if tokens for that one are for this API`,
  )
}

function checkRequiredClaims(claims: ParsedToken['claims'], policy: TokenPolicy): void {
  for (const [name, values] of policy.requiredClaims) {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined
    const isScope = (name === 'scope' || name === 'scp') && typeof value === 'string'
    const found: readonly unknown[] = Array.isArray(value) ? value : isScope ? value.split(' ') : [value]
    if (!found.some((item) => values.includes(item as ClaimValue))) {
      refuse(
        policy,
        `required claim ${name}`,
        `its claim "${name}" is ${quote(value)}; "requiredClaims" in TENANT_OIDC_ISSUERS demands ${values.map(quote).join(' or ')}`,
      )
    }
  }
}

function checkTimes(claims: ParsedToken['claims'], policy: TokenPolicy, nowSeconds: number) {
  const { toleranceSeconds } = policy
  const clock = '; compare the clocks, and set "clockToleranceSeconds" in TENANT_OIDC_ISSUERS if they cannot agree'
  const issuedAt = numericDate(claims, 'iat', policy)
  const expiresAt = numericDate(claims, 'exp', policy)
  const latest = nowSeconds + toleranceSeconds
  const early = (seconds: number) => `${Math.ceil(seconds - nowSeconds)} s ahead of this clock${clock}`
  if (issuedAt > latest) refuse(policy, 'issued in the future', `it was issued ${early(issuedAt)}`)
  if (expiresAt <= issuedAt) refuse(policy, 'expires before it was issued')
  if (expiresAt + toleranceSeconds <= nowSeconds) refuse(policy, 'expired')
  const { nbf, auth_time: authTime } = claims
  if (nbf !== undefined && numericDate(claims, 'nbf', policy) > latest) {
    refuse(policy, 'not valid yet', `it is valid from ${early(nbf as number)}`)
  }
  if (!policy.isOwn && typeof authTime === 'number' && authTime > latest) {
    refuse(policy, 'authenticated in the future', `its user logged in ${early(authTime)}`)
  }
  return { issuedAt, expiresAt }
}

function numericDate(claims: ParsedToken['claims'], name: string, policy: TokenPolicy): number {
  const value = claims[name]
  if (typeof value !== 'number' || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) refuse(policy, name)
  return value
}

function checkOwnClaims(
  claims: ParsedToken['claims'],
  policy: TokenPolicy,
  lifetimeSeconds: number,
): TokenImpersonation | undefined {
  const { jti, epoch, aud, act, tenant } = claims
  const { impersonationAudience } = policy
  if (typeof jti !== 'string' || jti === '') refuse(policy, 'token id')
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch)) refuse(policy, 'epoch')
  const isImpersonation = impersonationAudience !== undefined && aud === impersonationAudience
  if (lifetimeSeconds > (isImpersonation ? maxImpersonationTokenSeconds : policy.maxLifetimeSeconds)) {
    refuse(policy, 'lifetime')
  }
  // Neither a token of a member nor one of a platform administrator says that somebody else acts.
  if (!isImpersonation) return act === undefined ? undefined : refuse(policy, 'actor')
  const administrator = typeof act === 'object' && act !== null && 'sub' in act ? act.sub : undefined
  if (typeof administrator !== 'string' || administrator === '') refuse(policy, 'actor')
  if (typeof tenant !== 'string') refuse(policy, 'tenant')
  return { id: jti, administrator }
}

/** Freezes without recursion, because the maker of a token decides how deeply it is nested. */
function deepFreeze<Value extends object>(value: Value): Value {
  const open: object[] = [value]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const item of Object.values(next)) if (typeof item === 'object' && item !== null) open.push(item as object)
    Object.freeze(next)
  }
  return value
}
