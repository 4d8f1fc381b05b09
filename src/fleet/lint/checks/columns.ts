import type { AlterTableCmd, ColumnDef, Constraint, Node } from 'libpg-query'
import { columnTypeOf, describeType, isWidening } from '../column-types.js'
import { isNull, volatilePart } from '../expressions.js'
import type { FileState, Found } from '../file-state.js'
import { bodiesOf, bodyOf, keyOf, textsOf, typeNameOf } from '../nodes.js'
import type { Relation } from '../schema-model.js'

const serials: ReadonlySet<string> = new Set(['serial', 'bigserial', 'smallserial', 'serial2', 'serial4', 'serial8'])

/** ALTER TABLE … ADD COLUMN on a table that exists. */
export function checkNewColumn(table: string, column: ColumnDef, { model }: FileState): Found[] {
  const name = `column ${column.colname} of ${table}`
  const constraints = bodiesOf(column.constraints, 'Constraint')
  const has = (type: Constraint['contype']) => constraints.find(({ contype }) => contype === type)
  const found: Found[] = []
  const rewrite = (rule: Found['rule'], why: string) =>
    found.push({ rule, message: `Adding ${name} writes every row of the table anew: ${why}`, rewrites: true })

  const isSerial = serials.has(typeNameOf(column.typeName))
  const value = has('CONSTR_DEFAULT')?.raw_expr
  const volatile = value === undefined ? undefined : volatilePart(value, model)
  const generated = has('CONSTR_GENERATED')
  if (isSerial) rewrite('add-column-serial', 'a serial column takes a new number for each')
  if (has('CONSTR_IDENTITY')) rewrite('add-column-serial', 'an identity column takes a new number for each')
  if (generated && generated.generated_kind !== 'v') rewrite('add-column-generated', 'a stored column is computed')
  if (volatile !== undefined) rewrite('add-column-volatile-default', `${volatile} may give another value for each`)
  else if (model.checkedDomains.has(keyOf(textsOf(column.typeName?.names)))) {
    rewrite('add-column-volatile-default', 'its type is a domain with a constraint')
  }

  const isFilled = isSerial || generated !== undefined || has('CONSTR_IDENTITY') !== undefined
  const hasValue = value !== undefined && !isNull(value)
  if (has('CONSTR_NOTNULL') && !hasValue && !isFilled) {
    found.push({ rule: 'add-column-required', message: `Adding ${name} NOT NULL without a default fails on rows` })
  }
  if (has('CONSTR_UNIQUE') || has('CONSTR_PRIMARY')) {
    found.push({
      rule: 'unique-without-index',
      message: `Adding ${name} builds a unique index while nobody can read or write the table`,
    })
  }
  if (has('CONSTR_CHECK')) {
    found.push({
      rule: 'constraint-not-valid',
      message: `Adding ${name} with a check reads every row while nobody can read or write the table`,
    })
  }
  if (has('CONSTR_FOREIGN') && (hasValue || isFilled)) {
    found.push({
      rule: 'constraint-not-valid',
      message: `Adding ${name} with a reference and a value looks up every row while both tables cannot be written`,
    })
  }
  return found
}

/** ALTER COLUMN … TYPE on a table that exists. */
export function checkType(table: string, { name = '', def }: AlterTableCmd, relation: Relation | undefined): Found[] {
  const column = bodyOf(def, 'ColumnDef')
  const before = relation?.columns.get(name)
  const after = columnTypeOf(column?.typeName)
  const isPlain = isCastOf(column?.raw_default, name) && column?.collClause === undefined
  if (isPlain && before !== undefined && isWidening(before, after)) return []
  const from = before === undefined ? 'a type that no earlier file tells' : describeType(before)
  return [
    {
      rule: 'change-type',
      message: `Changing ${name} of ${table} from ${from} to ${describeType(after)} writes the table and its indexes anew while nobody can read or write it`,
      rewrites: true,
    },
  ]
}

/** Whether USING is left out, or says no more than the type. */
function isCastOf(using: Node | undefined, column: string): boolean {
  if (using === undefined) return true
  const reference = bodyOf(bodyOf(using, 'TypeCast')?.arg ?? using, 'ColumnRef')
  return textsOf(reference?.fields).join('.') === column
}

/** ALTER COLUMN … SET NOT NULL on a table that exists. */
export function checkNotNull(table: string, column: string, relation: Relation | undefined): Found[] {
  const isProven =
    relation?.notNull.has(column) === true ||
    [...(relation?.notNullChecks.values() ?? [])].some((check) => check.isValid && check.columns.includes(column))
  if (isProven) return []
  return [
    {
      rule: 'set-not-null',
      message: `SET NOT NULL of ${column} reads every row of ${table} while nobody can read or write it`,
    },
  ]
}

/** ALTER COLUMN … SET or DROP DEFAULT on a table that exists. */
export function checkDefault(
  table: string,
  { name = '', def }: AlterTableCmd,
  relation: Relation | undefined,
): Found[] {
  if (def !== undefined || relation?.notNull.has(name) === false) return []
  return [
    {
      rule: 'drop-default',
      message: `Without its default, inserts of the running release that leave out ${name} of ${table} fail if it is NOT NULL`,
    },
  ]
}
