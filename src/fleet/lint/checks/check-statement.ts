import type { Node } from 'libpg-query'
import type { FileState, Found } from '../file-state.js'
import { bodyOf, type Body, type NodeType, textsOf, typeOf, walk } from '../nodes.js'
import { checkAlterDomain, checkAlterTable } from './alter-table.js'
import { checkIndex, checkRefresh, checkReindex } from './indexes.js'
import * as privileges from './privileges.js'
import { checkDrop, checkEnum, checkNewSchema, checkRename } from './removals.js'
import { checkInsert, checkMerge, checkTruncate, checkWrite } from './rows.js'
import { checkCluster, checkLock, checkSetting, checkTrigger, checkVacuum } from './tables.js'

type Checks = { readonly [Type in NodeType]?: (statement: Body<Type>, file: FileState) => Found[] }

const checks: Checks = {
  AlterDefaultPrivilegesStmt: privileges.checkDefaultPrivileges,
  AlterDomainStmt: checkAlterDomain,
  AlterEnumStmt: checkEnum,
  AlterFunctionStmt: privileges.checkAlterRoutine,
  AlterObjectSchemaStmt: checkNewSchema,
  AlterOwnerStmt: ({ newowner }) => [
    { rule: 'owner', message: `The file gives an object to the role ${newowner?.rolename ?? 'of the session'}` },
  ],
  AlterTableStmt: checkAlterTable,
  ClusterStmt: checkCluster,
  CopyStmt: privileges.checkCopy,
  CreateExtensionStmt: privileges.checkExtension,
  CreateFunctionStmt: privileges.checkRoutine,
  CreateTrigStmt: checkTrigger,
  DoStmt: privileges.checkDo,
  DropStmt: checkDrop,
  GrantStmt: privileges.checkGrant,
  IndexStmt: checkIndex,
  LockStmt: checkLock,
  RefreshMatViewStmt: checkRefresh,
  ReindexStmt: checkReindex,
  RenameStmt: checkRename,
  TransactionStmt: ({ kind }, { inTransaction }) => {
    if (!inTransaction || kind === 'TRANS_STMT_SAVEPOINT' || kind === 'TRANS_STMT_RELEASE') return []
    if (kind === 'TRANS_STMT_ROLLBACK_TO') return []
    return [{ rule: 'transaction-control', message: 'The file begins or ends a transaction, which the runner does' }]
  },
  TruncateStmt: checkTruncate,
  VacuumStmt: checkVacuum,
  VariableSetStmt: checkSetting,
}

/** Checks that look at parts of a statement: at a write in a WITH clause, for one. */
const partChecks: Checks = {
  DeleteStmt: (statement, file) => checkWrite('Deleting', statement, file),
  FuncCall: ({ funcname, args }) => {
    const name = textsOf(funcname).at(-1) ?? ''
    const setting = name === 'set_config' ? bodyOf(args?.[0], 'A_Const')?.sval?.sval : undefined
    return [
      ...privileges.checkCall(name),
      ...(setting === undefined ? [] : checkSetting({ name: setting.toLowerCase() })),
    ]
  },
  InsertStmt: checkInsert,
  MergeStmt: checkMerge,
  UpdateStmt: (statement, file) => checkWrite('Updating', statement, file),
}

/** Statements that only define what runs later. */
const definitions: ReadonlySet<NodeType> = new Set<NodeType>(['CreateFunctionStmt', 'RuleStmt', 'ViewStmt'])

/** Checks one statement against every rule that looks at a single statement. */
export function checkStatement(node: Node, file: FileState): Found[] {
  const type = typeOf(node)
  const reaching = privileges.privilegedStatements[type]
  const found = reaching === undefined ? [] : [privileges.privileged(reaching)]
  found.push(...run(checks, type, node[type as keyof Node], file))
  if (!definitions.has(type)) {
    walk(node, (partType, body) => found.push(...run(partChecks, partType, body, file)))
  }
  return [...found, ...checkEnumValues(node, file)]
}

function run(table: Checks, type: string, body: unknown, file: FileState): Found[] {
  const check = table[type as NodeType] as ((statement: unknown, state: FileState) => Found[]) | undefined
  return check?.(body, file) ?? []
}

/** PostgreSQL refuses a value that ALTER TYPE … ADD VALUE of the same transaction has made. */
function checkEnumValues(node: Node, { enumValues }: FileState): Found[] {
  if (enumValues.size === 0 || 'AlterEnumStmt' in node) return []
  const used = new Set<string>()
  walk(node, (type, body) => {
    const text = type === 'A_Const' ? (body as Body<'A_Const'>).sval?.sval : undefined
    if (text !== undefined && enumValues.has(text)) used.add(text)
  })
  return [...used].map((value) => ({
    rule: 'enum-value-same-transaction',
    message: `The value '${value}' was added in the same transaction, and cannot be used before that ends`,
  }))
}
