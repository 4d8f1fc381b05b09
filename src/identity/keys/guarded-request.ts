import { lookup as lookUpName } from 'node:dns/promises'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { type AddressClass, classifyAddress } from './address-class.js'

/** Kinds of addresses that a request may go to, besides public ones. */
export interface AddressRules {
  /** This machine, for an issuer that is configured there. */
  readonly loopback: boolean
  /** A private network. */
  readonly privateNetwork: boolean
}

/** An address that a host name resolves to. */
export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

/** Options of {@link requestGuarded}. */
export interface GuardedRequestOptions {
  readonly rules: AddressRules
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** Resolves a name to all its addresses. Default: the system's resolver. */
  readonly lookup?: ((name: string) => Promise<readonly ResolvedAddress[]>) | undefined
  /** Certificate authorities instead of the built-in ones. */
  readonly ca?: string | undefined
}

/**
 * Sends a GET request to an address that `rules` allow, and to no other. A name is resolved once, all its addresses are
 * checked, and the connection goes to one of these. The connection is new, never one that other code has opened. Redirects
 * are returned, not followed.
 * @throws Error: the address is not allowed, or cannot be reached
 */
export async function requestGuarded(url: URL, options: GuardedRequestOptions): Promise<IncomingMessage> {
  const { rules, headers, signal, lookup = lookUpAll, ca } = options
  const name = url.hostname.replaceAll(/^\[|\]$/g, '')
  const family = isIP(name)
  const addresses = family === 0 ? await abortable(lookup(name), signal) : [{ address: name, family }]
  if (addresses.length === 0) throw new Error(`${name} has no address`)
  for (const { address } of addresses) requireAllowed(url, name, address, rules)
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        agent: false,
        headers: { ...headers, 'accept-encoding': 'identity' },
        signal,
        ...(ca === undefined ? undefined : { ca }),
        lookup: (_name, { all }, done) => {
          const [first] = addresses
          if (all) done(null, [...addresses])
          else done(null, first?.address ?? '', first?.family)
        },
      },
      resolve,
    )
    sent.once('error', reject)
    sent.end()
  })
}

function requireAllowed(url: URL, name: string, address: string, rules: AddressRules): void {
  const where = classifyAddress(address)
  if (isAllowed(url, where, rules)) return
  const shown = name === address ? name : `${name} (${address})`
  if (url.protocol !== 'https:') throw new Error(`${shown} is asked without https, which works on loopback only`)
  if (where === 'private') {
    throw new Error(
      `${shown} is in a private network: set "allowPrivateNetwork": true in TENANT_OIDC_ISSUERS if this issuer is there`,
    )
  }
  throw new Error(`${shown} is a ${where} address, where no issuer on the internet has its keys`)
}

/** Tells whether a request may go to an address of that class. */
export function isAllowed(url: URL, where: AddressClass, { loopback, privateNetwork }: AddressRules): boolean {
  if (where === 'loopback') return loopback
  if (url.protocol !== 'https:') return false
  return where === 'public' || (where === 'private' && privateNetwork)
}

const lookUpAll = (name: string) => lookUpName(name, { all: true })

/** Stops waiting when the signal aborts, because a DNS look-up itself cannot be aborted. */
async function abortable<Result>(lookup: Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted()
  let stop: (() => void) | undefined
  try {
    return await Promise.race([
      lookup,
      new Promise<never>((_resolve, reject) => {
        stop = () => reject(signal.reason as Error)
        signal.addEventListener('abort', stop, { once: true })
      }),
    ])
  } finally {
    if (stop !== undefined) signal.removeEventListener('abort', stop)
  }
}
