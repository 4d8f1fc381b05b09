import { BlockList } from 'node:net'
import { parseAddress, parseAddressRange, unixSocketRange } from '../core/address-range.js'
import { TenancyError } from '../core/errors/errors.js'

/** The facts of a request about its origin. */
export interface RequestOrigin {
  /** The address of the other end of the socket; `unix:` for a Unix socket. Undefined: the connection is closed. */
  readonly remoteAddress: string | undefined
  /** The value of `X-Forwarded-For`; several headers are joined with commas. */
  readonly forwardedFor: string | null | undefined
}

/** Gives the client's address in canonical form; `unix:` for an untrusted Unix socket; else `unknown`. */
export type ClientAddress = (origin: RequestOrigin) => string

/**
 * Creates the function that finds clients behind proxies. It reads `X-Forwarded-For` from its end, which the nearest proxy
 * wrote. While the current address is a trusted proxy, the entry before it is used. The first untrusted address is the client;
 * anybody may have written the entries before it. An entry that is no address ends the search at the proxy that passed it on.
 *
 * All clients of a Unix socket count as one, unless `unix:` is trusted: then the proxy at its other end names the client. A
 * connection without any address is never trusted, because sockets lose theirs when the other end hangs up.
 *
 * @param trustedProxies addresses, CIDR ranges and `unix:`: `config.trustedProxies`
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID
 */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddress {
  // One list for each family: in a shared one, `::/8` would match every IPv4 address.
  const trusted = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const text of trustedProxies) {
    if (text === unixSocketRange) continue
    const range = parseAddressRange(text)
    if (range === undefined) {
      throw new TenancyError('TENANCY_CONFIG_INVALID', `${JSON.stringify(text)} is no address or CIDR range`)
    }
    trusted[range.family].addSubnet(range.address, range.prefixLength, range.family)
  }

  const trustsUnixSockets = trustedProxies.includes(unixSocketRange)

  return ({ remoteAddress, forwardedFor }) => {
    const entries = forwardedFor?.split(',') ?? []
    const isUnixSocket = remoteAddress === unixSocketRange
    const first = isUnixSocket && trustsUnixSockets ? readEntry(entries.pop()) : parseAddress(remoteAddress ?? '')
    if (first === undefined) return isUnixSocket ? unixSocketRange : 'unknown'
    let hop = first
    while (trusted[hop.family].check(hop.address, hop.family)) {
      const before = readEntry(entries.pop())
      if (before === undefined) break
      hop = before
    }
    return hop.address
  }
}

function readEntry(entry: string | undefined) {
  return parseAddress(withoutPort(entry?.trim() ?? ''))
}

/** Removes the port that some proxies write: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(entry: string): string {
  return /^\[([^\]]+)\](?::\d{1,5})?$/.exec(entry)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(entry)?.[1] ?? entry
}

/**
 * Gives the network that counts as one caller: an IPv4 address, or the /64 network of an IPv6 address, because one host can
 * use all its 2^64 addresses (RFC 4291, RFC 8981). Text that is no address is returned as it is.
 */
export function callerNetwork(address: string): string {
  const parsed = parseAddress(address)
  if (parsed?.family !== 'ipv6') return parsed?.address ?? address
  const [head = '', tail] = parsed.address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const tailGroups = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: 8 - groups.length - tailGroups.length }, () => '0')
  return `${[...groups, ...zeros, ...tailGroups].slice(0, 4).join(':')}::/64`
}
