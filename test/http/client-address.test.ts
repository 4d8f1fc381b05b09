import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { callerNetwork, createClientAddress } from '../../src/http/client-address.js'
import { isTenancyError } from '../../src/core/errors/errors.js'

const proxies = ['10.0.0.0/8', '192.0.2.7', '2001:db8:1::/48']
const clientAddress = createClientAddress(proxies)

describe('the client’s address behind proxies', () => {
  test.each([
    ['no proxy, no header', '203.0.113.9', undefined, '203.0.113.9'],
    ['a header from nobody we trust', '203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['one trusted proxy', '10.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['two trusted proxies', '10.0.0.1', '203.0.113.9, 192.0.2.7', '203.0.113.9'],
    ['what a caller put before its own address', '10.0.0.1', '127.0.0.1, 1.2.3.4, 203.0.113.9', '203.0.113.9'],
    ['a caller that pretends to be a trusted proxy', '10.0.0.1', '1.2.3.4, 10.9.9.9, 203.0.113.9', '203.0.113.9'],
    ['nothing but trusted proxies', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['a trusted proxy that sends no header', '10.0.0.1', undefined, '10.0.0.1'],
    ['an empty header', '10.0.0.1', '', '10.0.0.1'],
    ['an entry that is no address', '10.0.0.1', '1.2.3.4, unknown, 10.0.0.2', '10.0.0.2'],
    ['an empty entry', '10.0.0.1', '1.2.3.4, , 10.0.0.2', '10.0.0.2'],
    ['an entry with a port', '10.0.0.1', '203.0.113.9:4711', '203.0.113.9'],
    ['an IPv6 entry in brackets with a port', '10.0.0.1', '[2001:DB8:2::9]:4711', '2001:db8:2::9'],
    ['an IPv6 proxy', '2001:db8:1::1', '2001:db8:2::9', '2001:db8:2::9'],
    ['a proxy whose IPv4 address is written in IPv6', '::ffff:10.0.0.1', '::ffff:203.0.113.9', '203.0.113.9'],
    ['the same in hexadecimal', '::ffff:a00:1', '::FFFF:cb00:7109', '203.0.113.9'],
    ['an IPv6 address with a zone', 'fe80::1%eth0', '1.2.3.4', 'fe80::1'],
    ['no address at all', undefined, '203.0.113.9', 'unknown'],
    ['a Unix socket that is not trusted', 'unix:', '203.0.113.9', 'unix:'],
    ['an entry that pretends to be a Unix socket', '10.0.0.1', '1.2.3.4, unix:', '10.0.0.1'],
  ])('The client’s address is found with %s', (_what, remoteAddress, forwardedFor, expected) => {
    expect(clientAddress({ remoteAddress, forwardedFor })).toBe(expected)
  })

  test('A trusted range of IPv6 addresses trusts no IPv4 address', () => {
    const reader = createClientAddress(['::/1'])
    expect(reader({ remoteAddress: '10.0.0.1', forwardedFor: '1.2.3.4' })).toBe('10.0.0.1')
    expect(reader({ remoteAddress: '::1', forwardedFor: '1.2.3.4' })).toBe('1.2.3.4')
  })

  test('A trusted range of IPv4 addresses in IPv6 form trusts those IPv4 addresses', () => {
    const reader = createClientAddress(['::ffff:10.0.0.0/104'])
    expect(reader({ remoteAddress: '10.200.0.1', forwardedFor: '1.2.3.4' })).toBe('1.2.3.4')
    expect(reader({ remoteAddress: '11.0.0.1', forwardedFor: '1.2.3.4' })).toBe('11.0.0.1')
  })

  test('Without configured proxies no header is believed, not even from this machine', () => {
    const reader = createClientAddress([])
    for (const remoteAddress of ['127.0.0.1', '::1', '10.0.0.1']) {
      expect(reader({ remoteAddress, forwardedFor: '1.2.3.4' })).toBe(remoteAddress)
    }
  })

  test.each([
    ['the last entry', '1.2.3.4, 203.0.113.9', '203.0.113.9'],
    ['the one before a trusted proxy', '1.2.3.4, 203.0.113.9, 10.0.0.1', '203.0.113.9'],
    ['no header', undefined, 'unix:'],
    ['an entry that is no address', '203.0.113.9, unknown', 'unix:'],
    ['an entry that says unix:', '203.0.113.9, unix:', 'unix:'],
  ])('Behind a trusted Unix socket, the address comes from %s', (_what, forwardedFor, expected) => {
    const reader = createClientAddress(['unix:', ...proxies])
    expect(reader({ remoteAddress: 'unix:', forwardedFor })).toBe(expected)
    // Not so for a connection that has lost its address.
    expect(reader({ remoteAddress: undefined, forwardedFor })).toBe('unknown')
  })

  test('A trusted proxy that is no address is refused', () => {
    try {
      createClientAddress(['10.0.0.0/8', 'proxy.internal'])
      expect.unreachable()
    } catch (error) {
      expect(isTenancyError(error, 'TENANCY_CONFIG_INVALID')).toBe(true)
    }
  })
})

const header = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('10.0.0.1', '192.0.2.7', 'unknown', '', ' '))).map(String),
)
const stranger = fc.oneof(fc.ipV4(), fc.ipV6()).filter((address) => isUntrusted(address))

