import type { Node } from 'libpg-query'
import { bodiesOf, bodyOf, walk } from './nodes.js'
import type { loadParser, Statement } from './parse.js'

type Parser = Awaited<ReturnType<typeof loadParser>>

/** What a DO block runs. */
export interface BlockContent {
  readonly statements: readonly Statement[]
  /** Lines of statements that are made at run time. */
  readonly unreadable: readonly number[]
}

/** Reads the statements of a DO block in PL/pgSQL, also those of EXECUTE with a constant text. Undefined: it cannot be read. */
export function readBlock(parser: Parser, block: string, line: number): BlockContent | undefined {
  const statements: Statement[] = []
  const unreadable: number[] = []
  const add = (sql: string, at: number) => {
    for (const { stmt } of parser.parseSync(sql).stmts ?? []) {
      if (stmt !== undefined) statements.push({ node: stmt, text: '', line: at, isNested: true })
    }
  }
  try {
    walk(parser.parsePlPgSQLSync(block), (type, body) => {
      const { lineno = 1, ...parts } = body as Record<string, unknown> & { lineno?: number }
      const at = line + lineno - 1
      if (type === 'PLpgSQL_stmt_execsql') add(textOf(parts['sqlstmt']), at)
      if (type === 'PLpgSQL_stmt_perform') add(textOf(parts['expr']), at)
      if (type === 'PLpgSQL_stmt_call') add(textOf(parts['expr']), at)
      if (type !== 'PLpgSQL_stmt_dynexecute') return
      const constant = constantOf(parser, textOf(parts['query']))
      if (constant === undefined) unreadable.push(at)
      else add(constant, at)
    })
  } catch {
    return undefined
  }
  return { statements, unreadable }
}

function textOf(expression: unknown): string {
  return (expression as { PLpgSQL_expr?: { query?: string } } | undefined)?.PLpgSQL_expr?.query ?? ''
}

/** The text of an expression that is a constant. */
function constantOf(parser: Parser, expression: string): string | undefined {
  const select = bodyOf(parser.parseSync(`select ${expression}`).stmts?.[0]?.stmt, 'SelectStmt')
  const [target] = bodiesOf(select?.targetList, 'ResTarget')
  return bodyOf(target?.val, 'A_Const')?.sval?.sval
}

/** Tells whether a statement is a DO block in PL/pgSQL. */
export function isBlock(node: Node): boolean {
  const elements = bodiesOf(bodyOf(node, 'DoStmt')?.args, 'DefElem')
  const language = elements.find(({ defname }) => defname === 'language')
  return elements.length > 0 && (bodyOf(language?.arg, 'String')?.sval ?? 'plpgsql').toLowerCase() === 'plpgsql'
}
