import type { AlterDomainStmt, AlterTableCmd, AlterTableStmt, Constraint } from 'libpg-query'
import type { FileState, Found } from '../file-state.js'
import { bodiesOf, bodyOf, keyOf, relationKey, relationName, textsOf } from '../nodes.js'
import { checkDefault, checkNewColumn, checkNotNull, checkType } from './columns.js'

/** ALTER TABLE, and ALTER of what is like a table. */
export function checkAlterTable({ relation, cmds, objtype }: AlterTableStmt, file: FileState): Found[] {
  const commands = bodiesOf(cmds, 'AlterTableCmd')
  const always = commands.flatMap(checkAnywhere)
  if (relation === undefined || file.model.isNew(relation)) return always
  const key = relationKey(relation)
  if (objtype === 'OBJECT_INDEX' && file.model.isNewKey(file.model.indexes.get(key) ?? key)) return always
  const name = relationName(relation)
  return [...always, ...commands.flatMap((command) => checkCommand(name, key, command, file))]
}

/** What a migration may not do to a table of its own either. */
function checkAnywhere({ subtype, newowner }: AlterTableCmd): Found[] {
  if (subtype !== 'AT_ChangeOwner') return []
  return [{ rule: 'owner', message: `The file gives an object to the role ${newowner?.rolename ?? 'of the session'}` }]
}

function checkCommand(table: string, key: string, command: AlterTableCmd, file: FileState): Found[] {
  const relation = file.model.relations.get(key)
  const { subtype, name = '', def } = command
  switch (subtype) {
    case 'AT_AddColumn': {
      const column = bodyOf(def, 'ColumnDef')
      return column === undefined ? [] : checkNewColumn(table, column, file)
    }
    case 'AT_AlterColumnType':
      return checkType(table, command, relation)
    case 'AT_SetNotNull':
      return checkNotNull(table, name, relation)
    case 'AT_ColumnDefault':
      return checkDefault(table, command, relation)
    case 'AT_DropColumn':
      return [
        {
          rule: 'drop-column',
          message: `The running release may still use column ${name} of ${table}; its data is lost`,
        },
      ]
    case 'AT_AddConstraint':
      return checkConstraint(table, bodyOf(def, 'Constraint'))
    case 'AT_ValidateConstraint':
      if (!file.inTransaction || !file.notValid.has(`${key} ${name}`)) return []
      return [
        {
          rule: 'validate-same-transaction',
          message: `Validating ${name} reads every row of ${table} while the lock of ADD CONSTRAINT is still held`,
          lock: 'ACCESS EXCLUSIVE',
        },
      ]
    case 'AT_SetExpression':
      return [
        {
          rule: 'add-column-generated',
          message: `A new expression of ${name} writes every row of ${table} anew`,
          rewrites: true,
        },
      ]
    case 'AT_SetLogged':
    case 'AT_SetUnLogged':
    case 'AT_SetTableSpace':
    case 'AT_SetAccessMethod':
      return [
        {
          rule: 'rewrite-table',
          message: `${rewriting[subtype]} writes ${table} anew while nobody can read or write it`,
          rewrites: true,
        },
      ]
    case 'AT_DisableTrig':
    case 'AT_DisableTrigAll':
    case 'AT_DisableTrigUser':
      return [{ rule: 'disable-triggers', message: `Triggers of ${table} are switched off for every session` }]
    case 'AT_EnableRowSecurity':
      if (file.policies.has(key) || hasPolicyBelow(key, file)) return []
      return [
        {
          rule: 'row-security',
          message: `Row security of ${table} without a policy in this file: the tenant's role would see no rows`,
        },
      ]
    case 'AT_AttachPartition':
      return [{ rule: 'attach-partition', message: `Attaching a partition to ${table} reads every row of it` }]
    case 'AT_DetachPartition':
      if (bodyOf(def, 'PartitionCmd')?.concurrent !== true) {
        return [{ rule: 'attach-partition', message: `Detaching a partition stops every use of ${table}` }]
      }
      return needsNoTransaction('DETACH PARTITION CONCURRENTLY', file)
    case undefined:
    default:
      return []
  }
}

const rewriting = {
  AT_SetLogged: 'SET LOGGED',
  AT_SetUnLogged: 'SET UNLOGGED',
  AT_SetTableSpace: 'SET TABLESPACE',
  AT_SetAccessMethod: 'SET ACCESS METHOD',
} as const

const hasPolicyBelow = (key: string, { statements }: FileState) =>
  statements.some(({ node }) => {
    const table = bodyOf(node, 'CreatePolicyStmt')?.table
    return table !== undefined && relationKey(table) === key
  })

/** What PostgreSQL refuses to run in a transaction. */
export function needsNoTransaction(what: string, { inTransaction }: FileState): Found[] {
  if (!inTransaction) return []
  return [{ rule: 'needs-no-transaction', message: `${what} cannot run inside of the file's transaction` }]
}

function checkConstraint(table: string, constraint: Constraint | undefined): Found[] {
  if (constraint === undefined) return []
  const { contype, conname, indexname, skip_validation, keys } = constraint
  const name = conname === undefined ? `a constraint of ${table}` : `the constraint ${conname} of ${table}`
  switch (contype) {
    case 'CONSTR_FOREIGN':
      if (skip_validation === true) return []
      return [
        {
          rule: 'constraint-not-valid',
          message: `Adding ${name} looks up every row while neither ${table} nor the table it refers to can be written`,
        },
      ]
    case 'CONSTR_CHECK':
      if (skip_validation === true || constraint.is_enforced === false) return []
      return [
        {
          rule: 'constraint-not-valid',
          message: `Adding ${name} reads every row while nobody can read or write the table`,
        },
      ]
    case 'CONSTR_NOTNULL':
      if (skip_validation === true) return []
      return [
        {
          rule: 'set-not-null',
          message: `Adding ${name} (${(keys ?? []).length} column) reads every row while nobody can read or write the table`,
        },
      ]
    case 'CONSTR_UNIQUE':
    case 'CONSTR_PRIMARY':
      if (indexname !== undefined) return []
      return [
        {
          rule: 'unique-without-index',
          message: `Adding ${name} builds its index while nobody can read or write the table`,
        },
      ]
    case 'CONSTR_EXCLUSION':
      return [
        {
          rule: 'exclusion-constraint',
          message: `Adding ${name} builds its index while nobody can read or write the table`,
        },
      ]
    case undefined:
    default:
      return []
  }
}

/** ALTER DOMAIN: its constraints are checked in every table that has it. */
export function checkAlterDomain({ subtype, typeName, def }: AlterDomainStmt, { model }: FileState): Found[] {
  const names = textsOf(typeName)
  const isScan = subtype === 'O' || (subtype === 'C' && bodyOf(def, 'Constraint')?.skip_validation !== true)
  if (!isScan || model.newObjects.has(keyOf(names))) return []
  return [
    {
      rule: 'constraint-not-valid',
      message: `A new constraint of the domain ${names.join('.')} reads every table that has it, while nobody can write them`,
    },
  ]
}
