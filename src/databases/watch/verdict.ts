/** One session on the server, as a look at it shows. */
export interface SessionUse {
  readonly pid: number
  /** Object id of the session's role. */
  readonly role: number
  /** Entries of the shared lock table that the session has taken; locks on the fast path take none. */
  readonly locks: number
  /** Since the session's transaction began, milliseconds; null: it is in none, or that is not shown to this account. */
  readonly transactionMs: number | null
  /** Since the session began what it does, or waits, milliseconds; null: that is not shown to this account. */
  readonly stateMs: number | null
}

/** What the server's shared resources are used for at a moment. */
export interface ServerUse {
  readonly sessions: readonly SessionUse[]
  /** Used share of the NOTIFY queue, 0 to 1. */
  readonly queueUsage: number
  /** What was learned about the NOTIFY queue besides; undefined: nothing. */
  readonly queue?: QueueFacts | undefined
}

/** What PostgreSQL says about the NOTIFY queue, and what looks before have shown of it. */
export interface QueueFacts {
  /** Session that PostgreSQL names, at this look, as the one that the queue waits for; undefined: it named none. */
  readonly holder: number | undefined
  /** For how long PostgreSQL has been asked for a name without giving one, milliseconds. */
  readonly unnamedMs: number
  /** For how long the queue has been full, at least, milliseconds; 0: it is full for the first time, or not full. */
  readonly fullMs: number
}

/** Where the watcher steps in. */
export interface WatchLimits {
  /** Entries of the lock table that all sessions of one role may take. */
  readonly locksPerRole: number
  /** Entries that the lock table has for certain. */
  readonly lockTable: number
  /** Share of the NOTIFY queue, 0 to 1. */
  readonly queueUsage: number
}

/** A shared resource that a tenant can use up. */
export type SharedResource = 'locks' | 'notify-queue'

/** A session that has to end, and why. */
export interface Verdict {
  readonly pid: number
  readonly role: number
  readonly resource: SharedResource
  /** Entries of the lock table that the role has taken, or the used share of the queue. */
  readonly used: number
  readonly limit: number
  /** Whether PostgreSQL has not named the session: it may be another that keeps the queue from being emptied. */
  readonly isGuess: boolean
}

// Above this share of the table the role with most entries has to give way, whatever its limit.
const fullShare = 0.8
// A role with fewer than this share is not what fills the table.
const innocentShare = 0.1
// Share of the NOTIFY queue above which nothing can be notified any more.
export const fullQueue = 0.98
// PostgreSQL gives a name once in five seconds, to whoever notifies first then.
const namingMs = 5500

/**
 * Sessions of tenants that have to end because of the lock table: those of a role above its limit, those with most
 * entries first, until the rest fits in half of it.
 *
 * @param isTenant whether a role is a tenant's login role; nobody else's session is ever ended
 */
export function judgeLocks(
  { sessions }: Pick<ServerUse, 'sessions'>,
  limits: WatchLimits,
  isTenant: (role: number) => boolean,
): Verdict[] {
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
  const verdicts: Verdict[] = []
  for (const [index, [role, held]] of suspects.entries()) {
    const isCulprit = isFull && index === 0 && held.locks > limits.lockTable * innocentShare
    const limit = isCulprit ? Math.min(limits.locksPerRole, held.locks - 1) : limits.locksPerRole
    if (held.locks <= limit) continue
    let rest = held.locks
    for (const { pid, locks } of held.sessions.toSorted((a, b) => b.locks - a.locks)) {
      if (rest <= limit / 2) break
      rest -= locks
      verdicts.push({ pid, role, resource: 'locks', used: held.locks, limit, isGuess: false })
    }
  }
  return verdicts
}

/**
 * The session of a tenant that has to end because of the NOTIFY queue; at most one. It is the one that PostgreSQL names.
 * Nobody else is ended, unless the queue is full and PostgreSQL has given no name for long enough: then it is a guess.
 *
 * @param isTenant whether a role is a tenant's login role; nobody else's session is ever ended
 */
export function judgeQueue(use: ServerUse, limits: WatchLimits, isTenant: (role: number) => boolean): Verdict[] {
  const { sessions, queueUsage: used, queue } = use
  if (used < limits.queueUsage || queue === undefined) return []
  const isFull = used >= fullQueue
  const tenants = sessions.filter(({ role }) => isTenant(role))
  const verdict = ({ pid, role }: SessionUse, isGuess: boolean): Verdict[] => [
    { pid, role, resource: 'notify-queue', used, limit: limits.queueUsage, isGuess },
  ]
  if (queue.holder !== undefined) {
    // A session that listens reads the queue between two transactions: one that is in none is about to read it. Not so
    // when the queue is full: no notification wakes it then.
    const named = tenants.find(({ pid, transactionMs }) => pid === queue.holder && (isFull || transactionMs !== null))
    return named === undefined ? [] : verdict(named, false)
  }
  if (!isFull || queue.unnamedMs < namingMs) return []
  // What holds the queue has done so since before the queue was full. A session that is in no transaction loses least, but
  // is asleep for certain only when nobody is in an old transaction.
  const oldest = (sinceMs: (session: SessionUse) => number | null) =>
    tenants
      .filter((session) => (sinceMs(session) ?? -1) >= queue.fullMs)
      .toSorted((a, b) => (sinceMs(b) ?? 0) - (sinceMs(a) ?? 0))[0]
  const guess =
    oldest(({ transactionMs }) => transactionMs) ??
    oldest(({ transactionMs, stateMs }) => (transactionMs === null ? stateMs : null))
  return guess === undefined ? [] : verdict(guess, true)
}
