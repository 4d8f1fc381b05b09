import type { AddressRules } from './guarded-request.js'
import { createJsonFetch, type JsonFetchOptions } from './json-fetch.js'

/** Tells whether keys may be fetched from an address: https anywhere, http on this machine only. */
export function isSafeKeyAddress(text: string): boolean {
  const url = readAddress(text)
  if (url === undefined || url.username !== '' || url.password !== '') return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && namesLoopback(url))
}

/** Tells whether an address is written as one of this machine. */
export function isLoopbackAddress(text: string): boolean {
  const url = readAddress(text)
  return url !== undefined && namesLoopback(url)
}

function readAddress(text: string): URL | undefined {
  try {
    return new URL(text)
  } catch {
    return undefined
  }
}

const namesLoopback = ({ hostname }: URL) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)

/** Options of {@link createDiscovery}. */
export interface DiscoveryOptions extends Omit<JsonFetchOptions, 'accept'> {
  readonly issuer: string
  readonly timeoutMs: number
}

/**
 * Reads the address of the keys from a discovery document. The document must name exactly the issuer that was asked, and an
 * address that this issuer may have: an issuer elsewhere must not name this machine.
 * @throws Error
 */
export function readJwksUri(document: unknown, issuer: string, { loopback }: AddressRules): string {
  const { issuer: named, jwks_uri: uri } = (document ?? {}) as Record<string, unknown>
  if (named !== issuer) throw new Error('The discovery document names another issuer')
  if (typeof uri !== 'string' || !isSafeKeyAddress(uri) || (isLoopbackAddress(uri) && !loopback)) {
    throw new Error('The discovery document has no https jwks_uri')
  }
  return uri
}

/** Creates the function that finds where an issuer publishes its keys (OpenID Connect Discovery 1.0, section 4). */
export function createDiscovery({ issuer, timeoutMs, ...options }: DiscoveryOptions): () => Promise<string> {
  const fetchJson = createJsonFetch({
    ...options,
    accept: (document) => readJwksUri(document, issuer, options.rules),
  })
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
