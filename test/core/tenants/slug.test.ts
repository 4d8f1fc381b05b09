import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { findTenancyError } from '../../../src/core/errors/errors.js'
import { parseSlug, parseTenantRef, reservedSlugs } from '../../../src/core/tenants/slug.js'

const letters = 'abcdefghijklmnopqrstuvwxyz'
const digits = '0123456789'
const oneOf = (characters: string) => fc.constantFrom(...characters.split(''))
const slug = fc
  .tuple(
    oneOf(letters),
    fc.array(oneOf(`${letters}${digits}-`), { minLength: 1, maxLength: 38 }),
    oneOf(letters + digits),
  )
  .map(([first, middle, last]) => first + middle.join('') + last)

const codeOf = (text: unknown) => {
  try {
    parseSlug(text)
    return undefined
  } catch (error) {
    return findTenancyError(error)?.code ?? error
  }
}

test('every text of the documented form that is not reserved is a slug, unchanged', () => {
  fc.assert(
    fc.property(slug, (text) => {
      fc.pre(!reservedSlugs.has(text))
      expect(parseSlug(text)).toBe(text)
      expect(parseTenantRef(text)).toEqual({ kind: 'slug', value: text })
    }),
  )
})

test('every text that is accepted as a slug has the documented form', () => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: oneOf('aZ0-_. \n\u0000é'), maxLength: 45 }),
    slug.map((text) => `${text}\n`),
    slug.map((text) => text.toUpperCase()),
  )
  fc.assert(
    fc.property(anything, (text) => {
      const isSlug =
        text.length >= 3 &&
        text.length <= 40 &&
        text.split('').every((c) => `${letters}${digits}-`.includes(c)) &&
        letters.includes(text[0] as string) &&
        !text.endsWith('-')
      const reserved = reservedSlugs.has(text) ? 'TENANCY_TENANT_SLUG_RESERVED' : undefined
      expect(codeOf(text)).toBe(isSlug ? reserved : 'TENANCY_TENANT_SLUG_INVALID')
    }),
  )
})

test('a value that is no text is refused as a slug', () => {
  fc.assert(
    fc.property(
      fc.anything().filter((value) => typeof value !== 'string'),
      (value) => {
        expect(codeOf(value)).toBe('TENANCY_TENANT_SLUG_INVALID')
      },
    ),
  )
})

test('a slug has 3 to 40 characters', () => {
  expect([codeOf('ab'), codeOf('abc'), codeOf('a'.repeat(40)), codeOf('a'.repeat(41))]).toEqual([
    'TENANCY_TENANT_SLUG_INVALID',
    undefined,
    undefined,
    'TENANCY_TENANT_SLUG_INVALID',
  ])
})

test('every reserved name is refused as a slug and as a reference to a tenant', () => {
  for (const name of reservedSlugs) {
    expect(codeOf(name)).toMatch(/TENANCY_TENANT_SLUG_(RESERVED|INVALID)/)
    expect(parseTenantRef(name)).toBeUndefined()
  }
})

test('an id is read as an id, and no slug is', () => {
  fc.assert(
    fc.property(fc.uuid(), (id) => {
      expect(parseTenantRef(id)).toEqual({ kind: 'id', value: id })
    }),
  )
  expect(parseTenantRef('0190A000-0000-7000-8000-000000000000')).toBeUndefined()
})

test('a slug of 36 characters in the form of a UUID is refused as a slug', () => {
  // Otherwise its tenant could never be asked for by slug: requests would read it as an id.
  expect(codeOf('abcdefab-cdef-4bcd-8fab-cdefabcdefab')).toBe('TENANCY_TENANT_SLUG_INVALID')
})

test('the message about a bad slug shows it escaped and shortened', () => {
  expect(() => parseSlug(`${'x'.repeat(30)}\n${'y'.repeat(100)}`)).toThrow(/^"x{30}\\ny{29}" is not a tenant slug/)
})
