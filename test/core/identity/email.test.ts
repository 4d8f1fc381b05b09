import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normalizeEmail } from '../../../src/core/identity/email.js'

describe('an e-mail address', () => {
  test.each([
    ['f@x.co', 'f@x.co'],
    [' Ada+Tag@Example.COM ', 'ada+tag@example.com'],
    ['f@localhost', 'f@localhost'],
    ['f@a_b.c', 'f@a_b.c'],
    ['f@[192.0.2.1]', 'f@[192.0.2.1]'],
    ['f@XN--EXMPLE-CUA.de', 'f@xn--exmple-cua.de'],
    ['Jörg@exämple.de', 'jörg@xn--exmple-cua.de'],
    ['f@EXÄMPLE.de', 'f@xn--exmple-cua.de'],
    ['用户@例子.广告', '用户@xn--fsqu00a.xn--4rr70v'],
    // The Kelvin sign stays what it is before the @, and is the letter k in a domain, as for whoever delivers the mail.
    ['mi\u212Ae@x.co', 'mi\u212Ae@x.co'],
    ['f@mi\u212Ae.co', 'f@mike.co'],
  ])('the e-mail address %s has the one spelling %s', (text, spelling) => {
    expect(normalizeEmail(text)).toBe(spelling)
    expect(normalizeEmail(spelling)).toBe(spelling)
  })

  test.each([
    'f@x\u3002co',
    'f@x\uFF0Eco',
    'f@x\uFF61co',
    'f@\uFF58.co',
    'f@x.\u24B8\u24C4',
    'f@x\u00AD.co',
    'f@x.c\u200Bo',
    'F@X\u3002CO',
  ])('%j is a spelling of the e-mail address f@x.co', (text) => {
    expect(normalizeEmail(text)).toBe('f@x.co')
  })

  test.each([
    'f@x.co.',
    'f@x.co\u3002',
    'f@x..co',
    'f@.x.co',
    'f@.',
    'f@\u00AD',
    'f@\u3002',
    'f@é%2ex.co',
    'f@é/x.co',
    'f@é:25',
    'f@é\uFF0Fx.co',
    `f@${'é.'.repeat(60)}co`,
  ])('%j is no e-mail address', (text) => {
    expect(normalizeEmail(text)).toBeUndefined()
  })

  test.each(['', 'x', '00000000-0000-4000-8000-000000000000'])(
    'nobody can name the placeholder address of a user: %s',
    (local) => {
      for (const domain of [
        'identity.invalid',
        'Identity.INVALID',
        'identity\u3002invalid',
        'identity.invalid.',
        'ident\u00ADity.invalid',
        '\uFF49dentity.invalid',
      ]) {
        expect(normalizeEmail(`${local}@${domain}`)).toBeUndefined()
      }
    },
  )

  test('any text is no e-mail address, or becomes one that stays as it is', () => {
    const part = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
    const domain = fc.array(fc.oneof(part, fc.constantFrom('x', 'co', '.', '\u3002', '\u00AD', '-', 'xn--')), {
      minLength: 1,
      maxLength: 5,
    })
    fc.assert(
      fc.property(part, domain, (local, labels) => {
        const address = normalizeEmail(`${local}@${labels.join('')}`)
        if (address === undefined) return
        expect(normalizeEmail(address)).toBe(address)
        expect(address.slice(address.indexOf('@'))).toMatch(/^@[!-~]+$/)
        expect(address).not.toMatch(/\.$/)
      }),
      { numRuns: 5000 },
    )
  })
})
