import type { AlterTableCmd, ColumnDef, Constraint, Node, RangeVar } from 'libpg-query'
import { columnTypeOf } from './column-types.js'
import { notNullColumns } from './expressions.js'
import type { FileState } from './file-state.js'
import { isAtLeast } from '../../core/fleet/lock-modes.js'
import { locksOf } from './locks.js'
import { bodiesOf, bodyOf, type Body, keyOf, type NodeType, relationKey, textsOf, typeOf } from './nodes.js'
import type { Relation, SchemaModel } from './schema-model.js'

type Changes = { readonly [Type in NodeType]?: (statement: Body<Type>, file: FileState) => void }

/** Notes what a statement changes in the schema and holds until the end of its transaction. */
export function applyStatement(node: Node, file: FileState): void {
  if (file.inTransaction) {
    for (const [key, lock] of locksOf(node, file.model)) {
      if (isAtLeast(lock, 'SHARE') && !file.held.has(key)) file.held.set(key, lock)
    }
  }
  const change = changes[typeOf(node)] as ((statement: unknown, state: FileState) => void) | undefined
  change?.(Object.values(node)[0], file)
}

const changes: Changes = {
  AlterEnumStmt({ typeName, oldVal, newVal }, { inTransaction, ownTypes, enumValues }) {
    if (!inTransaction || oldVal !== undefined || newVal === undefined) return
    if (!ownTypes.has(keyOf(textsOf(typeName)))) enumValues.add(newVal)
  },
  AlterTableStmt({ relation, cmds }, file) {
    if (relation === undefined) return
    const known = file.model.find(relation)
    for (const command of bodiesOf(cmds, 'AlterTableCmd')) {
      const constraint = command.subtype === 'AT_AddConstraint' ? bodyOf(command.def, 'Constraint') : undefined
      if (constraint?.skip_validation === true && constraint.conname !== undefined) {
        file.notValid.add(`${relationKey(relation)} ${constraint.conname}`)
      }
      if (known) alterRelation(known, command)
    }
  },
  CompositeTypeStmt: ({ typevar }, { model }) => void (typevar && model.newObjects.add(relationKey(typevar))),
  CreateDomainStmt({ domainname, constraints }, { model }) {
    const key = keyOf(textsOf(domainname))
    model.newObjects.add(key)
    const isChecked = bodiesOf(constraints, 'Constraint').some(
      ({ contype }) => contype === 'CONSTR_CHECK' || contype === 'CONSTR_NOTNULL',
    )
    if (isChecked) model.checkedDomains.add(key)
  },
  CreateEnumStmt({ typeName }, { model, ownTypes }) {
    const key = keyOf(textsOf(typeName))
    model.newObjects.add(key)
    ownTypes.add(key)
  },
  CreateFunctionStmt({ funcname, options }, { model }) {
    const key = keyOf(textsOf(funcname))
    const volatility = bodiesOf(options, 'DefElem').find(({ defname }) => defname === 'volatility')
    const isVolatile = (bodyOf(volatility?.arg, 'String')?.sval ?? 'volatile') === 'volatile'
    if (!model.routines.has(key)) model.newObjects.add(key)
    model.routines.set(key, { isVolatile })
  },
  CreatePolicyStmt: ({ table }, { policies }) => void (table && policies.add(relationKey(table))),
  CreateSchemaStmt: ({ schemaname = '' }, { model }) => void model.newObjects.add(keyOf([schemaname])),
  CreateSeqStmt: ({ sequence }, { model }) => void (sequence && model.newObjects.add(relationKey(sequence))),
  CreateStmt({ relation, tableElts, if_not_exists }, { model }) {
    if (relation === undefined || (if_not_exists === true && model.find(relation)?.isNew === false)) return
    const made = model.add(relation)
    for (const column of bodiesOf(tableElts, 'ColumnDef')) addColumn(made, column)
    for (const constraint of bodiesOf(tableElts, 'Constraint')) addConstraint(made, constraint)
  },
  CreateTableAsStmt: ({ into }, { model }) => void (into?.rel && model.add(into.rel)),
  DropStmt({ removeType, objects }, { model }) {
    if (removeType === undefined || !/TABLE|VIEW|INDEX/.test(removeType)) return
    for (const object of objects ?? []) {
      const key = keyOf(textsOf(bodyOf(object, 'List')?.items))
      if (removeType === 'OBJECT_INDEX') model.indexes.delete(key)
      else model.relations.delete(key)
    }
  },
  IndexStmt({ relation, idxname }, { model }) {
    if (relation === undefined || idxname === undefined) return
    model.indexes.set(relationKey({ ...relation, relname: idxname }), relationKey(relation))
  },
  RenameStmt(statement, { model }) {
    if (statement.relation !== undefined) rename(model, statement.relation, statement)
  },
  SelectStmt: ({ intoClause }, { model }) => void (intoClause?.rel && model.add(intoClause.rel)),
  ViewStmt({ view, replace }, { model }) {
    if (view !== undefined && (replace !== true || model.find(view) === undefined)) model.add(view)
  },
}

