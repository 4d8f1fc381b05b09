import type { AlterTableCmd, Node, RangeVar } from 'libpg-query'
import { isAtLeast, type LockMode, lockModes } from '../../core/fleet/lock-modes.js'
import { bodiesOf, bodyOf, type Body, keyOf, type NodeType, relationKey, textsOf, typeOf } from './nodes.js'
import type { SchemaModel } from './schema-model.js'

/** Locks on relations that exist, by the relation's key. */
export type Locks = ReadonlyMap<string, LockMode>

type Taken = readonly (readonly [relation: RangeVar | string | undefined, lock: LockMode])[]

/** Finds the locks that a statement takes on relations that exist, as PostgreSQL 15 to 18 take them. */
export function locksOf(node: Node, model: SchemaModel): Locks {
  const find = lockFinders[typeOf(node)] as ((body: unknown, model: SchemaModel) => Taken) | undefined
  const locks = new Map<string, LockMode>()
  for (const [relation, lock] of find?.(Object.values(node)[0], model) ?? []) {
    if (relation === undefined) continue
    const key = typeof relation === 'string' ? relation : relationKey(relation)
    const before = locks.get(key)
    if (!model.isNewKey(key) && (before === undefined || isAtLeast(lock, before))) locks.set(key, lock)
  }
  return locks
}

const lockFinders: { readonly [Type in NodeType]?: (body: Body<Type>, model: SchemaModel) => Taken } = {
  AlterTableStmt: ({ relation, cmds, objtype }, model) => {
    const target = objtype === 'OBJECT_INDEX' && relation ? model.indexes.get(relationKey(relation)) : relation
    return bodiesOf(cmds, 'AlterTableCmd').flatMap((cmd) => [[target, lockOfCommand(cmd)], ...otherLocks(cmd)] as Taken)
  },
  ClusterStmt: ({ relation }) => [[relation, 'ACCESS EXCLUSIVE']],
  CopyStmt: ({ relation, is_from }) => (is_from === true ? [[relation, 'ROW EXCLUSIVE']] : []),
  CreateStmt: ({ tableElts, partbound, inhRelations }) => [
    ...bodiesOf(inhRelations, 'RangeVar').map(
      (parent) => [parent, partbound === undefined ? 'SHARE UPDATE EXCLUSIVE' : 'ACCESS EXCLUSIVE'] as const,
    ),
    ...bodiesOf(tableElts, 'Constraint').flatMap(({ pktable }) => referenced(pktable)),
    ...bodiesOf(tableElts, 'ColumnDef').flatMap(({ constraints }) =>
      bodiesOf(constraints, 'Constraint').flatMap(({ pktable }) => referenced(pktable)),
    ),
  ],
  CreatePolicyStmt: ({ table }) => [[table, 'ACCESS EXCLUSIVE']],
  AlterPolicyStmt: ({ table }) => [[table, 'ACCESS EXCLUSIVE']],
  CreateTrigStmt: ({ relation }) => [[relation, 'SHARE ROW EXCLUSIVE']],
  DeleteStmt: ({ relation }) => [[relation, 'ROW EXCLUSIVE']],
  DropStmt: ({ removeType, objects, concurrent }, model) =>
    (objects ?? []).map((each) => {
      const names = textsOf(bodyOf(each, 'List')?.items)
      const isPart = removeType === 'OBJECT_TRIGGER' || removeType === 'OBJECT_POLICY' || removeType === 'OBJECT_RULE'
      const isIndex = removeType === 'OBJECT_INDEX'
      const key = keyOf(isPart ? names.slice(0, -1) : names)
      const lock = concurrent === true ? 'SHARE UPDATE EXCLUSIVE' : 'ACCESS EXCLUSIVE'
      const isRelation = isPart || isIndex || /TABLE|VIEW|SEQUENCE/.test(removeType ?? '')
      return [isIndex ? model.indexes.get(key) : isRelation ? key : undefined, lock]
    }),
  IndexStmt: ({ relation, concurrent }) => [[relation, concurrent === true ? 'SHARE UPDATE EXCLUSIVE' : 'SHARE']],
  InsertStmt: ({ relation }) => [[relation, 'ROW EXCLUSIVE']],
  LockStmt: ({ relations, mode = 8 }) =>
    bodiesOf(relations, 'RangeVar').map((each) => [each, lockModes[mode - 1] ?? 'ACCESS EXCLUSIVE']),
  MergeStmt: ({ relation }) => [[relation, 'ROW EXCLUSIVE']],
  RefreshMatViewStmt: ({ relation, concurrent }) => [
    [relation, concurrent === true ? 'EXCLUSIVE' : 'ACCESS EXCLUSIVE'],
  ],
  ReindexStmt: ({ kind, relation, params }, model) => {
    const isConcurrent = bodiesOf(params, 'DefElem').some(({ defname }) => defname === 'concurrently')
    const key = relation && relationKey(relation)
    const table = kind === 'REINDEX_OBJECT_INDEX' && key !== undefined ? (model.indexes.get(key) ?? key) : key
    return [[table, isConcurrent ? 'SHARE UPDATE EXCLUSIVE' : 'SHARE']]
  },
  RenameStmt: ({ relation, renameType }) => [
    [renameType === 'OBJECT_INDEX' ? undefined : relation, 'ACCESS EXCLUSIVE'],
  ],
  AlterObjectSchemaStmt: ({ relation }) => [[relation, 'ACCESS EXCLUSIVE']],
  RuleStmt: ({ relation }) => [[relation, 'ACCESS EXCLUSIVE']],
  TruncateStmt: ({ relations }) => bodiesOf(relations, 'RangeVar').map((each) => [each, 'ACCESS EXCLUSIVE']),
  UpdateStmt: ({ relation }) => [[relation, 'ROW EXCLUSIVE']],
  VacuumStmt: ({ rels, options, is_vacuumcmd }) => {
    const isFull = bodiesOf(options, 'DefElem').some(({ defname }) => defname === 'full')
    return bodiesOf(rels, 'VacuumRelation').map(({ relation }) => [
      relation,
      is_vacuumcmd === true && isFull ? 'ACCESS EXCLUSIVE' : 'SHARE UPDATE EXCLUSIVE',
    ])
  },
}

