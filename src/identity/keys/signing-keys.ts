import { randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import { TenancyError } from '../../core/errors/errors.js'
import { asCatalogOutage } from '../../postgres/outages/catalog-outage.js'
import { type Logger, stderrLogger } from '../../core/logger.js'
import {
  impersonationAudienceOf,
  type IssuedToken,
  maxAccessTokenSeconds,
  maxImpersonationTokenSeconds,
  maxPlatformTokenSeconds,
  platformAudienceOf,
  type SigningAlgorithm,
  type SigningKeys,
  type SigningKeyStore,
} from '../../core/identity/signing-keys.js'
import { toLowS } from './low-s.js'
import { createKeySeal } from './key-seal.js'
import { generateSigningKey, type OpenSigningKey, openSigningKey } from './signing-key.js'

/** Options of {@link createSigningKeys}. */
export interface SigningKeysOptions {
  readonly store: SigningKeyStore
  /** TENANT_SECRET, 32 bytes: opens the stored keys. */
  readonly secret: Uint8Array
  readonly issuer: string
  readonly audience: string
  /** The algorithm of new keys. Default: `EdDSA`. */
  readonly algorithm?: SigningAlgorithm
  /** Age at which keys are read again. Default: 30000. */
  readonly refreshMs?: number
  /** Least time between two reads for unknown key ids. Default: 1000. */
  readonly cooldownMs?: number
  /**
   * How changes of the keys are announced by `invalidate()`. `confirmedAtMs` (`performance.now()`): every change up to then
   * has been announced. `maxStalenessMs`: how long after that the keys are used without being read again; 0: not at all.
   * Default: no announcements, the keys are read by time alone.
   */
  readonly changes?: { readonly confirmedAtMs: number; readonly maxStalenessMs: number }
  readonly logger?: Logger
  /** The clock, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number
}

/** A token to sign. */
interface SignInput {
  readonly userId: string
  readonly audience: string
  /** Beside those that every token has. */
  readonly claims: Readonly<Record<string, number | string | Readonly<Record<string, string>>>>
  /** The claim `jti`. Default: a random one. */
  readonly tokenId?: string
  readonly ttlSeconds: number
  readonly maxSeconds: number
}

/**
 * Creates our own issuer of access tokens. It reads its keys on first use, generates the first one if there is none, and reads
 * them again while it is in use, so it needs no timer and no closing.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: the secret is too short
 */
export function createSigningKeys(options: SigningKeysOptions): SigningKeys {
  const { store, issuer, audience, algorithm = 'EdDSA', logger = stderrLogger, now = Date.now } = options
  const { refreshMs = 30_000, cooldownMs = 1000, changes } = options
  const seal = createKeySeal(options.secret)
  // Processes that read every `refreshMs` know a successor well before it signs. 60 s are added for clocks that differ.
  const publishSeconds = Math.ceil((2 * refreshMs) / 1000) + 60
  const keepSeconds = maxPlatformTokenSeconds + 60
  let keys: ReadonlyMap<string, OpenSigningKey> = new Map()
  let generation = 0
  let readAtMs = Number.NEGATIVE_INFINITY
  let failedAtMs = Number.NEGATIVE_INFINITY
  let reading: Promise<void> | undefined
  /** When the read that gave `keys` began (`performance.now()`). */
  let knownAtMs = Number.NEGATIVE_INFINITY
  let invalidations = 0
  /** The value of `invalidations` when the read that gave `keys` began. */
  let knownInvalidations = 0

  function read(): Promise<void> {
    reading ??= readKeys().finally(() => {
      reading = undefined
    })
    return reading
  }

  async function readKeys(): Promise<void> {
    const startedAtMs = now()
    const [sinceMs, seenInvalidations] = [performance.now(), invalidations]
    try {
      let stored = await store.listKeys()
      if (stored.length === 0) {
        await store.addFirstKey(await generateSigningKey(algorithm, seal))
        stored = await store.listKeys()
      }
      const next = new Map(stored.map((key) => [key.kid, keys.get(key.kid) ?? openSigningKey(key, seal)]))
      if ([...keys.keys()].some((kid) => !next.has(kid))) generation += 1
      keys = next
      readAtMs = startedAtMs
      knownAtMs = sinceMs
      knownInvalidations = seenInvalidations
      failedAtMs = Number.NEGATIVE_INFINITY
    } catch (error) {
      failedAtMs = now()
      logger.warn({ error: String(error) }, 'The signing keys could not be read')
      throw asCatalogOutage(error, 'signing keys')
    }
  }

  const isOlderThan = (ageMs: number) => now() - readAtMs >= ageMs

  /** Tells whether no withdrawal can have been missed, as far as `changes` promises. */
  function isKnown(momentMs: number): boolean {
    if (knownInvalidations !== invalidations) return false
    return changes === undefined || Math.max(knownAtMs, changes.confirmedAtMs) >= momentMs - changes.maxStalenessMs
  }

  async function requireFreshKeys(): Promise<void> {
    const sinceMs = performance.now()
    if (isOlderThan(refreshMs)) await read()
    // A read that was running may have begun too early: then another one follows.
    while (!isKnown(sinceMs)) await read()
  }

  function signingKey(): OpenSigningKey {
    const inOrder = [...keys.values()].toSorted((a, b) => a.signsFromMs - b.signsFromMs)
    // The very first key signs even if this clock is behind the catalog's.
    const key = inOrder.findLast((candidate) => candidate.signsFromMs <= now()) ?? inOrder[0]
    if (!key) throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog holds no signing key')
    return key
  }

  async function sign(input: SignInput): Promise<IssuedToken> {
    requireSaneLifetime(input)
    await requireFreshKeys()
    const { userId, claims, ttlSeconds, tokenId = randomUUID() } = input
    const key = signingKey()
    const issuedAt = Math.floor(now() / 1000)
    const token = await new SignJWT(claims)
      .setProtectedHeader({ typ: 'at+jwt', alg: key.algorithm, kid: key.kid })
      .setIssuer(issuer)
      .setAudience(input.audience)
      .setSubject(userId)
      .setJti(tokenId)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + ttlSeconds)
      .sign(key.privateKey)
    return { token: key.algorithm === 'ES256' ? withLowS(token) : token, expiresIn: ttlSeconds, tokenId }
  }

  return {
    issuer,
    audience,
    get generation() {
      return generation
    },
    isCurrent(asOf, sinceMs) {
      const ageMs = now() - readAtMs
      if (ageMs >= refreshMs && now() - failedAtMs >= cooldownMs) read().catch(() => {})
      // A withdrawn key must also end in this process: without a read of the catalog, no remembered token counts for long.
      return asOf === generation && ageMs < 2 * refreshMs && isKnown(sinceMs)
    },
    invalidate() {
      invalidations += 1
    },
    async findKey(wantedAlgorithm, kid) {
      await requireFreshKeys()
      if (kid === undefined) return undefined
      if (!keys.has(kid) && isOlderThan(cooldownMs)) await read()
      const key = keys.get(kid)
      return key?.algorithm === wantedAlgorithm ? key.publicKey : undefined
    },
    issueAccessToken({ userId, epoch, tenant, session, ttlSeconds }) {
      const claims = {
        epoch,
        ...(tenant === undefined ? {} : { tenant }),
        ...(session === undefined ? {} : { sid: session }),
      }
      return sign({ userId, audience, claims, ttlSeconds, maxSeconds: maxAccessTokenSeconds })
    },
    issuePlatformToken({ userId, epoch, grant, ttlSeconds }) {
      const claims = { epoch, grant }
      const maxSeconds = maxPlatformTokenSeconds
      return sign({ userId, audience: platformAudienceOf(audience), claims, ttlSeconds, maxSeconds })
    },
    issueImpersonationToken({ id: tokenId, userId, epoch, tenant, administrator, ttlSeconds }) {
      const claims = { epoch, tenant, act: { sub: administrator } }
      const maxSeconds = maxImpersonationTokenSeconds
      return sign({ userId, audience: impersonationAudienceOf(audience), claims, ttlSeconds, maxSeconds, tokenId })
    },
    async jwks() {
      await requireFreshKeys()
      return { keys: [...keys.values()].map((key) => key.jwk) }
    },
    async rotate({ withdraw = false, actor } = {}) {
      const key = await generateSigningKey(algorithm, seal)
      const times = withdraw ? { publishSeconds: 0, keepSeconds: 0 } : { publishSeconds, keepSeconds }
      await store.addSuccessor(key, times, actor)
      // A running read may have begun before the successor was stored.
      await reading?.catch(() => {})
      await read()
    },
  }
}

function requireSaneLifetime({ ttlSeconds, maxSeconds }: SignInput): void {
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > maxSeconds) {
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      `An access token cannot live ${ttlSeconds} seconds: choose 1 to ${maxSeconds}`,
    )
  }
}

function withLowS(token: string): string {
  const signatureAt = token.lastIndexOf('.') + 1
  const signature = Buffer.from(token.slice(signatureAt), 'base64url')
  return token.slice(0, signatureAt) + toLowS(signature).toString('base64url')
}
