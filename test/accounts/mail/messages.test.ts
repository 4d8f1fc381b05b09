import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressTakenMail, passwordResetMail, verificationMail } from '../../../src/accounts/mail/messages.js'
import { isTenancyError } from '../../../src/core/errors/errors.js'

const builders = { passwordResetMail, addressTakenMail }
const facts = { to: 'ada@example.com', name: 'Ada', link: 'https://app.example.com/auth/verify-email?token=a1-B_2' }

describe.each(Object.entries(builders))('the mail of %s', (_name, build) => {
  test('A mail greets by name, says where it comes from, and has the link twice in HTML and once in the text', () => {
    const mail = build(facts)
    expect(mail.to).toBe('ada@example.com')
    expect(mail.subject).toMatch(/^[A-Za-z -]{10,60}$/)
    expect(mail.text).toContain('Hello Ada,\n')
    expect(mail.text).toContain('app.example.com')
    expect(mail.text.split(facts.link)).toHaveLength(2)
    expect(mail.html.split(facts.link)).toHaveLength(3)
  })

  test('With any name, HTML and text say the same, and no part of the name is markup', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 120 }),
      fc.string({ unit: fc.constantFrom('<', '>', '&', '"', "'", ';', 'script', ' ', '\n', 'x', '=', '#39', 'lt') }),
    )
    const neutral = build({ ...facts, name: 'Ada' })
    fc.assert(
      fc.property(name, (text) => {
        const mail = build({ ...facts, name: text })
        const page = readHtml(mail.html)
        // The tags are those of a harmless name, so the name added none.
        expect(page.tags).toEqual(readHtml(neutral.html).tags)
        const [greeting = '', ...rest] = page.paragraphs
        expect(mail.text.startsWith(`${greeting}\n\n`)).toBe(true)
        for (const line of rest.flatMap((paragraph) => paragraph.split('\n'))) expect(mail.text).toContain(line)
        expect(mail.subject).toBe(neutral.subject)
        expect(mail.to).toBe(neutral.to)
      }),
    )
  })

  test('With any name and link, the text has the link on its own line and the same number of lines', () => {
    const lines = build(facts).text.split('\n').length
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.webUrl({ withQueryParameters: true }), (name, link) => {
        const own = build({ ...facts, name, link }).text.split('\n')
        expect(own).toContain(link)
        expect(own).toHaveLength(lines)
      }),
    )
  })

  test('A link with characters of HTML leads where it says', () => {
    const link = `https://app.example.com/x?a=1&b='"<>&lt;`
    const page = readHtml(build({ ...facts, link }).html)
    expect(page.hrefs).toEqual([link])
    expect(page.paragraphs[2]).toContain(link)
  })

  test.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'ftp://example.com',
    '//example.com/x',
    '/verify',
    '',
    'https://example.com/a b',
    'https://example.com/\r\nBcc: x@example.com',
  ])('A mail refuses the link %j and does not repeat it', (link) => {
    const error = errorOf(() => build({ ...facts, link }))
    expect(isTenancyError(error, 'TENANCY_CONFIG_INVALID')).toBe(true)
    if (link !== '') expect((error as Error).message).not.toContain(link)
  })

  test.each([
    'ada@example.com\r\nBcc: eve@example.com',
    'ada@example.com\n',
    'ada@example.com,eve@example.com',
    'ada@example.com;eve@example.com',
    'Ada <ada@example.com>',
    '<ada@example.com>',
    '"eve@example.com x"@example.org',
    'eve@example.com(x)@example.org',
    'ada@[127.0.0.1]',
    'ada',
    '@example.com',
    '',
  ])('A mail refuses the recipient %j', (to) => {
    expect(
      isTenancyError(
        errorOf(() => build({ ...facts, to })),
        'TENANCY_ACCOUNTS_EMAIL_INVALID',
      ),
    ).toBe(true)
  })

  test.each(['ada+tag@example.com', "o'brien@example.co.uk", 'jörg@exämple.de', '用户@例子.广告'])(
    'goes to %s',
    (to) => {
      expect(build({ ...facts, to }).to).toBe(to)
    },
  )
})

test('A mail to an unproven address holds only the link, whatever else is given', () => {
  const stranger = { ...facts, name: 'Eve was here', subject: 'Eve was here', text: 'Eve was here' }
  expect(verificationMail(stranger)).toEqual(verificationMail({ to: facts.to, link: facts.link }))
  expect(verificationMail(facts).text).toMatch(/^Hello,\n\nPlease confirm/)
  expect(readHtml(verificationMail(facts).html).hrefs).toEqual([facts.link])
  expect(() => verificationMail({ ...facts, to: 'a@example.com\r\nBcc: b@example.com' })).toThrow('No mail can be sent')
})

describe('greetings', () => {
  const greetingFor = (name: string) => passwordResetMail({ ...facts, name }).text.split('\n')[0]

  test.each([
    'Ada Lovelace',
    'J. R. R. Tolkien',
    "Mary O'Brien",
    'Зоя',
    '王芳',
    'José-María',
    'Tom & Co <b>',
    '🦊 Fox',
  ])('A greeting uses the name %s', (name) => {
    expect(greetingFor(name)).toBe(`Hello ${name},`)
  })

  test.each([
    '',
    ' \t\n',
    'You won: https://evil.example',
    'Visit evil.com today',
    'evil。com',
    'www.evil.example',
    'mail eve@evil',
    '//evil',
    'x'.repeat(101),
  ])('A greeting leaves out %j, which a stranger may have written', (name) => {
    expect(greetingFor(name)).toBe('Hello,')
  })

  test('A greeting turns line breaks into spaces and drops characters that reverse text', () => {
    expect(greetingFor('Ada\r\n\u2028Love\u202Elace\u0000')).toBe('Hello Ada Lovelace,')
  })
})

function errorOf(callback: () => unknown): unknown {
  try {
    callback()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** Parses the page as a browser would: tags, then the texts between them with entities resolved. */
function readHtml(html: string): { tags: string[]; hrefs: string[]; paragraphs: string[] } {
  const unescape = (text: string) =>
    text.replaceAll(/&(amp|lt|gt|quot|#39);/g, (_all, name: string) => {
      return { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }[name] ?? ''
    })
  const tags = html.match(/<[^>]*>/g) ?? []
  // Each `&` that is left must begin one of our entities; otherwise the page is not escaped.
  expect(html.replaceAll(/&(amp|lt|gt|quot|#39);/g, '')).not.toContain('&')
  const paragraphs = [...html.matchAll(/<p>([\s\S]*?)<\/p>/g)].map(([, inner = '']) =>
    unescape(inner.replaceAll(/<[^>]*>/g, '')),
  )
  const hrefs = tags.flatMap((tag) => /^<a href="([^"]*)">$/.exec(tag)?.[1] ?? []).map(unescape)
  return { tags, hrefs, paragraphs }
}
