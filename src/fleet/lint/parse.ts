import type * as Parser from 'libpg-query'
import { TenancyError } from '../../core/errors/errors.js'

/** One statement of a file. */
export interface Statement {
  readonly node: Parser.Node
  /** As it is in the file; empty for a nested one. */
  readonly text: string
  /** Line of its first word, from 1. */
  readonly line: number
  /** Whether it is inside of a DO block. */
  readonly isNested: boolean
}

/** A comment of a file. */
export interface Comment {
  readonly text: string
  readonly line: number
  /** Index of the statement that it stands before, in, or behind on the same line. */
  readonly statement: number
}

/** A file, parsed. */
export interface ParsedFile {
  readonly statements: readonly Statement[]
  readonly comments: readonly Comment[]
}

/** Why a text cannot be parsed. */
export class SyntaxProblem extends Error {
  readonly line: number

  constructor(message: string, line: number) {
    super(message)
    this.line = line
  }
}

let loading: Promise<typeof Parser> | undefined

/**
 * Loads the parser, once.
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export function loadParser(): Promise<typeof Parser> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined
    throw error
  })
  return loading
}

async function load(): Promise<typeof Parser> {
  try {
    // In a try block, bundlers accept that the package may be missing.
    const parser = await import('libpg-query')
    await parser.loadModule()
    return parser
  } catch (cause) {
    throw new TenancyError(
      'TENANCY_CONFIG_PEER_MISSING',
      'PostgreSQL’s parser cannot be loaded: install it with `npm install -D libpg-query@18`',
      { cause },
    )
  }
}

/** Parses a text as PostgreSQL 18 does. @throws {@link SyntaxProblem} */
export function parseSql(parser: typeof Parser, sql: string): ParsedFile {
  // The parser refuses a text without any.
  if (sql.trim() === '') return { statements: [], comments: [] }
  const bytes = Buffer.from(sql)
  const lines = lineNumbers(bytes)
  const { stmts = [] } = attempt(() => parser.parseSync(sql), sql)
  const starts = stmts.map(({ stmt_location: start = 0 }) => start)
  const ends = stmts.map(({ stmt_len: length }, index) =>
    length === undefined || length === 0 ? bytes.length : (starts[index] ?? 0) + length,
  )
  const textAt = (index: number) => bytes.subarray(starts[index], ends[index]).toString()
  const statements = stmts.flatMap(({ stmt }, index) =>
    stmt === undefined ? [] : [{ node: stmt, text: textAt(index), line: lines(starts[index] ?? 0), isNested: false }],
  )
  const comments = attempt(() => parser.scanSync(sql), sql).tokens.filter(({ tokenName }) => isComment(tokenName))
  return {
    statements,
    comments: comments.map(({ start, text }) => {
      const line = lines(start)
      const before = ends.findLastIndex((end) => end <= start)
      const isBehind = before !== -1 && lines(ends[before] ?? 0) === line
      return { text, line, statement: isBehind ? before : before + 1 }
    }),
  }
}

const isComment = (tokenName: string) => tokenName === 'SQL_COMMENT' || tokenName === 'C_COMMENT'

function attempt<Result>(parse: () => Result, sql: string): Result {
  try {
    return parse()
  } catch (error) {
    const { message, sqlDetails } = error as Error & { sqlDetails?: { cursorPosition?: number } }
    const position = Math.max(0, (sqlDetails?.cursorPosition ?? 1) - 1)
    throw new SyntaxProblem(message, Array.from(sql).slice(0, position).join('').split('\n').length)
  }
}

/** Gives the line of an offset, which the parser counts in bytes. */
function lineNumbers(bytes: Buffer): (offset: number) => number {
  const ends: number[] = []
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) ends.push(at)
  return (offset) => {
    const index = ends.findIndex((end) => end >= offset)
    return (index === -1 ? ends.length : index) + 1
  }
}
