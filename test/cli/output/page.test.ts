import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cleanText } from '../../../src/cli/output/clean-text.js'
import { createPage, type Page } from '../../../src/cli/output/page.js'
import { durationText } from '../../../src/cli/output/progress.js'
import { shapeText } from '../../../src/cli/output/shape-text.js'
import { terminalOf } from '../../../src/cli/output/terminal.js'

const plain = { isTerminal: false, hasColour: false, width: 80 }
const terminal = { isTerminal: true, hasColour: false, width: 80 }
const coloured = { isTerminal: true, hasColour: true, width: 80 }

function written(to: typeof plain, write: (page: Page) => void): string {
  const { page, text } = createPage(to)
  write(page)
  return text()
}

const table = (page: Page) =>
  page.table(
    ['SLUG', 'NAME'],
    [
      ['acme', '東京'],
      ['longer-slug', { text: null, style: 'red' }],
    ],
  )

test('a table has headings and columns on a terminal, and tabs elsewhere', () => {
  expect(written(terminal, table)).toBe('SLUG         NAME\nacme         東京\nlonger-slug  -\n')
  expect(written(plain, table)).toBe('acme\t東京\nlonger-slug\t-\n')
})

test('wide letters and marks keep the columns straight', () => {
  const text = written(terminal, (page) =>
    page.table(
      ['A', 'B'],
      [
        ['東京', 'x'],
        ['e\u0301', 'y'],
        ['abcd', 'z'],
      ],
    ),
  )
  expect(text).toBe('A     B\n東京  x\ne\u0301     y\nabcd  z\n')
})

test('colours and hints are for terminals', () => {
  const write = (page: Page) => {
    page.line('done', 'green')
    page.hint('next')
  }
  expect(written(coloured, write)).toBe('\u001B[32mdone\u001B[39m\n\u001B[2mnext\u001B[22m\n')
  expect(written(terminal, write)).toBe('done\nnext\n')
  expect(written(plain, write)).toBe('done\n')
})

test.each([
  [{}, true],
  [{ NO_COLOR: '1' }, false],
  [{ NO_COLOR: '' }, true],
  [{ TERM: 'dumb' }, false],
])('a terminal with %j has colours: %j', (env, hasColour) => {
  expect(terminalOf({ isTTY: true, columns: 100 }, env)).toEqual({ isTerminal: true, hasColour, width: 100 })
  expect(terminalOf({ isTTY: false }, env)).toEqual({ isTerminal: false, hasColour: false, width: 80 })
})

test('no text of users reaches a terminal as a control, and no row becomes two', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const row = written(plain, (page) => page.table(['A', 'B'], [[text, text]]))
      expect(row).toMatch(/^[^\p{Cc}]*\t[^\p{Cc}]*\n$/u)
      expect(cleanText(text)).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      expect(cleanText(`${text}\n`, { keepLines: true })).not.toMatch(/[^\P{Cc}\n]/u)
    }),
  )
})

test.each([
  [0, '0 s'],
  [89, '89 s'],
  [120, '2 min'],
  [7500, '2 h 5 min'],
])('%i seconds are written as %s', (seconds, text) => {
  expect(durationText(seconds)).toBe(text)
})

test('a shape is written as TypeScript would', () => {
  expect(shapeText({ id: 'string', 'more?': ["'a' | 'b'"], list: [{ n: 'number' }] })).toBe(
    "{\n  id: string\n  more?: ('a' | 'b')[]\n  list: {\n    n: number\n  }[]\n}",
  )
})
