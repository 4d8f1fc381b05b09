import { LRUCache } from 'lru-cache'
import { TenancyError } from '../core/errors/errors.js'
import type { TokenVerifier, VerifiedToken } from '../core/identity/identity.js'
import { type IssuerOptions, issuerTenantPlaceholder, readIssuerTenant } from '../core/identity/issuer.js'
import { type Logger, stderrLogger } from '../core/logger.js'
import { createRefusalLog } from '../core/refusal-log.js'
import type { VerificationKeys } from '../core/identity/signing-keys.js'
import { requireSafeIssuers } from './safe-issuers.js'
import { defaultTokenBytes, parseToken } from './parse-token.js'
import { createRemoteKeys, type KeyFetchOptions } from './keys/remote-keys.js'
import { checkClaims, checkHeader, foreignPolicy, type OwnIssuer, ownPolicy, type TokenPolicy } from './token-policy.js'
import { quote, TokenRefusal } from './token-refusal.js'
import { checkSignature } from './token-signature.js'

/** Options of {@link createTokenVerifier}. */
export interface TokenVerifierOptions {
  /** Foreign issuers. Default: none. */
  readonly issuers?: readonly IssuerOptions[]
  /** Our own issuer. Default: none. */
  readonly own?: (OwnIssuer & { readonly keys: VerificationKeys }) | undefined
  /** Most tokens remembered. Default: 10000. */
  readonly cacheSize?: number
  /** Most bytes of remembered tokens, including their claims. Default: 64 MiB. */
  readonly cacheBytes?: number
  /** Tolerance for differences between clocks, in seconds, unless an issuer has its own. Default: 5. */
  readonly clockToleranceSeconds?: number
  readonly keyFetch?: KeyFetchOptions
  readonly logger?: Logger
  /** The clock, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number
}

interface TrustedIssuer {
  readonly policy: TokenPolicy
  readonly keys: VerificationKeys
}

interface Remembered {
  readonly token: string
  readonly verified: VerifiedToken
  readonly keys: VerificationKeys
  /** The value of `keys.generation` when the signature was verified. */
  readonly generation: number
  /** When the token expires, including its issuer's tolerance, in milliseconds since 1970. */
  readonly endsAtMs: number
}

/**
 * Length of the key under which a token is cached: the end of its signature. Hashing 12 characters takes a tenth of the time
 * that the whole token would. The token found is then compared as a whole.
 */
const lookUpLength = 12

/** Memory that a cached token takes per character, including its claims as objects: measured, and rounded up. */
const bytesPerLetter = 6

/**
 * Creates the verifier of JWT access tokens (RFC 9068), of our own and of foreign issuers. A token that can be refused without
 * a key is refused before one is looked up. Only verified tokens are cached; refusals are not.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: issuers that could be taken for each other, or whose settings are unsafe
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { logger = stderrLogger, now = Date.now } = options
  const findIssuer = trustedIssuers(options, logger)
  const logRefusal = createRefusalLog(logger)
  const remembered = new LRUCache<string, Remembered>({
    max: options.cacheSize ?? 10_000,
    maxSize: options.cacheBytes ?? 64 * 1024 * 1024,
    sizeCalculation: ({ token }) => token.length * bytesPerLetter,
  })
  const underway = new Map<string, Promise<VerifiedToken>>()
  const longestToken = Math.max(
    defaultTokenBytes,
    ...(options.issuers ?? []).map((issuer) => issuer.maxTokenBytes ?? 0),
  )

  function refused(reason: unknown): unknown {
    if (!(reason instanceof TokenRefusal)) return reason
    logRefusal(reason)
    return new TenancyError('TENANCY_AUTH_TOKEN_INVALID', 'The access token is not valid here: get a new one')
  }

  function begin(token: string): Promise<VerifiedToken> {
    const { header, claims } = parseToken(token, longestToken)
    const issuer = findIssuer(claims['iss'])
    if (!issuer) {
      throw new TokenRefusal(
        'issuer',
        undefined,
        `its "iss" is ${quote(claims['iss'])}, which is not in TENANT_OIDC_ISSUERS (compared exactly, up to a slash at the end)`,
      )
    }
    if (token.length > issuer.policy.maxTokenBytes) {
      throw new TokenRefusal(
        'length',
        issuer.policy.issuer,
        `it has ${token.length} bytes; raise "maxTokenBytes" in TENANT_OIDC_ISSUERS if this issuer makes such tokens`,
      )
    }
    const wanted = checkHeader(header, issuer.policy)
    const verified = checkClaims(claims, issuer.policy, now() / 1000)
    return finish(token, verified, issuer, wanted)
  }

  async function finish(
    token: string,
    verified: VerifiedToken,
    { keys, policy }: TrustedIssuer,
    { algorithm, kid }: ReturnType<typeof checkHeader>,
  ): Promise<VerifiedToken> {
    const generation = keys.generation
    const key = await keys.findKey(algorithm, kid)
    if (!key) throw new TokenRefusal('unknown key', policy.issuer)
    await checkSignature(token, key, { algorithm, lowS: policy.isOwn, issuer: policy.issuer })
    const endsAtMs = (verified.expiresAt + policy.toleranceSeconds) * 1000
    if (endsAtMs <= now()) throw new TokenRefusal('expired', policy.issuer)
    remembered.set(token.slice(-lookUpLength), { token, verified, keys, generation, endsAtMs })
    return verified
  }

  function verify(token: string, sinceMs = performance.now()): VerifiedToken | Promise<VerifiedToken> {
    const lookUp = token.slice(-lookUpLength)
    const found = remembered.get(lookUp)
    const hit = found?.token === token ? found : undefined
    if (hit && hit.keys.isCurrent(hit.generation, sinceMs) && hit.endsAtMs > now()) return hit.verified
    const running = underway.get(token)
    // The running verification began before this request, perhaps with a key that was withdrawn since. So its result is
    // checked like any cached token. If it is too old, a new verification starts, which others may share.
    if (running) return running.then(() => verify(token, sinceMs))
    if (hit) remembered.delete(lookUp)
    try {
      const promise = begin(token)
        .catch((reason: unknown) => {
          throw refused(reason)
        })
        .finally(() => underway.delete(token))
      underway.set(token, promise)
      return promise
    } catch (reason) {
      throw refused(reason)
    }
  }

  return { verify }
}

/** Returns the function that finds the issuer of a token by its `iss`: an exact match, else a template. */
function trustedIssuers(options: TokenVerifierOptions, logger: Logger): (iss: unknown) => TrustedIssuer | undefined {
  const { issuers = [], own, clockToleranceSeconds } = options
  requireSafeIssuers(issuers, own?.issuer)
  const trusted = new Map<string, TrustedIssuer>()
  const templates: (readonly [template: string, issuer: TrustedIssuer])[] = []
  for (const issuer of issuers) {
    const entry = {
      policy: foreignPolicy(issuer, clockToleranceSeconds),
      keys: createRemoteKeys(issuer, options.keyFetch ?? {}, logger),
    }
    if (issuer.issuer.includes(issuerTenantPlaceholder)) templates.push([issuer.issuer, entry])
    else trusted.set(issuer.issuer, entry)
  }
  if (own) {
    trusted.set(own.issuer, { policy: ownPolicy(own, clockToleranceSeconds), keys: own.keys })
  }
  return (iss) => {
    if (typeof iss !== 'string') return undefined
    const exact = trusted.get(iss)
    if (exact !== undefined) return exact
    return templates.find(([template]) => readIssuerTenant(template, iss) !== undefined)?.[1]
  }
}
