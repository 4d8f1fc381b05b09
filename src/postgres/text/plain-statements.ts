import { SqlLexer } from './sql-lexer.js'

// A grammar of tokens with a blank between each two: words in lower case, `'` a string, `0` a number, `"` a quoted name.
const name = '(?:[a-z_][a-z0-9_$]*|")'
const path = `${name}(?: \\. ${name})?`
const paths = `${path}(?: , ${path})*`
const columns = `\\( ${name}(?: , ${name})* \\)`
const typeNames = [
  ...['int', 'int2', 'int4', 'int8', 'integer', 'smallint', 'bigint', 'real', 'double precision', 'float4', 'float8'],
  ...['bool', 'boolean', 'text', 'uuid', 'json', 'jsonb', 'bytea', 'inet', 'date', 'time', 'timetz', 'interval'],
  ...['(?:timestamptz|timestamp)(?: \\( 0 \\))?(?: with(?:out)? time zone)?'],
  ...['(?:char|character|varchar|character varying)(?: \\( 0 \\))?', '(?:numeric|decimal)(?: \\( 0(?: , 0)? \\))?'],
]
const type = `(?:${typeNames.join('|')})(?: \\[ \\])*`
// None of them is computed for each row, which would write the table anew.
const value = "(?:(?:- )?0|'|true|false|null|now \\( \\)|current_timestamp|current_date)"
const action = '(?:no action|restrict|cascade|set null|set default)'
const reference = `references ${path}(?: ${columns})?(?: on (?:delete|update) ${action})*`
const constraint = `(?:not null|null|unique|primary key|default ${value}|${reference})`
const tableConstraint = `(?:constraint ${name} )?(?:(?:unique|primary key) ${columns}|foreign key ${columns} ${reference})`
const ofTable = (types: string) => `${name} ${types}(?: ${constraint})*`
const columnOfTable = ofTable(
  `(?:${type}|serial|bigserial|smallserial)(?: generated (?:always|by default) as identity)?`,
)
const behavior = '(?: cascade| restrict)?'
const change = [
  `add (?:column )?(?:if not exists )?${ofTable(type)}`,
  `drop column (?:if exists )?${name}${behavior}`,
  `drop constraint (?:if exists )?${name}${behavior}`,
  `alter (?:column )?${name} (?:set|drop) not null`,
  `alter (?:column )?${name} (?:drop default|set default ${value})`,
].join('|')
const sortedColumn = `${name}(?: asc| desc)?(?: nulls first| nulls last)?`
const statement = [
  `alter table (?:if exists )?(?:only )?${path} (?:(?:${change})(?: , (?:${change}))*|rename column ${name} to ${name})`,
  `create table (?:if not exists )?${path} \\( (?:${columnOfTable}|${tableConstraint})(?: , (?:${columnOfTable}|${tableConstraint}))* \\)`,
  `create (?:unique )?index (?:if not exists )?${name} on (?:only )?${path}(?: using (?:btree|hash|gin|gist|brin))? \\( ${sortedColumn}(?: , ${sortedColumn})* \\)`,
  `drop (?:table|index|view|sequence) (?:if exists )?${paths}${behavior}`,
  `comment on (?:table|index|column) ${path}(?: \\. ${name})? is (?:'|null)`,
].join('|')
const plain = new RegExp(`^(?:${statement})(?:(?: ;)+ (?:${statement}))*(?: ;)*$`)

/** Longer texts are not looked at. */
const maxLength = 8000

const placeholders = { string: "'", name: '"', number: '0' } as const

/**
 * Whether a text holds only statements that change tables, columns, indexes and comments, with PostgreSQL's own types and
 * plain values: none of them runs a function of the application, ends the transaction, changes the role or a setting.
 * False may mean that it is not known.
 */
export function isPlain(text: string): boolean {
  // Of a backslash a setting decides what it means.
  if (text.length > maxLength || /[^\t\r\n -~]|\\/.test(text)) return false
  const lexer = new SqlLexer(text)
  const tokens: string[] = []
  while (lexer.next()) {
    const { kind } = lexer
    if (kind === 'blank' || kind === 'comment') continue
    tokens.push(kind === 'word' || kind === 'sign' ? lexer.text.toLowerCase() : placeholders[kind])
  }
  return plain.test(tokens.join(' '))
}
