import { BlockList } from 'node:net'
import { parseAddress, parseAddressRange } from '../../core/address-range.js'

/** The class of an IP address. `special` is neither public nor private nor loopback, such as link-local. */
export type AddressClass = 'public' | 'private' | 'loopback' | 'special'

const listOf = (...ranges: readonly string[]) => {
  const list = new BlockList()
  for (const range of ranges) {
    const parsed = parseAddressRange(range)
    if (parsed === undefined) throw new RangeError(`${range} is no range of addresses`)
    list.addSubnet(parsed.address, parsed.prefixLength, parsed.family)
  }
  return list
}

const loopback = listOf('127.0.0.0/8', '::1/128')
// RFC 1918, RFC 6598 (shared), RFC 4193 (unique local).
const ownNetworks = listOf('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7')
// IANA IPv4 Special-Purpose Address Registry, multicast and class E.
const specialIPv4 = listOf(
  '0.0.0.0/8',
  '169.254.0.0/16',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
)
// The global unicast range of IPv6, without the parts that IANA reserves for special purposes (Teredo, 6to4, documentation).
const globalIPv6 = listOf('2000::/3')
const specialIPv6 = listOf('2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20')
const translated = listOf('64:ff9b::/96')

/** Classifies an address. IPv4 inside IPv6 (mapped, or translated by NAT64) has the class of the IPv4 address. */
export function classifyAddress(text: string): AddressClass {
  const parsed = parseAddress(text)
  // A zone (`fe80::1%eth0`) is for link-local addresses.
  if (parsed === undefined || text.includes('%')) return 'special'
  const { address, family } = parsed
  if (loopback.check(address, family)) return 'loopback'
  if (ownNetworks.check(address, family)) return 'private'
  if (family === 'ipv4') return specialIPv4.check(address, family) ? 'special' : 'public'
  if (translated.check(address, family)) return classifyTranslated(address)
  return globalIPv6.check(address, family) && !specialIPv6.check(address, family) ? 'public' : 'special'
}

/** NAT64 (RFC 6052): the last 32 bits are an IPv4 address. Only public addresses are reached that way. */
function classifyTranslated(address: string): AddressClass {
  const [, tail = ''] = address.split('64:ff9b::')
  const [low = '0', high = '0'] = tail.split(':').toReversed()
  const mapped = classifyAddress(`::ffff:${high || '0'}:${low || '0'}`)
  return mapped === 'public' ? 'public' : 'special'
}
