import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { VerifiedToken } from '../../src/core/identity/identity.js'
import { reservedSlugs } from '../../src/core/tenants/slug.js'
import { askedByClaim, refuseSuccessor } from '../../src/resolve/claim.js'
import { askedByHeader } from '../../src/resolve/header.js'
import { createHostReader } from '../../src/resolve/host.js'
import { askedByPath } from '../../src/resolve/path.js'

const id = '0190c8a4-1c2d-7e3f-8a9b-0c1d2e3f4a5b'
const slug = fc.stringMatching(/^[a-z][a-z0-9-]{1,38}[a-z0-9]$/).filter((text) => !reservedSlugs.has(text))

describe('the tenant in header, claim and path', () => {
  const places = {
    header: (text: string | undefined) => askedByHeader(text),
    claim: (text: string | undefined) => askedByClaim({ tenant: text } as VerifiedToken),
    path: (text: string | undefined) => askedByPath(text),
  }
  test.each(Object.entries(places))('The %s names a tenant by id, by slug, or not at all', (_, read) => {
    expect(read(id)).toEqual({ kind: 'id', value: id })
    expect(read('acme')).toEqual({ kind: 'slug', value: 'acme' })
    expect(read(undefined)).toBeUndefined()
  })

  test.each([
    '',
    ' ',
    'acme, acme',
    'acme,globex',
    'Acme',
    'acme ',
    'a',
    'www',
    'acme\0',
    '../acme',
    '%61cme',
    `${id}0`,
  ])('The header %j names no tenant', (text) => expect(askedByHeader(text)).toBe('malformed'))

  test('A repeated header names no tenant', () => {
    expect(askedByHeader(['acme', 'acme'])).toBe('malformed')
  })

  test('Any header text refers to a tenant of exactly that name or to none', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), slug, fc.uuid()), (text) => {
        const asked = askedByHeader(text)
        expect(asked === 'malformed' || (asked !== undefined && asked.value === text)).toBe(true)
      }),
    )
  })
})

describe('a token that names its tenant by slug', () => {
  const issued = new Date('2026-01-01T00:00:00Z')
  const token = (own: Partial<VerifiedToken>) =>
    ({ isOwn: true, tenant: 'acme', issuedAt: issued.getTime() / 1000, ...own }) as VerifiedToken
  const tenantOf = (ageMs: number) => ({ createdAt: new Date(issued.getTime() - ageMs) })

  test('An own token is for no tenant that was made after it, which has its slug from another one', () => {
    expect(() => refuseSuccessor(token({}), tenantOf(-6000))).toThrow(
      expect.objectContaining({ code: 'TENANCY_TENANT_FORBIDDEN' }),
    )
    // Clocks differ, and `iat` is in whole seconds.
    for (const age of [0, -5000, 60_000]) expect(() => refuseSuccessor(token({}), tenantOf(age))).not.toThrow()
  })

  test('An id means the same tenant for ever, and what a foreign issuer means is for it to say', () => {
    for (const own of [{ tenant: id }, { tenant: undefined }, { isOwn: false }]) {
      expect(() => refuseSuccessor(token(own), tenantOf(-6000))).not.toThrow()
    }
  })
})

describe('the tenant in the host', () => {
  const read = createHostReader('example.com')

  test.each([
    'acme.example.com',
    'ACME.Example.COM',
    'acme.example.com:8443',
    'acme.example.com.',
    'acme.example.com.:80',
  ])('The host %s names acme', (host) => expect(read(host)).toBe('acme'))

  test.each([
    undefined,
    '',
    'example.com',
    '.example.com',
    'a.acme.example.com',
    'acme.example.org',
    'acmeexample.com',
    'acme.example.com.evil.org',
    'www.example.com',
    '127.0.0.1:3000',
    '[::1]:3000',
    'localhost',
  ])('The host %s names nothing', (host) => expect(read(host)).toBeUndefined())

  test.each(['ab.example.com', '-acme.example.com', 'ac_me.example.com', `${id}.example.com`])(
    'The host %s names a tenant that cannot exist',
    (host) => expect(read(host)).toBe(''),
  )

  test('Every slug below the base domain is read, in any case and with any port', () => {
    fc.assert(
      fc.property(slug, fc.boolean(), fc.option(fc.nat(65_535)), fc.boolean(), (label, upper, port, dot) => {
        const name = `${label}.example.com${dot ? '.' : ''}`
        const host = `${upper ? name.toUpperCase() : name}${port === null ? '' : `:${port}`}`
        expect(read(host)).toBe(label)
      }),
    )
  })

  test('No host names a tenant other than its first label', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom('', '.example.com', 'example.com'), (text, end) => {
        const asked = read(text + end)
        if (asked) expect((text + end).toLowerCase().startsWith(`${asked}.example.com`)).toBe(true)
      }),
    )
  })

  test('The host reader agrees with a plain implementation of its description', () => {
    const plain = (host: string) => {
      const name = host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
      if (!name.endsWith('.example.com')) return undefined
      const label = name.slice(0, -'.example.com'.length)
      if (label === '' || label.includes('.') || reservedSlugs.has(label)) return undefined
      return /^[a-z][a-z0-9-]{1,38}[a-z0-9]$/.test(label) && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(label)
        ? label
        : ''
    }
    const piece = fc.oneof(
      fc.constantFrom('.', ':', '.example.com', '.EXAMPLE.com', 'example', '8443', '-', 'www', 'a'.repeat(63), 'é'),
      slug,
      fc.string({ maxLength: 3 }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.constantFrom('', '.example.com'), (pieces, end) => {
        const host = pieces.join('') + end
        expect([host, read(host)]).toEqual([host, plain(host)])
      }),
      { numRuns: 3000 },
    )
  })

  test('Without a base domain, no host names a tenant', () => {
    expect(createHostReader(undefined)('acme.example.com')).toBeUndefined()
  })
})
