import type { ClusterStmt, CreateTrigStmt, LockStmt, VacuumStmt, VariableSetStmt } from 'libpg-query'
import type { FileState, Found } from '../file-state.js'
import { isAtLeast, lockModes } from '../../../core/fleet/lock-modes.js'
import { bodiesOf, relationName } from '../nodes.js'
import { needsNoTransaction } from './alter-table.js'
import { privileged } from './privileges.js'

/** LOCK TABLE. */
export function checkLock({ relations, mode = 8 }: LockStmt, { model }: FileState): Found[] {
  const lock = lockModes[mode - 1] ?? 'ACCESS EXCLUSIVE'
  const existing = bodiesOf(relations, 'RangeVar').filter((relation) => !model.isNew(relation))
  if (existing.length === 0 || !isAtLeast(lock, 'SHARE')) return []
  const names = existing.map(relationName).join(', ')
  return [{ rule: 'lock-table', message: `LOCK TABLE holds ${names} until the file is done`, lock }]
}

/** VACUUM. */
export function checkVacuum({ rels, options, is_vacuumcmd }: VacuumStmt, file: FileState): Found[] {
  if (is_vacuumcmd !== true) return []
  const found = needsNoTransaction('VACUUM', file)
  if (!bodiesOf(options, 'DefElem').some(({ defname }) => defname === 'full')) return found
  const names = bodiesOf(rels, 'VacuumRelation').flatMap(({ relation }) =>
    relation && !file.model.isNew(relation) ? [relationName(relation)] : [],
  )
  if (names.length === 0 && rels !== undefined) return found
  return [
    ...found,
    {
      rule: 'rewrite-table',
      message: `VACUUM FULL writes ${names.join(', ') || 'every table'} anew while nobody can read or write it`,
      rewrites: true,
      lock: 'ACCESS EXCLUSIVE',
    },
  ]
}

/** CLUSTER. */
export function checkCluster({ relation }: ClusterStmt, { model }: FileState): Found[] {
  if (relation !== undefined && model.isNew(relation)) return []
  const name = relation === undefined ? 'every clustered table' : relationName(relation)
  return [
    {
      rule: 'rewrite-table',
      message: `CLUSTER writes ${name} anew while nobody can read or write it`,
      rewrites: true,
      lock: 'ACCESS EXCLUSIVE',
    },
  ]
}

/** CREATE TRIGGER. */
export function checkTrigger({ relation, trigname }: CreateTrigStmt, { model }: FileState): Found[] {
  if (relation === undefined || model.isNew(relation)) return []
  const name = relationName(relation)
  return [
    {
      rule: 'trigger-on-existing',
      message: `Making the trigger ${trigname} stops writes to ${name} until the file is done, and every write runs it from then on`,
    },
  ]
}

const timeouts: ReadonlySet<string> = new Set([
  ...['statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'deadlock_timeout'],
])

/** SET and RESET. */
export function checkSetting({ name = '' }: Pick<VariableSetStmt, 'name'>): Found[] {
  if (name === 'lock_timeout') {
    return [
      { rule: 'set-lock-timeout', message: 'With a lock_timeout of its own, the file makes requests queue behind it' },
    ]
  }
  if (timeouts.has(name)) return [{ rule: 'set-timeout', message: `The file sets ${name} for itself` }]
  if (name === 'session_replication_role') {
    return [{ rule: 'disable-triggers', message: 'session_replication_role switches triggers and foreign keys off' }]
  }
  if (name === 'role' || name === 'session_authorization') return [privileged(`SET ${name.toUpperCase()}`)]
  return []
}
