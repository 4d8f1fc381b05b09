/** The kinds of tokens of {@link SqlLexer}. A `name` is a quoted one; a `string` may be a dollar quote. */
export type SqlTokenKind = 'blank' | 'comment' | 'string' | 'name' | 'word' | 'number' | 'sign'

// White space is what PostgreSQL takes for it: to JavaScript, characters are blank that PostgreSQL takes for letters.
const blank = /[ \t\n\r\f\v]+/y
const lineComment = /--[^\n\r]*/y
const stringStart = /(?:[eEnNbBxX]|[uU]&)?'/y
const quotedNameStart = /(?:[uU]&)?"/y
/** A string goes on after a line break, and an escape string goes on as one. */
const stringGoesOn = /[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y
const dollarQuote = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y
const word = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const numeric = /\$?\d[\w.]*/y

/**
 * Cuts a text into tokens as PostgreSQL's lexer does (manual, chapter 4.1), with `standard_conforming_strings` on. A token
 * that does not end (a string, a comment) reaches to the end of the text: the server refuses such a text as a whole, and
 * no part of it is read twice.
 *
 * @example
 * const lexer = new SqlLexer('select 1')
 * while (lexer.next()) console.log(lexer.kind, lexer.text)
 */
export class SqlLexer {
  /** Kind of the current token. */
  kind: SqlTokenKind = 'blank'
  /** Offset at which the current token begins. */
  start = 0
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  /** Text of the current token. */
  get text(): string {
    return this.#source.slice(this.start, this.#at)
  }

  /** Goes on to the next token; false at the end of the text. */
  next(): boolean {
    this.start = this.#at
    if (this.#at >= this.#source.length) return false
    this.kind = this.#read()
    return true
  }

  #read(): SqlTokenKind {
    const source = this.#source
    if (this.#take(blank)) return 'blank'
    if (this.#take(lineComment)) return 'comment'
    if (source.startsWith('/*', this.#at)) {
      this.#at = endOfComment(source, this.#at)
      return 'comment'
    }
    if (this.#take(stringStart)) {
      if (source[this.start] === 'e' || source[this.start] === 'E') {
        do this.#at = endOfEscapeString(source, this.#at)
        while (this.#take(stringGoesOn))
      } else {
        this.#at = endOfQuoted(source, this.#at, "'")
      }
      return 'string'
    }
    if (this.#take(quotedNameStart)) {
      this.#at = endOfQuoted(source, this.#at, '"')
      return 'name'
    }
    if (this.#take(dollarQuote)) {
      const quote = this.text
      const end = source.indexOf(quote, this.#at)
      this.#at = end === -1 ? source.length : end + quote.length
      return 'string'
    }
    if (this.#take(word)) return 'word'
    if (this.#take(numeric)) return 'number'
    this.#at += 1
    return 'sign'
  }

  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at
    if (!pattern.test(this.#source)) return false
    this.#at = pattern.lastIndex
    return true
  }
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
