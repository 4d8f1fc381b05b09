import type { DropStmt, IndexStmt, RefreshMatViewStmt, ReindexStmt } from 'libpg-query'
import type { FileState, Found } from '../file-state.js'
import { bodiesOf, bodyOf, keyOf, relationKey, relationName, textsOf } from '../nodes.js'
import { needsNoTransaction } from './alter-table.js'

/** CREATE INDEX. */
export function checkIndex({ relation, concurrent, idxname }: IndexStmt, file: FileState): Found[] {
  if (concurrent === true) return needsNoTransaction('CREATE INDEX CONCURRENTLY', file)
  if (relation === undefined || file.model.isNew(relation)) return []
  return [
    {
      rule: 'index-not-concurrent',
      message: `Building the index ${idxname ?? ''} stops every write to ${relationName(relation)}`.replace('  ', ' '),
    },
  ]
}

/** DROP INDEX. */
export function checkDropIndex({ objects, concurrent }: DropStmt, file: FileState): Found[] {
  if (concurrent === true) return needsNoTransaction('DROP INDEX CONCURRENTLY', file)
  return (objects ?? []).flatMap((object): Found[] => {
    const names = textsOf(bodyOf(object, 'List')?.items)
    const table = file.model.indexes.get(keyOf(names))
    if (table !== undefined && file.model.isNewKey(table)) return []
    return [
      {
        rule: 'drop-index-not-concurrent',
        message: `Dropping the index ${names.join('.')} waits for every use of its table, and holds up those that come after`,
        lock: 'ACCESS EXCLUSIVE',
      },
    ]
  })
}

/** REINDEX. */
export function checkReindex({ kind, relation, params, name }: ReindexStmt, file: FileState): Found[] {
  const isConcurrent = bodiesOf(params, 'DefElem').some(({ defname }) => defname === 'concurrently')
  if (isConcurrent) return needsNoTransaction('REINDEX CONCURRENTLY', file)
  const key = relation && relationKey(relation)
  const table = key !== undefined && kind === 'REINDEX_OBJECT_INDEX' ? file.model.indexes.get(key) : key
  if (table !== undefined && file.model.isNewKey(table)) return []
  return [
    {
      rule: 'reindex-not-concurrent',
      message: `REINDEX of ${relation === undefined ? name : relationName(relation)} stops writes, and reads that would use the index`,
      lock: 'ACCESS EXCLUSIVE',
    },
  ]
}

/** REFRESH MATERIALIZED VIEW. */
export function checkRefresh({ relation, concurrent, skipData }: RefreshMatViewStmt, { model }: FileState): Found[] {
  if (concurrent === true || relation === undefined || model.isNew(relation)) return []
  const what = skipData === true ? 'Emptying' : 'Refreshing'
  return [
    {
      rule: 'refresh-not-concurrent',
      message: `${what} ${relationName(relation)} stops every read of it`,
      rewrites: true,
    },
  ]
}
