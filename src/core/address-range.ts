import { isIP } from 'node:net'

/** A range of IP addresses (CIDR, RFC 4632 and RFC 4291). */
export interface AddressRange {
  readonly family: 'ipv4' | 'ipv6'
  readonly address: string
  /** Number of leading bits of `address` that count: 32 or 128 for a single address. */
  readonly prefixLength: number
}

/** Stands for every connection through a Unix socket, in the place of an address: it has none. */
export const unixSocketRange = 'unix:'

/**
 * Reads an address or a CIDR range, such as `10.0.0.0/8`. IPv4 written in IPv6 (`::ffff:10.0.0.1`) is read as IPv4.
 * Undefined for anything else, and for a range of all addresses: nobody means to trust every address.
 */
export function parseAddressRange(text: string): AddressRange | undefined {
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const plain = parseAddress(address)
  if (plain === undefined || address.includes('%')) return undefined
  const width = plain.family === 'ipv4' ? 32 : 128
  const written = bits === undefined ? undefined : Number(bits) - (isIP(address) === 6 ? 128 : 32)
  const prefixLength = width + (written ?? 0)
  if (prefixLength < 1 || prefixLength > width) return undefined
  return { ...plain, prefixLength }
}

/**
 * Writes one IP address in its canonical form (RFC 5952), so that equal addresses are equal texts. IPv4 written in IPv6
 * becomes IPv4; a zone (`%eth0`) is left off. Undefined for anything else.
 */
export function parseAddress(text: string): Pick<AddressRange, 'family' | 'address'> | undefined {
  const version = isIP(text)
  if (version === 0) return undefined
  if (version === 4) return { family: 'ipv4', address: text }
  const [address] = text.split('%', 1)
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical)
  if (!mapped) return { family: 'ipv6', address: canonical }
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)]
  return { family: 'ipv4', address: [high >> 8, high & 255, low >> 8, low & 255].join('.') }
}
