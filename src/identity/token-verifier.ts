import { LRUCache } from 'lru-cache'
import { TenancyError } from '../core/errors.js'
import type { IssuerOptions, TokenVerifier, VerifiedToken } from '../core/identity.js'
import { type Logger, stderrLogger } from '../core/logger.js'
import type { VerificationKeys } from '../core/signing-keys.js'
import { requireSafeIssuers } from './issuer-options.js'
import { parseToken } from './parse-token.js'
import { createRemoteKeys, type KeyFetchTimes } from './remote-keys.js'
import { checkClaims, checkHeader, foreignPolicy, ownPolicy, type TokenPolicy } from './token-policy.js'
import { TokenRefusal } from './token-refusal.js'
import { checkSignature } from './token-signature.js'

/** Options of {@link createTokenVerifier}. */
export interface TokenVerifierOptions {
  /** Foreign issuers. Default: none. */
  readonly issuers?: readonly IssuerOptions[]
  /** Our own issuer. Default: none. */
  readonly own?: { readonly issuer: string; readonly audience: string; readonly keys: VerificationKeys } | undefined
  /** Most tokens remembered. Default: 10000. */
  readonly cacheSize?: number
  /** Difference between clocks that is forgiven. Default: 5. */
  readonly clockToleranceSeconds?: number
  readonly keyFetch?: KeyFetchTimes
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
  /** `keys.generation` when the signature was verified. */
  readonly generation: number
}

/**
 * What a token is looked up by: to hash 12 letters of its signature takes a tenth of the time that all of it would.
 * The token found is then compared with all of it.
 */
const lookUpLength = 12

/** All tokens together; their claims take about four times as much. */
const maxRememberedLetters = 16 * 2 ** 20

/**
 * Verifies JWT access tokens (RFC 9068) of our own and of foreign issuers. All that can be refused without a key is
 * refused before one is looked up. Only verified tokens are remembered; refusals are worked out anew.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: an issuer is named twice, or its keys would travel unprotected
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { clockToleranceSeconds = 5, logger = stderrLogger, now = Date.now } = options
  const issuers = trustedIssuers(options, logger)
  const remembered = new LRUCache<string, Remembered>({
    max: options.cacheSize ?? 10_000,
    maxSize: maxRememberedLetters,
  })
  const underway = new Map<string, Promise<VerifiedToken>>()

  function isExpired(token: VerifiedToken): boolean {
    return (token.expiresAt + clockToleranceSeconds) * 1000 <= now()
  }

  function refused(reason: unknown): unknown {
    if (!(reason instanceof TokenRefusal)) return reason
    logger.debug({ reason: reason.message }, 'An access token was refused')
    return new TenancyError('TENANCY_AUTH_TOKEN_INVALID', 'The access token is not valid here: get a new one')
  }

  function begin(token: string): Promise<VerifiedToken> {
    const { header, claims } = parseToken(token)
    const issuer = typeof claims['iss'] === 'string' ? issuers.get(claims['iss']) : undefined
    if (!issuer) throw new TokenRefusal('issuer')
    const wanted = checkHeader(header, issuer.policy)
    const verified = checkClaims(claims, issuer.policy, now() / 1000, clockToleranceSeconds)
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
    if (!key) throw new TokenRefusal('unknown key')
    await checkSignature(token, key, { algorithm, lowS: policy.isOwn })
    if (isExpired(verified)) throw new TokenRefusal('expired')
    remembered.set(token.slice(-lookUpLength), { token, verified, keys, generation }, { size: token.length })
    return verified
  }

  /** @param sinceMs when the request arrived (`performance.now()`) */
  function verify(token: string, sinceMs: number): VerifiedToken | Promise<VerifiedToken> {
    const lookUp = token.slice(-lookUpLength)
    const found = remembered.get(lookUp)
    const hit = found?.token === token ? found : undefined
    if (hit && hit.keys.isCurrent(hit.generation, sinceMs) && !isExpired(hit.verified)) return hit.verified
    const running = underway.get(token)
    // It began before this request: with keys, perhaps, of which one was withdrawn since. So what it found is looked at
    // like anything remembered, and where that is too old the next verification, which begins now, is shared.
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

  return { verify: (token) => verify(token, performance.now()) }
}

function trustedIssuers(options: TokenVerifierOptions, logger: Logger): ReadonlyMap<string, TrustedIssuer> {
  const { issuers = [], own } = options
  requireSafeIssuers(issuers, own?.issuer)
  const trusted = new Map<string, TrustedIssuer>()
  for (const issuer of issuers) {
    trusted.set(issuer.issuer, {
      policy: foreignPolicy(issuer),
      keys: createRemoteKeys(issuer, options.keyFetch ?? {}, logger),
    })
  }
  if (own) trusted.set(own.issuer, { policy: ownPolicy(own.issuer, own.audience), keys: own.keys })
  return trusted
}