const referenced = (table: RangeVar | undefined): Taken => (table === undefined ? [] : [[table, 'SHARE ROW EXCLUSIVE']])

/** The manual's page of ALTER TABLE: ACCESS EXCLUSIVE unless it says otherwise. */
function lockOfCommand({ subtype, def }: AlterTableCmd): LockMode {
  switch (subtype) {
    case 'AT_SetStatistics':
    case 'AT_SetOptions':
    case 'AT_ResetOptions':
    case 'AT_SetRelOptions':
    case 'AT_ResetRelOptions':
    case 'AT_ClusterOn':
    case 'AT_DropCluster':
    case 'AT_ValidateConstraint':
    case 'AT_AttachPartition':
      return 'SHARE UPDATE EXCLUSIVE'
    case 'AT_DetachPartition':
      return bodyOf(def, 'PartitionCmd')?.concurrent === true ? 'SHARE UPDATE EXCLUSIVE' : 'ACCESS EXCLUSIVE'
    case 'AT_EnableTrig':
    case 'AT_EnableAlwaysTrig':
    case 'AT_EnableReplicaTrig':
    case 'AT_EnableTrigAll':
    case 'AT_EnableTrigUser':
    case 'AT_DisableTrig':
    case 'AT_DisableTrigAll':
    case 'AT_DisableTrigUser':
      return 'SHARE ROW EXCLUSIVE'
    case 'AT_AddConstraint':
      return bodyOf(def, 'Constraint')?.contype === 'CONSTR_FOREIGN' ? 'SHARE ROW EXCLUSIVE' : 'ACCESS EXCLUSIVE'
    case undefined:
    default:
      return 'ACCESS EXCLUSIVE'
  }
}

/** Tables that a command locks besides its own: those that a foreign key refers to, partitions. */
function otherLocks({ def }: AlterTableCmd): Taken {
  const constraints = [
    ...bodiesOf(def === undefined ? [] : [def], 'Constraint'),
    ...bodiesOf(bodyOf(def, 'ColumnDef')?.constraints, 'Constraint'),
  ]
  const partition = bodyOf(def, 'PartitionCmd')?.name
  return [
    ...constraints.flatMap(({ pktable }) => referenced(pktable)),
    ...(partition === undefined ? [] : [[partition, 'ACCESS EXCLUSIVE'] as const]),
  ]
}