test('No header that a stranger sends changes the stranger’s address', () => {
  fc.assert(
    fc.property(stranger, header, (remoteAddress, forged) => {
      expect(clientAddress({ remoteAddress, forwardedFor: forged })).toBe(
        clientAddress({ remoteAddress, forwardedFor: undefined }),
      )
    }),
  )
})

test('A chain of trusted proxies reports the stranger, whatever the stranger sends', () => {
  const trusted = fc.oneof(
    fc.ipV4().map((address) => address.replace(/^\d+/, '10')),
    fc.constantFrom('192.0.2.7', '2001:db8:1::5', '::ffff:10.1.2.3'),
  )
  fc.assert(
    fc.property(stranger, header, fc.array(trusted, { minLength: 1, maxLength: 5 }), (address, forged, chain) => {
      const [nearest, ...others] = chain.toReversed()
      const forwardedFor = [forged, address, ...others.toReversed()].join(', ')
      expect(clientAddress({ remoteAddress: nearest, forwardedFor })).toBe(
        clientAddress({ remoteAddress: address, forwardedFor: null }),
      )
    }),
  )
})

describe('the network of a caller', () => {
  test.each([
    ['203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['2001:db8:2:3:4:5:6:7', '2001:db8:2:3::/64'],
    ['2001:DB8:0002:0003::1', '2001:db8:2:3::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:0:1::', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['1::', '1:0:0:0::/64'],
    ['unknown', 'unknown'],
  ])('The address %s counts as the caller %s', (address, expected) => {
    expect(callerNetwork(address)).toBe(expected)
  })

  test('Two IPv6 addresses are one caller exactly if their first 64 bits are equal', () => {
    const half = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    const write = (network: bigint, host: bigint) =>
      ((network << 64n) | host)
        .toString(16)
        .padStart(32, '0')
        .replaceAll(/.{4}(?!$)/g, '$&:')
    // Global addresses: ::ffff:0:0/96 is IPv4.
    const network = half.map((bits) => (bits >> 3n) | (1n << 61n))
    fc.assert(
      fc.property(network, network, half, half, (one, other, first, second) => {
        expect(callerNetwork(write(one, first))).toBe(callerNetwork(write(one, second)))
        expect(callerNetwork(write(one, first)) === callerNetwork(write(other, second))).toBe(one === other)
      }),
    )
  })
})

function isUntrusted(address: string): boolean {
  const canonical = clientAddress({ remoteAddress: address, forwardedFor: undefined })
  return !canonical.startsWith('10.') && canonical !== '192.0.2.7' && !canonical.startsWith('2001:db8:1:')
}
