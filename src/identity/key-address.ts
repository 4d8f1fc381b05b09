import type { Logger } from '../core/logger.js'
import { createJsonFetch } from './json-fetch.js'

/** Whether keys may be fetched from there: https anywhere, http on this machine only. */
export function isSafeKeyAddress(text: string): boolean {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return false
  }
  if (url.username !== '' || url.password !== '') return false
  if (url.protocol === 'https:') return true
  return url.protocol === 'http:' && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
}

/** How a discovery document is fetched. */
export interface DiscoveryOptions {
  readonly issuer: string
  readonly timeoutMs: number
  readonly retryAfterMs: number
  readonly logger: Logger
}

/**
 * Finds where an issuer publishes its keys (OpenID Connect Discovery 1.0, section 4). The document must name the
 * very issuer that was asked.
 */
export function createDiscovery({ issuer, timeoutMs, retryAfterMs, logger }: DiscoveryOptions): () => Promise<string> {
  const fetchJson = createJsonFetch({ retryAfterMs, accept: readJwksUri, logger })

  function readJwksUri(document: unknown): string {
    const { issuer: named, jwks_uri: uri } = (document ?? {}) as Record<string, unknown>
    if (named !== issuer) throw new Error('The discovery document names another issuer')
    if (typeof uri !== 'string' || !isSafeKeyAddress(uri)) {
      throw new Error('The discovery document has no https jwks_uri')
    }
    return uri
  }

  return async () => {
    const response = await fetchJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
      headers: new Headers({ accept: 'application/json' }),
      method: 'GET',
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    return (await response.json()) as string
  }
}
