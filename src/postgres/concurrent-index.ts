import type { SqlClient } from '../core/sql-client.js'
import { SqlLexer } from './text/sql-lexer.js'

/** An index that `CREATE INDEX CONCURRENTLY` makes, in the words of the statement. */
export interface ConcurrentIndex {
  /** Undefined: PostgreSQL chooses the name. */
  readonly name: string | undefined
  /** With its schema, if the statement has it; quoted where the statement quotes it. */
  readonly table: string
}

/** Reads `create [unique] index concurrently [if not exists] [name] on [only] table`; undefined: another statement. */
export function indexOf(statement: string): ConcurrentIndex | undefined {
  const tokens = significantTokens(statement, 16)
  const isNext = (...words: readonly string[]) => {
    if (!words.every((word, index) => tokens[index]?.toLowerCase() === word)) return false
    tokens.splice(0, words.length)
    return true
  }
  if (!isNext('create')) return undefined
  isNext('unique')
  if (!isNext('index', 'concurrently')) return undefined
  isNext('if', 'not', 'exists')
  const name = tokens[0]?.toLowerCase() === 'on' ? undefined : tokens.shift()
  if (!isNext('on')) return undefined
  isNext('only')
  const [first, dot, second] = tokens
  if (first === undefined) return undefined
  return { name, table: dot === '.' && second !== undefined ? `${first}.${second}` : first }
}

function significantTokens(text: string, count: number): string[] {
  const lexer = new SqlLexer(text)
  const tokens: string[] = []
  while (tokens.length < count && lexer.next()) {
    if (lexer.kind !== 'blank' && lexer.kind !== 'comment') tokens.push(lexer.text)
  }
  return tokens
}

/**
 * Finds the index of that name if it is invalid and nobody is building it. Operators are written with their schema: the
 * session has the file's `search_path`, in which the table is looked for.
 *
 * @returns its name, quoted, with its schema
 */
export async function unfinishedIndexes(client: SqlClient, { name, table }: ConcurrentIndex): Promise<string[]> {
  if (name === undefined) return []
  const { rows } = await client.query<{ name: string }>(
    `select pg_catalog.format('%I.%I', n.nspname, c.relname) as name
       from pg_catalog.pg_index i
       join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) i.indexrelid
       join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
      where i.indrelid operator(pg_catalog.=) pg_catalog.to_regclass($1)
        and c.relname operator(pg_catalog.=) (pg_catalog.parse_ident($2))[1]::pg_catalog.name
        and not i.indisvalid and c.relkind operator(pg_catalog.=) 'i'
        and not exists (select from pg_catalog.pg_stat_progress_create_index p
                         where p.index_relid operator(pg_catalog.=) i.indexrelid)`,
    [table, name],
  )
  return rows.map((row) => row.name)
}

export async function dropUnfinishedIndexes(client: SqlClient, names: readonly string[]): Promise<void> {
  for (const name of names) await client.query(`drop index concurrently if exists ${name}`)
}
