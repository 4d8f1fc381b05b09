import { createRemoteJWKSet, customFetch, errors, jwksCache, type JWK, type JWKSCacheInput } from 'jose'
import { TenancyError } from '../../core/errors/errors.js'
import { type IssuerOptions, issuerTenantPlaceholder } from '../../core/identity/issuer.js'
import type { Logger } from '../../core/logger.js'
import type { VerificationKeys } from '../../core/identity/signing-keys.js'
import type { GuardedRequestOptions } from './guarded-request.js'
import { createJsonFetch } from './json-fetch.js'
import { createDiscovery, isLoopbackAddress } from './key-address.js'
import { problemOfKey } from './usable-key.js'

/** Settings for fetching the keys of foreign issuers. */
export interface KeyFetchOptions extends Pick<GuardedRequestOptions, 'lookup' | 'ca'> {
  /** Longest wait for an answer. Default: 5000. */
  readonly timeoutMs?: number | undefined
  /** Least time between two fetches for unknown key ids. Default: 30000. */
  readonly cooldownMs?: number | undefined
  /** Keys are fetched again when older than this. Default: 600000. */
  readonly maxAgeMs?: number | undefined
  /** Least time from a failure to the next try. Default: 1000. */
  readonly retryAfterMs?: number | undefined
}

/** Creates the keys of a foreign issuer. They are fetched on first use, and again when they are old or a key id is unknown. */
export function createRemoteKeys(options: IssuerOptions, fetching: KeyFetchOptions, logger: Logger): VerificationKeys {
  const { issuer, jwksUri } = options
  const { timeoutMs = 5000, cooldownMs = 30_000, maxAgeMs = 600_000, retryAfterMs = 1000, lookup, ca } = fetching
  const rules = { loopback: isLoopbackAddress(jwksUri ?? issuer), privateNetwork: options.allowPrivateNetwork === true }
  const through = { retryAfterMs, rules, lookup, ca, logger }
  const isTemplate = issuer.includes(issuerTenantPlaceholder)
  const discover = createDiscovery({ issuer, timeoutMs, ...through })
  const fetchKeySet = createJsonFetch({ ...through, accept: usableKeys })
  const fetched: { uat?: number; jwks?: { keys: JWK[] } } = {}
  let opening: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined
  let remote: ReturnType<typeof createRemoteJWKSet> | undefined
  let known: readonly string[] = []
  let knownSince: number | undefined
  let generation = 0

  /** Gives the keys that may verify a token. A token that names any other key is refused as if the issuer had none such. */
  function usableKeys(document: unknown): { readonly keys: readonly object[] } {
    const keys = (document as { keys?: unknown } | null)?.keys
    if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'object' && key !== null)) {
      throw new Error('The JWKS document holds no list of keys')
    }
    return {
      keys: (keys as { readonly kid?: unknown; readonly issuer?: unknown }[]).filter((key) => {
        // Entra publishes the keys of all directories in one place, and marks those that sign for one directory only.
        if (isTemplate && key.issuer !== undefined && key.issuer !== issuer) return false
        const problem = problemOfKey(key)
        if (problem !== undefined) logger.warn({ issuer, kid: key.kid }, `A key of a token issuer ${problem}: not used`)
        return problem === undefined
      }),
    }
  }

  async function open(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    remote = createRemoteJWKSet(new URL(jwksUri ?? (await discover())), {
      timeoutDuration: timeoutMs,
      cooldownDuration: cooldownMs,
      cacheMaxAge: maxAgeMs,
      [customFetch]: fetchKeySet,
      [jwksCache]: fetched as JWKSCacheInput,
    })
    return remote
  }

  function noteWithdrawn(): void {
    if (fetched.uat === knownSince) return
    knownSince = fetched.uat
    const now = (fetched.jwks?.keys ?? []).map((key) => JSON.stringify(key))
    if (known.some((key) => !now.includes(key))) generation += 1
    known = now
  }

  return {
    get generation() {
      return generation
    },
    isCurrent(asOf) {
      // Remembered tokens stay valid while the issuer is down; a withdrawn key is noticed once it is up.
      if (remote && !remote.fresh && !remote.reloading) remote.reload().then(noteWithdrawn, () => {})
      return asOf === generation
    },
    async findKey(algorithm, kid) {
      try {
        opening ??= open()
        const find = await opening
        return await find(kid === undefined ? { alg: algorithm } : { alg: algorithm, kid })
      } catch (error) {
        if (isUnknownKey(error)) return undefined
        // The issuer may have moved its keys: discover again.
        if (!remote?.fresh) opening = undefined
        throw new TenancyError(
          'TENANCY_AUTH_ISSUER_UNAVAILABLE',
          `The keys of issuer ${issuer} could not be fetched: check that its JWKS address answers`,
          { cause: error },
        )
      } finally {
        noteWithdrawn()
      }
    },
  }
}

function isUnknownKey(error: unknown): boolean {
  return (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSENotSupported
  )
}
