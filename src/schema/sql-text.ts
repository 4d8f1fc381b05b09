import { indexOf } from '../postgres/concurrent-index.js'
import { SqlLexer } from '../postgres/text/sql-lexer.js'
import { splitStatements, type Statement, statementsOf } from '../postgres/text/sql-statements.js'

/** The text of an SQL file as it is sent, and what of it cannot be run. */
export interface PreparedSql {
  readonly sql: string
  /** False: statements are sent one by one. */
  readonly inTransaction: boolean
  /** Each with its line. */
  readonly problems: readonly string[]
}

/** How the files of a tool differ from plain SQL. */
export interface SqlDialect {
  /** `--> statement-breakpoint` ends a statement, as in files of drizzle-kit. Default: false. */
  readonly hasBreakpoints?: boolean
  /** A file of one statement that cannot run in a transaction runs without one, as Prisma does it. Default: false. */
  readonly sendsSingleStatements?: boolean
}

interface Problem {
  readonly line: number
  readonly message: string
}

const firstLineMarker = /^--[ \t]*no-transaction[ \t]*(?:\n|$)/
const anyMarker = /^--\s*no[-_ ]?transaction\s*$/i

/**
 * Prepares the text of a file. The commands `\restrict` and `\unrestrict`, which pg_dump writes for psql, are left out. Other
 * commands of psql, `COPY … FROM stdin`, and statements that begin or end a transaction are problems. Lines stay where they are.
 */
export function prepareSql(text: string, dialect: SqlDialect = {}): PreparedSql {
  const { sql: written, problems } = withoutCommands(text, dialect)
  const sql = withPublicSchema(written)
  const statements = splitStatements(sql)
  const isMarked = firstLineMarker.test(text)
  const outside = statements.filter(needsNoTransaction)
  const isSingle = dialect.sendsSingleStatements === true && statements.length === 1 && outside.length === 1
  const inTransaction = !isMarked && !isSingle
  const copy = statements.find(transfersData)
  // What follows COPY is its data, and no SQL.
  const isSql = ({ line }: { readonly line: number }) => copy === undefined || line <= copy.line
  const found: Problem[] = [
    ...problems,
    ...statements.filter(changesTransaction).map(({ line, words }) => ({
      line,
      message: `${words[0]?.toUpperCase()} begins or ends a transaction, and the file runs in its own: remove it`,
    })),
    ...(inTransaction ? outside : []).map(({ line, words }) => ({
      line,
      message: `${described(words)} cannot run in a transaction: make "-- no-transaction" the first line of the file`,
    })),
    ...(isMarked ? statements : []).filter(makesNamelessIndex).map(({ line }) => ({
      line,
      message: 'CREATE INDEX CONCURRENTLY without a name: give it one, so that an unfinished index is found again',
    })),
    ...(copy ? [{ line: copy.line, message: 'COPY from stdin or to stdout is for psql: use INSERT' }] : []),
  ]
  return {
    ...{ sql, inTransaction },
    problems: found
      .filter(isSql)
      .toSorted((one, other) => one.line - other.line)
      .map(({ line, message }) => `line ${line}: ${message}`),
  }
}

// pg_dump writes them around a dump since the releases of August 2025.
const restriction = /^\\(?:un)?restrict[ \t]+[A-Za-z0-9]+[ \t]*$/
const breakpoint = '--> statement-breakpoint'