function addColumn(relation: Relation, column: ColumnDef): void {
  const { colname = '', constraints, typeName } = column
  relation.columns.set(colname, columnTypeOf(typeName))
  for (const constraint of bodiesOf(constraints, 'Constraint')) {
    addConstraint(relation, { ...constraint, keys: [{ String: { sval: colname } }] })
  }
}

function addConstraint(relation: Relation, constraint: Constraint): void {
  const { contype, conname, keys, raw_expr, skip_validation } = constraint
  if (contype === 'CONSTR_NOTNULL' || contype === 'CONSTR_PRIMARY' || contype === 'CONSTR_IDENTITY') {
    if (skip_validation !== true) for (const column of textsOf(keys)) relation.notNull.add(column)
    else if (conname !== undefined) relation.notNullChecks.set(conname, { columns: textsOf(keys), isValid: false })
    return
  }
  if (contype !== 'CONSTR_CHECK' || conname === undefined) return
  const columns = notNullColumns(raw_expr)
  if (columns.length > 0) relation.notNullChecks.set(conname, { columns, isValid: skip_validation !== true })
}

function alterRelation(relation: Relation, { subtype, name = '', def }: AlterTableCmd): void {
  const column = bodyOf(def, 'ColumnDef')
  const constraint = bodyOf(def, 'Constraint')
  if (subtype === 'AT_AddColumn' && column) addColumn(relation, column)
  if (subtype === 'AT_AlterColumnType' && column) relation.columns.set(name, columnTypeOf(column.typeName))
  if (subtype === 'AT_SetNotNull') relation.notNull.add(name)
  if (subtype === 'AT_DropNotNull') relation.notNull.delete(name)
  if (subtype === 'AT_AddConstraint' && constraint) addConstraint(relation, constraint)
  if (subtype === 'AT_DropConstraint') relation.notNullChecks.delete(name)
  if (subtype === 'AT_ValidateConstraint') {
    const check = relation.notNullChecks.get(name)
    if (check) check.isValid = true
  }
  if (subtype === 'AT_DropColumn') {
    relation.columns.delete(name)
    relation.notNull.delete(name)
  }
}

function rename(
  model: SchemaModel,
  relation: RangeVar,
  { renameType, subname = '', newname = '' }: Body<'RenameStmt'>,
): void {
  const key = relationKey(relation)
  const newKey = relationKey({ ...relation, relname: newname })
  const known = model.relations.get(key)
  const table = model.indexes.get(key)
  if (renameType === 'OBJECT_INDEX' && table !== undefined) {
    model.indexes.delete(key)
    model.indexes.set(newKey, table)
  } else if (renameType === 'OBJECT_COLUMN') {
    const type = known?.columns.get(subname)
    if (known === undefined || type === undefined) return
    known.columns.delete(subname)
    known.columns.set(newname, type)
    if (known.notNull.delete(subname)) known.notNull.add(newname)
  } else if (renameType === 'OBJECT_TABCONSTRAINT') {
    const check = known?.notNullChecks.get(subname)
    if (known === undefined || check === undefined) return
    known.notNullChecks.delete(subname)
    known.notNullChecks.set(newname, check)
  } else if (known !== undefined) {
    model.relations.delete(key)
    model.relations.set(newKey, known)
  }
}
