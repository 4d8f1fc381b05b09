import type { DeleteStmt, InsertStmt, MergeStmt, Node, RangeVar, TruncateStmt, UpdateStmt } from 'libpg-query'
import { isAlwaysTrue, isNarrow } from '../expressions.js'
import type { FileState, Found } from '../file-state.js'
import { bodiesOf, bodyOf, relationName, walk } from '../nodes.js'

/** UPDATE and DELETE. */
export function checkWrite(
  what: 'Updating' | 'Deleting',
  { relation, whereClause }: Pick<UpdateStmt & DeleteStmt, 'relation' | 'whereClause'>,
  file: FileState,
): Found[] {
  if (relation === undefined || file.model.isNew(relation)) return []
  const name = relationName(relation)
  const underLock = isNarrow(whereClause) ? [] : checkUnderLock(`${what} rows of ${name}`, file)
  if (whereClause !== undefined && !isAlwaysTrue(whereClause)) return underLock
  return [
    {
      rule: 'write-all-rows',
      message: `${what} every row of ${name} locks them all until the transaction ends, and leaves as many dead ones`,
    },
    ...underLock,
  ]
}

/** INSERT … SELECT from a table that exists. */
export function checkInsert({ relation, selectStmt }: InsertStmt, file: FileState): Found[] {
  const sources = bodyOf(selectStmt, 'SelectStmt')?.fromClause
  if (relation === undefined || !readsExisting(sources, file)) return []
  return checkUnderLock(`Filling ${relationName(relation)} from a table`, file)
}

/** MERGE. */
export function checkMerge({ relation }: MergeStmt, file: FileState): Found[] {
  if (relation === undefined || file.model.isNew(relation)) return []
  return checkUnderLock(`Merging into ${relationName(relation)}`, file)
}

function readsExisting(sources: readonly Node[] | undefined, { model }: FileState): boolean {
  let found = false
  walk(sources, (type, body) => {
    if (type === 'RangeVar' && !model.isNew(body as RangeVar)) found = true
  })
  return found
}

function checkUnderLock(what: string, { held, inTransaction }: FileState): Found[] {
  const [first] = held
  if (!inTransaction || first === undefined) return []
  const [table, lock] = first
  return [
    {
      rule: 'write-under-lock',
      message: `${what} takes as long as there are rows, while this transaction holds its ${lock} lock on ${table.replace(/^public\./, '')}`,
      lock,
    },
  ]
}

/** TRUNCATE. */
export function checkTruncate({ relations }: TruncateStmt, { model }: FileState): Found[] {
  return bodiesOf(relations, 'RangeVar').flatMap((relation): Found[] => {
    if (model.isNew(relation)) return []
    return [
      {
        rule: 'truncate',
        message: `TRUNCATE empties ${relationName(relation)} while nobody can read it`,
        rewrites: true,
      },
    ]
  })
}
