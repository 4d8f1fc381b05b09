import { BlockList } from 'node:net'
import { parseAddress, parseAddressRange } from '../../core/address-range.js'
import { TenancyError } from '../../core/errors.js'

/** What a request says about where it comes from. */
export interface RequestOrigin {
  /** The other end of the socket. Undefined where there is none with an address, such as a Unix socket. */
  readonly remoteAddress: string | undefined
  /** The value of `X-Forwarded-For`; several headers are joined with commas. */
  readonly forwardedFor: string | null | undefined
}

/** The address of the caller in canonical form, or `unknown`. */
export type ClientAddress = (origin: RequestOrigin) => string

/**
 * Finds callers behind proxies. `X-Forwarded-For` is read from its end, which the nearest proxy wrote: as long as the
 * address at hand is a trusted proxy, the entry before it counts. The first that is not trusted is the caller; what
 * stands before it anybody may have written. An entry that is no address ends the walk at the proxy that passed it on.
 *
 * @param trustedProxies addresses and CIDR ranges: `config.trustedProxies`
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID
 */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddress {
  // One list a family: in a common one, `::/8` would match every IPv4 address.
  const trusted = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const text of trustedProxies) {
    const range = parseAddressRange(text)
    if (range === undefined) {
      throw new TenancyError('TENANCY_CONFIG_INVALID', `${JSON.stringify(text)} is no address or CIDR range`)
    }
    trusted[range.family].addSubnet(range.address, range.prefixLength, range.family)
  }

  return ({ remoteAddress, forwardedFor }) => {
    let hop = parseAddress(remoteAddress ?? '')
    if (hop === undefined) return 'unknown'
    const entries = forwardedFor?.split(',') ?? []
    while (trusted[hop.family].check(hop.address, hop.family)) {
      const before = parseAddress(withoutPort(entries.pop()?.trim() ?? ''))
      if (before === undefined) break
      hop = before
    }
    return hop.address
  }
}

/** Some proxies write the port too: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(entry: string): string {
  return /^\[([^\]]+)\](?::\d{1,5})?$/.exec(entry)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(entry)?.[1] ?? entry
}

/**
 * What counts as one caller: an IPv4 address, or the /64 network of an IPv6 address, of which a single host
 * may use all 2^64 addresses (RFC 4291, RFC 8981). Text that is no address counts as it is.
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
