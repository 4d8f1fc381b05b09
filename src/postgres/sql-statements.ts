/** The beginning of one statement of a text. */
export interface StatementStart {
  /** Its first words in lower case, at most eight; `"` stands for a quoted name, `'` for a string. */
  readonly words: readonly string[]
}

const maxWords = 8

// White space is what PostgreSQL takes for it: to JavaScript, characters are blank that PostgreSQL takes for letters.
const blank = /[ \t\n\r\f\v]+|--[^\n\r]*/y
const stringStart = /(?:[eEnNbBxX]|[uU]&)?'/y
const quotedNameStart = /(?:[uU]&)?"/y
/** A string goes on after a line break, and an escape string goes on as one. */
const stringGoesOn = /[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y
const dollarQuote = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y
const word = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const numeric = /\$?\d[\w.]*/y

/**
 * Splits a text into its statements as PostgreSQL's lexer does (manual, chapter 4.1), with `standard_conforming_strings` on:
 * strings, dollar quotes, nested comments, quoted names, and bodies of SQL functions (`begin atomic … end`) hold semicolons
 * that end nothing. Empty statements are left out. What does not end (a string, a comment) reaches to the end of the text;
 * the server refuses such a text as a whole.
 */
export function statementsOf(text: string): StatementStart[] {
  const statements: StatementStart[] = []
  let words: string[] = []
  let parentheses = 0
  let blocks = 0
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    if (found !== undefined) at += found.length
    return found
  }
  const note = (token: string): void => {
    if (words.length < maxWords) words.push(token)
  }
  const finish = (): void => {
    if (words.length > 0) statements.push({ words })
    words = []
    parentheses = 0
    blocks = 0
  }
  while (at < text.length) {
    if (take(blank) !== undefined) continue
    if (text.startsWith('/*', at)) {
      at = endOfComment(text, at)
      continue
    }
    const opening = take(stringStart)
    if (opening !== undefined) {
      const escapes = opening.startsWith('e') || opening.startsWith('E')
      if (escapes) {
        do at = endOfEscapeString(text, at)
        while (take(stringGoesOn) !== undefined)
      } else {
        at = endOfQuoted(text, at, "'")
      }
      note("'")
    } else if (take(quotedNameStart) !== undefined) {
      at = endOfQuoted(text, at, '"')
      note('"')
    } else {
      const quote = take(dollarQuote)
      if (quote !== undefined) {
        const end = text.indexOf(quote, at)
        at = end === -1 ? text.length : end + quote.length
        note("'")
        continue
      }
      const name = take(word)?.toLowerCase()
      if (name !== undefined) {
        if (parentheses === 0) blocks = Math.max(0, blocks + blockChange(name, blocks, words))
        note(name)
        continue
      }
      if (take(numeric) !== undefined) {
        note('0')
        continue
      }
      const sign = text[at]
      at += 1
      if (sign === '(') parentheses += 1
      else if (sign === ')') parentheses = Math.max(0, parentheses - 1)
      else if (sign === ';' && parentheses === 0 && blocks === 0) finish()
      else note(sign ?? '')
    }
  }
  finish()
  return statements
}

/** A quote that is written twice is part of what is quoted. */
function endOfQuoted(text: string, start: number, quote: string): number {
  let at = text.indexOf(quote, start)
  while (at !== -1 && text[at + 1] === quote) at = text.indexOf(quote, at + 2)
  return at === -1 ? text.length : at + 1
}

function endOfEscapeString(text: string, start: number): number {
  const mark = /\\|'/g
  mark.lastIndex = start
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    const isPair = found[0] === '\\' || text[mark.lastIndex] === "'"
    if (!isPair) return mark.lastIndex
    mark.lastIndex += 1
  }
  return text.length
}

/** Comments nest. */
function endOfComment(text: string, start: number): number {
  const mark = /\/\*|\*\//g
  mark.lastIndex = start
  let depth = 0
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    depth += found[0] === '/*' ? 1 : -1
    if (depth === 0) return mark.lastIndex
  }
  return text.length
}

/** What a word does to the depth of `begin atomic … end` in a statement that makes a function or a procedure. */
function blockChange(name: string, blocks: number, [verb, second, third, fourth]: readonly string[]): number {
  if (verb !== 'create') return 0
  const kind = second === 'or' && third === 'replace' ? fourth : second
  if (kind !== 'function' && kind !== 'procedure') return 0
  if (name === 'begin' || (name === 'case' && blocks > 0)) return 1
  return name === 'end' ? -1 : 0
}
