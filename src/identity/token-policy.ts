import type { IssuerOptions, VerifiedToken } from '../core/identity.js'
import { maxAccessTokenSeconds } from '../core/signing-keys.js'
import type { ParsedToken } from './parse-token.js'
import { TokenRefusal } from './token-refusal.js'

/** What the tokens of one issuer must look like. */
export interface TokenPolicy {
  readonly issuer: string
  readonly isOwn: boolean
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  /** Accepted `typ`, lower case. */
  readonly types: readonly string[]
  readonly tenantClaim: string | undefined
}

/** Our own tokens. Each key has one algorithm; a token that names another one finds no key. */
export function ownPolicy(issuer: string, audience: string): TokenPolicy {
  return {
    issuer,
    isOwn: true,
    audiences: [audience],
    algorithms: ['EdDSA', 'ES256'],
    types: ['at+jwt'],
    tenantClaim: 'tenant',
  }
}

/** Tokens of a foreign issuer. `application/` may be left out of a media type (RFC 7515, 4.1.9). */
export function foreignPolicy(options: IssuerOptions): TokenPolicy {
  const { issuer, audience, algorithm = 'RS256', typ = 'at+jwt', tenantClaim } = options
  const type = typ.toLowerCase()
  return {
    issuer,
    isOwn: false,
    audiences: typeof audience === 'string' ? [audience] : audience,
    algorithms: [algorithm],
    types: type.includes('/') ? [type] : [type, `application/${type}`],
    tenantClaim,
  }
}

/**
 * Checks a token header and answers where to look up the key. Embedded keys and key addresses (`jwk`, `jku`,
 * `x5u`, `x5c`) are never read.
 * @throws {@link TokenRefusal}
 */
export function checkHeader(
  header: ParsedToken['header'],
  policy: TokenPolicy,
): { readonly algorithm: string; readonly kid: string | undefined } {
  const { alg, typ, kid } = header
  if (typeof alg !== 'string' || !policy.algorithms.includes(alg)) throw new TokenRefusal('algorithm')
  if (typeof typ !== 'string' || !policy.types.includes(policy.isOwn ? typ : typ.toLowerCase())) {
    throw new TokenRefusal('type')
  }
  if ('crit' in header || 'b64' in header) throw new TokenRefusal('critical header parameters')
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 255)) throw new TokenRefusal('key id')
  if (policy.isOwn && (kid === undefined || Object.keys(header).length !== 3)) throw new TokenRefusal('own header')
  return { algorithm: alg, kid }
}

/**
 * Checks everything a token claims, before any key is looked up or signature verified.
 * @throws {@link TokenRefusal}
 */
export function checkClaims(
  claims: ParsedToken['claims'],
  policy: TokenPolicy,
  nowSeconds: number,
  toleranceSeconds: number,
): VerifiedToken {
  const { iss, sub, aud, nbf } = claims
  if (iss !== policy.issuer) throw new TokenRefusal('issuer')
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!audiences.every((item) => typeof item === 'string')) throw new TokenRefusal('audience')
  if (!audiences.some((item) => policy.audiences.includes(item))) throw new TokenRefusal('audience')
  if (typeof sub !== 'string' || !subjectPattern.test(sub)) throw new TokenRefusal('subject')
  const issuedAt = numericDate(claims, 'iat')
  const expiresAt = numericDate(claims, 'exp')
  if (issuedAt > nowSeconds + toleranceSeconds) throw new TokenRefusal('issued in the future')
  if (expiresAt <= issuedAt) throw new TokenRefusal('expires before it was issued')
  if (expiresAt + toleranceSeconds <= nowSeconds) throw new TokenRefusal('expired')
  if (nbf !== undefined && numericDate(claims, 'nbf') > nowSeconds + toleranceSeconds) {
    throw new TokenRefusal('not valid yet')
  }
  if (policy.isOwn) checkOwnClaims(claims, expiresAt - issuedAt)
  const tenant = policy.tenantClaim === undefined ? undefined : claims[policy.tenantClaim]
  if (tenant !== undefined && typeof tenant !== 'string') throw new TokenRefusal('tenant')
  return Object.freeze({
    issuer: policy.issuer,
    subject: sub,
    isOwn: policy.isOwn,
    epoch: policy.isOwn ? (claims['epoch'] as number) : undefined,
    issuedAt,
    expiresAt,
    tenant,
    claims: deepFreeze(claims),
  })
}

// Control characters end in the database's refusal, lone surrogates in two subjects becoming one.
const subjectPattern = /^[^\p{Cc}\p{Cs}]{1,255}$/u

function numericDate(claims: ParsedToken['claims'], name: string): number {
  const value = claims[name]
  if (typeof value !== 'number' || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) throw new TokenRefusal(name)
  return value
}

function checkOwnClaims(claims: ParsedToken['claims'], lifetimeSeconds: number): void {
  const { jti, epoch } = claims
  if (typeof jti !== 'string' || jti === '') throw new TokenRefusal('token id')
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch)) throw new TokenRefusal('epoch')
  if (lifetimeSeconds > maxAccessTokenSeconds) throw new TokenRefusal('lifetime')
}

function deepFreeze<Value extends object>(value: Value): Value {
  for (const item of Object.values(value)) if (typeof item === 'object' && item !== null) deepFreeze(item)
  return Object.freeze(value)
}
