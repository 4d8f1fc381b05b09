import type { AlterEnumStmt, AlterObjectSchemaStmt, DropStmt, Node, ObjectType, RenameStmt } from 'libpg-query'
import type { FileState, Found } from '../file-state.js'
import { bodyOf, keyOf, relationKey, relationName, textsOf } from '../nodes.js'
import { checkDropIndex } from './indexes.js'
import { privileged } from './privileges.js'

const dropped: { readonly [Type in ObjectType]?: string } = {
  OBJECT_AGGREGATE: 'aggregate',
  OBJECT_DOMAIN: 'domain',
  OBJECT_FOREIGN_TABLE: 'foreign table',
  OBJECT_FUNCTION: 'function',
  OBJECT_MATVIEW: 'materialized view',
  OBJECT_PROCEDURE: 'procedure',
  OBJECT_ROUTINE: 'routine',
  OBJECT_SCHEMA: 'schema',
  OBJECT_SEQUENCE: 'sequence',
  OBJECT_TABLE: 'table',
  OBJECT_TYPE: 'type',
  OBJECT_VIEW: 'view',
}

/** DROP. */
export function checkDrop(statement: DropStmt, file: FileState): Found[] {
  const { removeType, objects, behavior } = statement
  if (removeType === 'OBJECT_INDEX') return checkDropIndex(statement, file)
  if (removeType === 'OBJECT_EXTENSION' || removeType === 'OBJECT_EVENT_TRIGGER' || removeType === 'OBJECT_LANGUAGE') {
    return [privileged('DROP EXTENSION, EVENT TRIGGER or LANGUAGE')]
  }
  const what = removeType && dropped[removeType]
  if (what === undefined) return []
  return (objects ?? []).flatMap((object): Found[] => {
    const names = namesOf(object)
    const key = keyOf(names)
    if (file.model.isNewKey(key) || file.model.newObjects.has(key)) return []
    const isTable = removeType === 'OBJECT_TABLE' || removeType === 'OBJECT_FOREIGN_TABLE'
    if (!isTable && behavior !== 'DROP_CASCADE' && isMadeAgain(key, file)) return []
    const cascade = behavior === 'DROP_CASCADE' ? ', and CASCADE drops whatever depends on it' : ''
    return [
      {
        rule: isTable ? 'drop-table' : 'drop-object',
        message: `The running release may still use the ${what} ${names.join('.')}${isTable ? '; its data is lost' : ''}${cascade}`,
      },
    ]
  })
}

function namesOf(object: Node): string[] {
  const list = bodyOf(object, 'List')?.items ?? bodyOf(object, 'ObjectWithArgs')?.objname
  return textsOf(list ?? bodyOf(object, 'TypeName')?.names ?? [object])
}

/** Whether the file makes the object that it drops. */
function isMadeAgain(key: string, { statements }: FileState): boolean {
  return statements.some(({ node }) => {
    const view = bodyOf(node, 'ViewStmt')?.view ?? bodyOf(node, 'CreateTableAsStmt')?.into?.rel
    const routine = bodyOf(node, 'CreateFunctionStmt')?.funcname
    return (
      (view !== undefined && relationKey(view) === key) || (routine !== undefined && keyOf(textsOf(routine)) === key)
    )
  })
}

/** Names that no statement of an application uses. */
const inner: ReadonlySet<ObjectType | undefined> = new Set<ObjectType>([
  ...(['OBJECT_INDEX', 'OBJECT_TABCONSTRAINT', 'OBJECT_DOMCONSTRAINT', 'OBJECT_TRIGGER', 'OBJECT_POLICY'] as const),
  ...(['OBJECT_RULE', 'OBJECT_STATISTIC_EXT'] as const),
])

/** ALTER … RENAME. */
export function checkRename(statement: RenameStmt, { model }: FileState): Found[] {
  const { renameType, relation, object, subname, newname } = statement
  if (inner.has(renameType)) return []
  if (renameType === 'OBJECT_ROLE' || renameType === 'OBJECT_DATABASE') return [privileged('ALTER … RENAME of it')]
  if (relation !== undefined && model.isNew(relation)) return []
  const names = object === undefined ? [] : namesOf(object)
  if (names.length > 0 && model.newObjects.has(keyOf(names))) return []
  const whole = relation === undefined ? names.join('.') || (subname ?? '') : relationName(relation)
  const isPart = renameType === 'OBJECT_COLUMN' || renameType === 'OBJECT_ATTRIBUTE'
  const name = isPart ? `${subname} of ${whole}` : whole
  return [{ rule: 'rename', message: `The running release knows ${name} and not ${newname}` }]
}

/** ALTER … SET SCHEMA. */
export function checkNewSchema({ relation, object, newschema }: AlterObjectSchemaStmt, { model }: FileState): Found[] {
  if (relation !== undefined && model.isNew(relation)) return []
  const name = relation === undefined ? namesOf(object ?? ({} as Node)).join('.') : relationName(relation)
  return [{ rule: 'rename', message: `The running release does not look for ${name} in the schema ${newschema}` }]
}

/** ALTER TYPE … RENAME VALUE. */
export function checkEnum({ typeName, oldVal, newVal }: AlterEnumStmt, { model }: FileState): Found[] {
  const names = textsOf(typeName)
  if (oldVal === undefined || model.newObjects.has(keyOf(names))) return []
  return [
    {
      rule: 'rename',
      message: `The running release knows the value '${oldVal}' of ${names.join('.')} and not '${newVal}'`,
    },
  ]
}
