/** One session on the server, as a look at it shows. */
export interface SessionUse {
  readonly pid: number
  /** Object id of the session's role. */
  readonly role: number
  /** Entries of the shared lock table that the session has taken; locks on the fast path take none. */
  readonly locks: number
  /** Since the session's transaction began, milliseconds; null: it is in none, or that is not shown to this account. */
  readonly transactionMs: number | null
  /** Whether the session waits for its client inside of a transaction. */
  readonly isIdle: boolean
  /** Since the session began what it does, or waits, milliseconds; null: that is not shown to this account. */
  readonly stateMs: number | null
}

/** What the server's shared resources are used for at a moment. */
export interface ServerUse {
  readonly sessions: readonly SessionUse[]
  /** Used share of the NOTIFY queue, 0 to 1. */
  readonly queueUsage: number
  /** Session that PostgreSQL itself has named as the one that the NOTIFY queue waits for; undefined: none. */
  readonly queueHolder?: number | undefined
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
}

// Above this share of the table the role with most entries has to give way, whatever its limit.
const fullShare = 0.8
// A role with fewer than this share is not what fills the table.
const innocentShare = 0.1
// Share of the NOTIFY queue above which nothing can be notified any more.
const fullQueue = 0.98

/**
 * Sessions of tenants that have to end. Locks: the sessions of a role above its limit, those with most entries first,
 * until the rest fits in half of it. NOTIFY queue: one session at a time, the one that PostgreSQL has named, else the one
 * that has been in a transaction for longest, idle ones first.
 *
 * @param isTenant whether a role is a tenant's login role; nobody else's session is ever ended
 */
export function judge(use: ServerUse, limits: WatchLimits, isTenant: (role: number) => boolean): Verdict[] {
  return [...judgeLocks(use, limits, isTenant), ...judgeQueue(use, limits, isTenant)]
}

function judgeLocks({ sessions }: ServerUse, limits: WatchLimits, isTenant: (role: number) => boolean): Verdict[] {
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
      verdicts.push({ pid, role, resource: 'locks', used: held.locks, limit })
    }
  }
  return verdicts
}

function judgeQueue(use: ServerUse, limits: WatchLimits, isTenant: (role: number) => boolean): Verdict[] {
  const { sessions, queueUsage: used, queueHolder } = use
  if (used < limits.queueUsage) return []
  // A session that listens reads the queue between two transactions: one that is in none does not hold it up.
  const suspects = sessions
    .filter(({ role, transactionMs }) => transactionMs !== null && isTenant(role))
    .toSorted((a, b) => Number(b.isIdle) - Number(a.isIdle) || (b.transactionMs ?? 0) - (a.transactionMs ?? 0))
  // Nobody is in a transaction, and the queue is full: a listener that nothing has woken since. No notification can wake it
  // now; its session has to end, and a session that only waits loses nothing by that.
  const sleepers = () =>
    sessions
      .filter(({ role, transactionMs }) => used >= fullQueue && transactionMs === null && isTenant(role))
      .toSorted((a, b) => (b.stateMs ?? 0) - (a.stateMs ?? 0))
  const culprit = suspects.find(({ pid }) => pid === queueHolder) ?? suspects[0] ?? sleepers()[0]
  if (culprit === undefined) return []
  return [{ pid: culprit.pid, role: culprit.role, resource: 'notify-queue', used, limit: limits.queueUsage }]
}
