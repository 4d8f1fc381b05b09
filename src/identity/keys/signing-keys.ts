import { randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import { type Logger, stderrLogger } from '../../core/logger.js'
import {
  type AccessTokenInput,
  maxAccessTokenSeconds,
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
  /** For keys made from now on. Default: `EdDSA`. */
  readonly algorithm?: SigningAlgorithm
  /** Keys are read again when older than this. Default: 30000. */
  readonly refreshMs?: number
  /** Least time between two reads for key ids that are not known. Default: 1000. */
  readonly cooldownMs?: number
  /**
   * Up to when every change of the keys has been told by `invalidate()` (`performance.now()`), and for how long they are
   * believed beyond that without being read again; 0: not at all. Default: nothing is told, they are read by time alone.
   */
  readonly changes?: { readonly confirmedAtMs: number; readonly maxStalenessMs: number }
  readonly logger?: Logger
  /** The clock, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number
}

/**
 * Our own issuer of access tokens. Reads its keys on first use, makes the first one if there is none, and reads
 * them again while it is used, so it needs no timer and no closing.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: the secret is too short
 */
export function createSigningKeys(options: SigningKeysOptions): SigningKeys {
  const { store, issuer, audience, algorithm = 'EdDSA', logger = stderrLogger, now = Date.now } = options
  const { refreshMs = 30_000, cooldownMs = 1000, changes } = options
  const seal = createKeySeal(options.secret)
  // Processes that read every `refreshMs` know a successor well before it signs; 60 s more for clocks that differ.
  const publishSeconds = Math.ceil((2 * refreshMs) / 1000) + 60
  const keepSeconds = maxAccessTokenSeconds + 60
  let keys: ReadonlyMap<string, OpenSigningKey> = new Map()
  let generation = 0
  let readAtMs = Number.NEGATIVE_INFINITY
  let failedAtMs = Number.NEGATIVE_INFINITY
  let reading: Promise<void> | undefined
  /** When the read that gave `keys` began, by the clock of `changes`. */
  let knownAtMs = Number.NEGATIVE_INFINITY
  let doubts = 0
  /** How many doubts the keys in memory have answered. */
  let answeredDoubts = 0

  function read(): Promise<void> {
    reading ??= readKeys().finally(() => {
      reading = undefined
    })
    return reading
  }

  async function readKeys(): Promise<void> {
    const startedAtMs = now()
    const [sinceMs, answering] = [performance.now(), doubts]
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
      answeredDoubts = answering
      failedAtMs = Number.NEGATIVE_INFINITY
    } catch (error) {
      failedAtMs = now()
      logger.warn({ error: String(error) }, 'The signing keys could not be read')
      if (isTenancyError(error)) throw error
      throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The signing keys could not be read from the catalog', {
        cause: error,
      })
    }
  }

  const isOlderThan = (ageMs: number) => now() - readAtMs >= ageMs

  /** Whether no withdrawal can have been missed, as far as `changes` promises. */
  function isKnown(momentMs: number): boolean {
    if (answeredDoubts !== doubts) return false
    return changes === undefined || Math.max(knownAtMs, changes.confirmedAtMs) >= momentMs - changes.maxStalenessMs
  }

  async function requireFreshKeys(): Promise<void> {
    const sinceMs = performance.now()
    if (isOlderThan(refreshMs)) await read()
    // A read that was under way may have begun too early: then another one follows.
    while (!isKnown(sinceMs)) await read()
  }

  function signingKey(): OpenSigningKey {
    const inOrder = [...keys.values()].toSorted((a, b) => a.signsFromMs - b.signsFromMs)
    // The first key of all signs even when this clock runs behind the catalog's.
    const key = inOrder.findLast((candidate) => candidate.signsFromMs <= now()) ?? inOrder[0]
    if (!key) throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog holds no signing key')
    return key
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
      // A withdrawn key must end here too: without word from the catalog, nothing remembered counts for long.
      return asOf === generation && ageMs < 2 * refreshMs && isKnown(sinceMs)
    },
    invalidate() {
      doubts += 1
    },
    async findKey(wantedAlgorithm, kid) {
      await requireFreshKeys()
      if (kid === undefined) return undefined
      if (!keys.has(kid) && isOlderThan(cooldownMs)) await read()
      const key = keys.get(kid)
      return key?.algorithm === wantedAlgorithm ? key.publicKey : undefined
    },
    async issueAccessToken(input) {
      requireSaneLifetime(input)
      await requireFreshKeys()
      const { userId, epoch, tenant, ttlSeconds } = input
      const key = signingKey()
      const issuedAt = Math.floor(now() / 1000)
      const tokenId = randomUUID()
      const token = await new SignJWT({ epoch, ...(tenant === undefined ? {} : { tenant }) })
        .setProtectedHeader({ typ: 'at+jwt', alg: key.algorithm, kid: key.kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(userId)
        .setJti(tokenId)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + ttlSeconds)
        .sign(key.privateKey)
      return { token: key.algorithm === 'ES256' ? withLowS(token) : token, expiresIn: ttlSeconds, tokenId }
    },
    async jwks() {
      await requireFreshKeys()
      return { keys: [...keys.values()].map((key) => key.jwk) }
    },
    async rotate({ withdraw = false, actor } = {}) {
      const key = await generateSigningKey(algorithm, seal)
      const times = withdraw ? { publishSeconds: 0, keepSeconds: 0 } : { publishSeconds, keepSeconds }
      await store.addSuccessor(key, times, actor)
      // A read that is under way may have begun before the successor was there.
      await reading?.catch(() => {})
      await read()
    },
  }
}

function requireSaneLifetime({ ttlSeconds }: AccessTokenInput): void {
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > maxAccessTokenSeconds) {
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      `An access token cannot live ${ttlSeconds} seconds: choose 1 to ${maxAccessTokenSeconds}`,
    )
  }
}

function withLowS(token: string): string {
  const signatureAt = token.lastIndexOf('.') + 1
  const signature = Buffer.from(token.slice(signatureAt), 'base64url')
  return token.slice(0, signatureAt) + toLowS(signature).toString('base64url')
}
