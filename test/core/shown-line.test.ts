import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cleanLine, isShownLine, shownPartOf } from '../../src/core/shown-line.js'

test.each([
  'Acme Ltd & Söhne (Zürich) №5',
  'Ελλάδα',
  'ООО «Ромашка»',
  'שלום בע״מ',
  'شركة النور',
  'می\u200Cخواهم',
  'క్\u200Cష',
  'ශ්\u200Dරී ලංකා',
  'ന്\u200D',
  'राष्ट्र',
  '株式会社　東京',
  '주식회사',
  'ไทย',
  'Ada 👩\u200D💻 ❤\uFE0F 👍🏽 1\uFE0F\u20E3 ❤\uFE0F\u200D🔥 🇨🇭',
  'Zoë',
  'Nguyễn Thị Ánh',
])('%j is shown as it is', (text) => {
  expect(isShownLine(text)).toBe(true)
  expect(shownPartOf(text)).toBe(cleanLine(text))
})

const tricks = [
  ['a bidi override', '\u202E'],
  ['a bidi embedding', '\u202A'],
  ['a bidi isolate', '\u2066'],
  ['the end of an isolate', '\u2069'],
  ['a bidi mark', '\u200F'],
  ['the Arabic letter mark', '\u061C'],
  ['a space of no width', '\u200B'],
  ['a joiner', '\u200D'],
  ['a non-joiner', '\u200C'],
  ['a word joiner', '\u2060'],
  ['a byte order mark', '\uFEFF'],
  ['a soft hyphen', '\u00AD'],
  ['a grapheme joiner', '\u034F'],
  ['a variation selector', '\uFE0F'],
  ['a tag', '\u{E0041}'],
  ['a filler of Hangul', '\u3164'],
  ['a blank of Braille', '\u2800'],
  ['a control', '\u0007'],
  ['a line separator', '\u2028'],
  ['a NUL', '\0'],
  ['half of a surrogate pair', '\uD800'],
  ['private use', '\uE000'],
  ['what is unassigned', '\u{E0FFF}'],
  ['a noncharacter', '\uFFFF'],
] as const
test.each(tricks)('%s in a line of Latin letters is refused, and is no part of what is shown', (_, trick) => {
  for (const text of [`Ad${trick}min`, `1${trick}2`, `A ${trick} b`]) {
    expect(isShownLine(text)).toBe(false)
    expect(shownPartOf(text)).toBe(cleanLine(text.replace(trick, '')))
  }
})

test('marks that stand alone or pile up are refused', () => {
  expect(isShownLine('\u0301a')).toBe(false)
  expect(isShownLine(`a${'\u0301'.repeat(5)}`)).toBe(false)
  expect(isShownLine(`x${'\u0301'.repeat(4)}`)).toBe(true)
})

describe('any text', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
    fc
      .array(fc.constantFrom('a', 'e\u0301', ' ', '\u094D', 'م', '❤', '1', ...tricks.map(([, trick]) => trick)))
      .map((all) => all.join('')),
  )
  test('cleaning twice is cleaning once, and two spellings of one line are one', () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(cleanLine(cleanLine(text))).toBe(cleanLine(text))
        expect(cleanLine(text.normalize('NFD'))).toBe(cleanLine(text))
      }),
      { numRuns: 1000 },
    )
  })
  test('what is shown of it passes the check, and has no bidi control, control or lone surrogate', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const shown = shownPartOf(text)
        expect(isShownLine(shown)).toBe(true)
        expect(shown).not.toMatch(/[\p{Bidi_Control}\p{Cc}\p{Cs}\u200B\u2060]/u)
        expect(isShownLine(text) && /[\p{Bidi_Control}\p{Cc}\p{Cs}\u200B\u2060]/u.test(text)).toBe(false)
      }),
      { numRuns: 1000 },
    )
  })
})
