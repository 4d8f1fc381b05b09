/** One session on the server, as a check shows it. */
export interface SessionUse {
  readonly pid: number
  /** Object id of the session's role. */
  readonly role: number
  /** Entries of the shared lock table that the session has taken; locks on the fast path take none. */
  readonly locks: number
  /** Age of the session's transaction, milliseconds; null: it is in none, or this account may not see it. */
  readonly transactionMs: number | null
  /** Time since the session's state changed, milliseconds; null: this account may not see it. */
  readonly stateMs: number | null
}

/** Use of the server's shared resources at one moment. */
export interface ServerUse {
  readonly sessions: readonly SessionUse[]
  /** Used share of the NOTIFY queue, 0 to 1. */
  readonly queueUsage: number
  /** Further facts about the NOTIFY queue; undefined: none are known. */
  readonly queue?: QueueFacts | undefined
}

/** What PostgreSQL says about the NOTIFY queue, and what earlier checks have shown of it. */
export interface QueueFacts {
  /** The session that PostgreSQL names, at this check, as the one that the queue waits for; undefined: it named none. */
  readonly holder: number | undefined
  /** For how long PostgreSQL has been asked for a name and has given none, milliseconds. */
  readonly unnamedMs: number
  /** For how long the queue has been full, at least, milliseconds; 0: it is not full, or was not at the check before. */
  readonly fullMs: number
}

/** The limits above which the watcher ends sessions. */
export interface WatchLimits {
  /** Entries of the lock table that all sessions of one role together may take. */
  readonly locksPerRole: number
  /** Guaranteed size of the lock table, in entries. */
  readonly lockTable: number
  /** Share of the NOTIFY queue, 0 to 1. */
  readonly queueUsage: number
}

/** A shared resource that a tenant can use up. */
export type SharedResource = 'locks' | 'notify-queue'

/** A session that has to be ended, and why. */
export interface Offender {
  readonly pid: number
  readonly role: number
  readonly resource: SharedResource
  /** Entries of the lock table that the role has taken, or the used share of the queue. */
  readonly used: number
  readonly limit: number
  /** True when PostgreSQL has not named the session: another session may be what keeps the queue from being emptied. */
  readonly isGuess: boolean
}

/** Above this share of the lock table the role with most entries is an offender, whatever its limit. */
const fullShare = 0.8
/** A role that holds less than this share of the lock table is no offender. */
const minOffenderShare = 0.1
/** Share of the NOTIFY queue from which on notifications fail. */
export const fullQueue = 0.98
/** PostgreSQL gives a name once in five seconds, to the session that notifies first then. */
const namingMs = 5500

/**
 * Finds the sessions of tenants that have to be ended because of the lock table: those of a role above its limit, the ones
 * with most entries first, until the remaining ones hold at most half of the limit.
 *
 * @param isTenant whether a role is a tenant's login role; no other session is ever ended
 */
export function findLockOffenders(
  { sessions }: Pick<ServerUse, 'sessions'>,
  limits: WatchLimits,
  isTenant: (role: number) => boolean,
): Offender[] {
  const byRole = new Map<number, { locks: number; sessions: SessionUse[] }>()
  let total = 0
  for (const session of sessions) {
    total += session.locks
    if (session.locks === 0) continue
    const held = byRole.get(session.role) ?? { locks: 0, sessions: [] }
    held.locks += session.locks
    held.sessions.push(session)
    byRole.set(session.role, held)
  }
  const isFull = total > limits.lockTable * fullShare
  const suspects = [...byRole].filter(([role]) => isTenant(role)).toSorted(([, a], [, b]) => b.locks - a.locks)
  const offenders: Offender[] = []
  for (const [index, [role, held]] of suspects.entries()) {
    const fillsTable = isFull && index === 0 && held.locks > limits.lockTable * minOffenderShare
    const limit = fillsTable ? Math.min(limits.locksPerRole, held.locks - 1) : limits.locksPerRole
    if (held.locks <= limit) continue
    let rest = held.locks
    for (const { pid, locks } of held.sessions.toSorted((a, b) => b.locks - a.locks)) {
      if (rest <= limit / 2) break
      rest -= locks
      offenders.push({ pid, role, resource: 'locks', used: held.locks, limit, isGuess: false })
    }
  }
  return offenders
}

/**
 * Finds the session of a tenant that has to be ended because of the NOTIFY queue; at most one. It is the session that
 * PostgreSQL names. When the queue is full and PostgreSQL has given no name for long enough, it is a guess.
 *
 * @param isTenant whether a role is a tenant's login role; no other session is ever ended
 */
export function findQueueOffenders(
  use: ServerUse,
  limits: WatchLimits,
  isTenant: (role: number) => boolean,
): Offender[] {
  const { sessions, queueUsage: used, queue } = use
  if (used < limits.queueUsage || queue === undefined) return []
  const isFull = used >= fullQueue
  const tenants = sessions.filter(({ role }) => isTenant(role))
  const offender = ({ pid, role }: SessionUse, isGuess: boolean): Offender[] => [
    { pid, role, resource: 'notify-queue', used, limit: limits.queueUsage, isGuess },
  ]
  if (queue.holder !== undefined) {
    // A session that listens reads the queue between two transactions: outside of a transaction, it is about to read it.
    // Not so when the queue is full, because no notification wakes it then.
    const named = tenants.find(({ pid, transactionMs }) => pid === queue.holder && (isFull || transactionMs !== null))
    return named === undefined ? [] : offender(named, false)
  }
  if (!isFull || queue.unnamedMs < namingMs) return []
  // The session that holds the queue has done so since before the queue was full. Ending a session outside of a transaction
  // costs least, but such a session can only be the holder when none is in an old transaction.
  const oldest = (sinceMs: (session: SessionUse) => number | null) =>
    tenants
      .filter((session) => (sinceMs(session) ?? -1) >= queue.fullMs)
      .toSorted((a, b) => (sinceMs(b) ?? 0) - (sinceMs(a) ?? 0))[0]
  const guess =
    oldest(({ transactionMs }) => transactionMs) ??
    oldest(({ transactionMs, stateMs }) => (transactionMs === null ? stateMs : null))
  return guess === undefined ? [] : offender(guess, true)
}
