import fc from 'fast-check'
import { expect, test } from 'vitest'
import { normalizeDomainName, normalizeEmailDomain } from '../../../src/catalog/domains/domain-name.js'
import { type Found, lookUp } from '../../../src/catalog/domains/txt-resolver.js'
import { isTenancyError } from '../../../src/index.js'

function spell(text: string): string | undefined {
  try {
    return normalizeDomainName(text, 'base.example')
  } catch (error) {
    if (!isTenancyError(error, 'TENANCY_DOMAIN_INVALID')) throw error
    return undefined
  }
}

const part = fc.oneof(
  fc.stringMatching(/^[a-z0-9-]{1,12}$/),
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.constantFrom('xn--bcher-kva', 'BASE', 'ⓐ', '%2e', '．', '。', '\u00AD', '１２７', '*', '@', ':80', '/'),
)
const names = fc.oneof(
  fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('.')),
  fc
    .array(part, { minLength: 1, maxLength: 3 })
    .chain((parts) =>
      fc.constantFrom('org', 'co.uk', 'base.example', 'ＯＲＧ').map((end) => [...parts, end].join('.')),
    ),
)

test('A name is refused with its code, or has one spelling that the catalog takes and that spells itself', () => {
  let spelled = 0
  fc.assert(
    fc.property(names, (text) => {
      const name = spell(text)
      if (name === undefined) return
      spelled += 1
      expect(name).toMatch(/^[a-z0-9.-]{3,253}$/)
      expect(name).not.toMatch(/\.\.|^\.|\.$|\.\d+$/)
      expect(name.endsWith('base.example')).toBe(false)
      expect(spell(name)).toBe(name)
      expect(spell(`${name.toUpperCase()}.`)).toBe(name)
    }),
    { numRuns: 20_000 },
  )
  expect(spelled).toBeGreaterThan(1000)
})

test('Providers of addresses for everybody are refused, by every spelling and below their domain', () => {
  const providers = [
    'gmail.com',
    'Outlook.com',
    'fastmail.com',
    'tuta.com',
    'privaterelay.appleid.com',
    'mail.proton.me',
  ]
  for (const text of providers) {
    for (const spelling of [text, `${text.toUpperCase()}.`]) {
      expect(() => normalizeEmailDomain(spelling), spelling).toThrow(/provider of addresses for everybody/)
    }
  }
  expect(normalizeEmailDomain('acme.example.org')).toBe('acme.example.org')
})

test.each<[string, () => Promise<readonly string[]>, Found]>([
  ['the record among others', async () => ['v=spf1 -all', 'mine'], 'published'],
  ['another value', async () => ['mine '], 'missing'],
  ['no such name', () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' })), 'missing'],
  ['no record of the kind', () => Promise.reject(Object.assign(new Error('x'), { code: 'ENODATA' })), 'missing'],
  ['a failing server', () => Promise.reject(Object.assign(new Error('x'), { code: 'ESERVFAIL' })), 'unanswered'],
  ['a resolver that throws no error', () => Promise.reject('x'), 'unanswered'],
  ['a resolver that hangs', () => new Promise(() => {}), 'unanswered'],
])('%s', async (_title, resolveTxt, expected) => {
  expect(await lookUp(resolveTxt, { purpose: 'web', name: 'a.example.org', challenge: 'mine' }, 20)).toBe(expected)
})