/** Takes out what is no SQL and stands in files of SQL all the same. */
function withoutCommands(text: string, { hasBreakpoints = false }: SqlDialect): { sql: string; problems: Problem[] } {
  const problems: Problem[] = []
  const parts: string[] = []
  const lineOf = lineCounter(text)
  let taken = 0
  let skipTo = 0
  const lexer = new SqlLexer(text)
  while (lexer.next()) {
    const { start, kind } = lexer
    // The rest of a command's line is the command's.
    if (start < skipTo) continue
    if (kind === 'comment') {
      if (hasBreakpoints && lexer.text.startsWith(breakpoint)) {
        parts.push(text.slice(taken, start), ';')
        taken = start
      } else if (anyMarker.test(lexer.text) && !(start === 0 && firstLineMarker.test(text))) {
        const message = '"-- no-transaction" counts as the first line of the file only, written exactly so'
        problems.push({ line: lineOf(start), message })
      }
    } else if (kind === 'sign' && text[start] === '\\') {
      const newline = text.indexOf('\n', start)
      skipTo = newline === -1 ? text.length : newline
      const command = text.slice(start, skipTo)
      if ((start === 0 || text[start - 1] === '\n') && restriction.test(command)) {
        parts.push(text.slice(taken, start))
        taken = skipTo
      } else {
        const name = /^\\[A-Za-z]*/.exec(command)?.[0] ?? '\\'
        problems.push({ line: lineOf(start), message: `${name} is a command of psql and no SQL: remove it` })
      }
    }
  }
  return { sql: parts.join('') + text.slice(taken), problems }
}

/** Every database has the schema `public`; a dump that makes it (`pg_dump -n public`) fails on it everywhere. */
function withPublicSchema(sql: string): string {
  const keyword = 'create schema'
  const found = statementsOf(sql).findLast(({ words }) => words.join(' ') === `${keyword} public`)
  if (found === undefined || sql.slice(found.start, found.start + keyword.length).toLowerCase() !== keyword) return sql
  const end = found.start + keyword.length
  return `${sql.slice(0, end)} if not exists${sql.slice(end)}`
}

/** Gives the line of offsets that ascend. */
function lineCounter(text: string): (offset: number) => number {
  let line = 1
  let at = 0
  return (offset) => {
    for (let end = text.indexOf('\n', at); end !== -1 && end < offset; end = text.indexOf('\n', at)) {
      line += 1
      at = end + 1
    }
    return line
  }
}

const transactionWords: ReadonlySet<string | undefined> = new Set(['abort', 'begin', 'commit', 'end', 'rollback'])

function changesTransaction({ words }: Statement): boolean {
  const [first, second, third] = words
  if (first === 'start' || first === 'prepare') return second === 'transaction'
  if (first === 'rollback' && (second === 'to' || third === 'to')) return false
  return transactionWords.has(first)
}

/** Statements that PostgreSQL refuses in a transaction: those that are known by their first words. */
function needsNoTransaction({ words }: Statement): boolean {
  const [first, second, third, fourth] = words
  if (first === 'vacuum') return true
  if (first === 'create')
    return second === 'index' ? third === 'concurrently' : third === 'index' && fourth === 'concurrently'
  if (first === 'drop') return second === 'index' && third === 'concurrently'
  return first === 'reindex' && words.includes('concurrently')
}

function described(words: readonly string[]): string {
  const name = words.slice(0, words.indexOf('concurrently') + 1 || 1)
  return name.join(' ').toUpperCase()
}

function makesNamelessIndex({ text, words }: Statement): boolean {
  if (words[0] !== 'create' || !words.includes('concurrently')) return false
  const index = indexOf(text)
  return index !== undefined && index.name === undefined
}

/** Tells whether a statement is `COPY … FROM stdin` or `COPY … TO stdout`. */
function transfersData({ words, text }: Statement): boolean {
  if (words[0] !== 'copy') return false
  const lexer = new SqlLexer(text)
  let parentheses = 0
  let before = ''
  while (lexer.next()) {
    if (lexer.kind === 'blank' || lexer.kind === 'comment') continue
    const token = lexer.text.toLowerCase()
    if (token === '(') parentheses += 1
    else if (token === ')') parentheses -= 1
    else if (parentheses === 0 && ((before === 'from' && token === 'stdin') || (before === 'to' && token === 'stdout')))
      return true
    before = token
  }
  return false
}
