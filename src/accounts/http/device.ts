import { parseAddress } from '../../core/address-range.js'
import type { Device } from '../refresh-tokens.js'

const longestUserAgent = 200

/** What a session keeps of the browser or app behind a request, and no more: its owner has to recognise it. */
export function deviceOf(request: Request, address: string): Device {
  const userAgent = (request.headers.get('user-agent') ?? '')
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, longestUserAgent)
  return { userAgent: userAgent === '' ? null : userAgent, address: networkOf(address) }
}

/** Gives the /24 network of an IPv4 address and the /48 network of an IPv6 address: where it is, not which machine. */
function networkOf(address: string): string | null {
  const parsed = parseAddress(address)
  if (parsed === undefined) return null
  if (parsed.family === 'ipv4') return `${parsed.address.split('.').slice(0, 3).join('.')}.0/24`
  const [head = '', tail] = parsed.address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const tailGroups = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: 8 - groups.length - tailGroups.length }, () => '0')
  return `${[...groups, ...zeros, ...tailGroups].slice(0, 3).join(':')}::/48`
}
