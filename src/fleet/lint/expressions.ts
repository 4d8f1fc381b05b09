import type { Node } from 'libpg-query'
import { bodyOf, keyOf, textsOf, walk } from './nodes.js'
import type { SchemaModel } from './schema-model.js'

/** Functions of PostgreSQL's own that are not volatile and are usual in defaults. */
const steady: ReadonlySet<string> = new Set([
  ...['now', 'transaction_timestamp', 'statement_timestamp', 'timezone', 'date_trunc', 'date_part', 'extract', 'age'],
  ...['make_date', 'make_time', 'make_interval', 'make_timestamp', 'make_timestamptz', 'to_char', 'to_date'],
  ...['to_timestamp', 'to_number', 'upper', 'lower', 'initcap', 'concat', 'concat_ws', 'format', 'repeat', 'replace'],
  ...['left', 'right', 'lpad', 'rpad', 'btrim', 'ltrim', 'rtrim', 'substr', 'substring', 'length', 'md5', 'sha256'],
  ...['encode', 'decode', 'abs', 'round', 'floor', 'ceil', 'power', 'sqrt', 'mod', 'array_fill', 'string_to_array'],
  ...['json_build_object', 'json_build_array', 'jsonb_build_object', 'jsonb_build_array', 'to_json', 'to_jsonb'],
  ...['int4range', 'int8range', 'numrange', 'tsrange', 'tstzrange', 'daterange', 'current_setting', 'hstore', 'point'],
])

const judged: ReadonlySet<string> = new Set([
  ...['A_Const', 'TypeCast', 'TypeName', 'A_ArrayExpr', 'A_Expr', 'BoolExpr', 'CaseExpr', 'CaseWhen', 'CoalesceExpr'],
  ...['CollateClause', 'FuncCall', 'MinMaxExpr', 'NullTest', 'RowExpr', 'SQLValueFunction', 'List', 'NamedArgExpr'],
  ...['String', 'Integer', 'Float', 'Boolean', 'BitString'],
])

/**
 * Names what in an expression may give another value for each row, so that a new column with it is written into every row.
 * Functions that nothing is known of count. Undefined: nothing.
 */
export function volatilePart(expression: Node, model: SchemaModel): string | undefined {
  let found: string | undefined
  walk(expression, (type, body) => {
    if (found !== undefined) return
    if (!judged.has(type)) {
      found = 'an expression'
      return
    }
    if (type !== 'FuncCall') return
    const names = textsOf((body as { funcname?: Node[] }).funcname)
    const own = names[0] === 'pg_catalog' ? names.slice(1) : names
    const known = model.routines.get(keyOf(own))
    const isSteady = known === undefined ? own.length === 1 && steady.has(own[0] ?? '') : !known.isVolatile
    if (!isSteady) found = `${own.join('.')}()`
  })
  return found
}

/** Tells whether an expression is the constant NULL. */
export function isNull(expression: Node | undefined): boolean {
  const constant = bodyOf(expression, 'A_Const')
  if (constant?.isnull === true) return true
  const cast = bodyOf(expression, 'TypeCast')
  return cast?.arg !== undefined && isNull(cast.arg)
}

/** The columns that a condition says are not null, if it says nothing else. */
export function notNullColumns(condition: Node | undefined): string[] {
  const test = bodyOf(condition, 'NullTest')
  if (test?.nulltesttype === 'IS_NOT_NULL') {
    const name = textsOf(bodyOf(test.arg, 'ColumnRef')?.fields).at(-1)
    return name === undefined ? [] : [name]
  }
  const both = bodyOf(condition, 'BoolExpr')
  return both?.boolop === 'AND_EXPR' ? (both.args ?? []).flatMap((each) => notNullColumns(each)) : []
}

/** Tells whether a condition holds for every row: `true`, `1 = 1`. */
export function isAlwaysTrue(condition: Node): boolean {
  let hasColumn = false
  walk(condition, (type) => {
    if (type === 'ColumnRef' || type === 'SubLink' || type === 'FuncCall') hasColumn = true
  })
  return !hasColumn
}

/** Tells whether a condition asks a column for one value, or a few: rows that somebody has counted. */
export function isNarrow(condition: Node | undefined): boolean {
  const expression = bodyOf(condition, 'A_Expr')
  if (expression !== undefined) {
    const isColumn = bodyOf(expression.lexpr, 'ColumnRef') !== undefined
    const isOne = expression.kind === 'AEXPR_OP' && textsOf(expression.name)[0] === '='
    return isColumn && ((isOne && isValue(expression.rexpr)) || expression.kind === 'AEXPR_IN')
  }
  const both = bodyOf(condition, 'BoolExpr')
  return both?.boolop === 'AND_EXPR' && (both.args ?? []).some((each) => isNarrow(each))
}

const isValue = (node: Node | undefined) => {
  const cast = bodyOf(node, 'TypeCast')
  return bodyOf(cast?.arg ?? node, 'A_Const') !== undefined
}
