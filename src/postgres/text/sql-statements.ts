import { SqlLexer } from './sql-lexer.js'

/** The beginning of one statement of a text. */
export interface StatementStart {
  /** Offset in the text at which its first token begins. */
  readonly start: number
  /** Its first words in lower case, at most eight; `"` stands for a quoted name, `'` for a string, `0` for a number. */
  readonly words: readonly string[]
}

const maxWords = 8

/**
 * Splits a text into its statements as PostgreSQL does. Semicolons in strings, comments, quoted names, parentheses and
 * bodies of SQL functions (`begin atomic … end`) end nothing. Empty statements are left out.
 */
export function statementsOf(text: string): StatementStart[] {
  const statements: StatementStart[] = []
  const lexer = new SqlLexer(text)
  let words: string[] = []
  let start: number | undefined
  let parentheses = 0
  let body = new RoutineBody()
  const finish = (): void => {
    if (start !== undefined) statements.push({ start, words })
    words = []
    start = undefined
    parentheses = 0
    body = new RoutineBody()
  }
  while (lexer.next()) {
    const { kind } = lexer
    if (kind === 'blank' || kind === 'comment') continue
    const token = kind === 'word' || kind === 'sign' ? lexer.text.toLowerCase() : placeholders[kind]
    if (token === ';' && parentheses === 0 && !body.isOpen) {
      finish()
      continue
    }
    start ??= lexer.start
    if (parentheses === 0) body.read(token, words)
    if (token === '(') parentheses += 1
    else if (token === ')') parentheses = Math.max(0, parentheses - 1)
    else if (words.length < maxWords) words.push(token)
  }
  finish()
  return statements
}

const placeholders = { string: "'", name: '"', number: '0' } as const

/** One statement of a text. */
export interface Statement extends Pick<StatementStart, 'words'> {
  /** With what follows it up to the next one. */
  readonly text: string
  /** Line of its first token, from 1. */
  readonly line: number
  /** Its place among the statements, from 1. */
  readonly number: number
}

/** Splits a text into its statements, as {@link statementsOf} does, with their texts and lines. */
export function splitStatements(text: string): Statement[] {
  const starts = statementsOf(text)
  let line = 1
  let at = 0
  return starts.map(({ start, words }, index) => {
    for (let end = text.indexOf('\n', at); end !== -1 && end < start; end = text.indexOf('\n', at)) {
      line += 1
      at = end + 1
    }
    return { text: text.slice(start, starts[index + 1]?.start), words, line, number: index + 1 }
  })
}

/**
 * Gives the line of each statement's first token, from 1: to say in which line something failed. Statements are counted as
 * PostgreSQL counts them.
 */
export function statementLines(script: string): number[] {
  return splitStatements(script).map(({ line }) => line)
}

/**
 * Follows `begin atomic … end` in a statement that makes a function or a procedure. `case … end` nests in it; where neither
 * can end, `end` is a name: `select 1 as end`.
 */
class RoutineBody {
  isOpen = false
  #cases = 0
  #before = ''

  /** Takes the next token outside of parentheses. `words`: those that the statement begins with. */
  read(token: string, words: readonly string[]): void {
    const before = this.#before
    this.#before = token
    const isName = before === 'as' || before === '.'
    if (!this.isOpen) {
      this.isOpen = token === 'atomic' && before === 'begin' && makesRoutine(words)
    } else if (token === ';') {
      this.#cases = 0
    } else if (token === 'case') {
      if (!isName) this.#cases += 1
    } else if (token === 'end' && !isName) {
      if (this.#cases > 0) this.#cases -= 1
      else if (before === ';' || before === 'atomic') this.isOpen = false
    }
  }
}

function makesRoutine([first, second, third, fourth]: readonly string[]): boolean {
  const kind = second === 'or' && third === 'replace' ? fourth : second
  return first === 'create' && (kind === 'function' || kind === 'procedure')
}
