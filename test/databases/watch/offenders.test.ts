import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  findLockOffenders,
  findQueueOffenders,
  type SessionUse,
  type WatchLimits,
} from '../../../src/databases/watch/offenders.js'

const limits: WatchLimits = { lockTable: 1000, locksPerRole: 250, queueUsage: 0.5 }
const session = (pid: number, use: Partial<SessionUse> = {}): SessionUse => ({
  pid,
  role: 1,
  locks: 0,
  transactionMs: null,
  stateMs: 10,
  ...use,
})
const everybody = (_role: number) => true
const pids = (sessions: SessionUse[]) => findLockOffenders({ sessions }, limits, everybody).map(({ pid }) => pid)

interface Queue {
  readonly usage: number
  readonly holder?: number
  readonly unnamedMs?: number
  readonly fullMs?: number
}
const forQueue = (
  sessions: SessionUse[],
  { usage, holder, unnamedMs = 60_000, fullMs = 0 }: Queue,
  isTenant = everybody,
) =>
  findQueueOffenders({ sessions, queueUsage: usage, queue: { holder, unnamedMs, fullMs } }, limits, isTenant).map(
    ({ pid, isGuess }) => [pid, isGuess ? 'guess' : 'named'],
  )

test('A role above its limit of locks loses the sessions with most locks until the rest holds half of the limit, and a role at its limit none', () => {
  const sessions = [session(1, { locks: 30 }), session(2, { locks: 120 }), session(3, { locks: 100 })]
  expect(pids(sessions)).toEqual([])
  expect(pids([...sessions, session(4, { locks: 1 })])).toEqual([2, 3])
})

test('When many roles together nearly fill the lock table, the role with most locks loses sessions', () => {
  const sessions = [1, 2, 3, 4].map((role) => session(role, { role, locks: 200 + role }))
  expect(pids(sessions)).toEqual([4])
})

describe('The NOTIFY queue', () => {
  // Idle and busy, short and long transactions: nothing of it shows which session listens.
  const sessions = [
    session(1, { transactionMs: 9000 }),
    session(2, { transactionMs: 5000 }),
    session(3, { transactionMs: 6000 }),
    session(4),
  ]

  test('From the limit of the NOTIFY queue on, the session that PostgreSQL names is ended', () => {
    expect(forQueue(sessions, { usage: 0.49, holder: 2 })).toEqual([])
    expect(forQueue(sessions, { usage: 0.5, holder: 2 })).toEqual([[2, 'named']])
    expect(forQueue(sessions, { usage: 1, holder: 2 })).toEqual([[2, 'named']])
    expect(findQueueOffenders({ sessions, queueUsage: 1 }, limits, everybody)).toEqual([])
  })

  test('Until the NOTIFY queue is full, no session is ended that PostgreSQL does not name', () => {
    expect(forQueue(sessions, { usage: 0.97 })).toEqual([])
    expect(forQueue(sessions, { usage: 0.97, holder: 99 })).toEqual([])
  })

  test('When PostgreSQL names a session that is no tenant’s, none is ended, however full the NOTIFY queue is', () => {
    expect(forQueue(sessions, { usage: 1, holder: 99 })).toEqual([])
    expect(
      forQueue([...sessions, session(5, { role: 7, transactionMs: 1 })], { usage: 1, holder: 5 }, (of) => of !== 7),
    ).toEqual([])
  })

  test('When the NOTIFY queue is full and PostgreSQL has had time to give a name, the longest transaction is ended as a guess', () => {
    expect(forQueue(sessions, { usage: 1, unnamedMs: 5000 })).toEqual([])
    expect(forQueue(sessions, { usage: 1, unnamedMs: 5500 })).toEqual([[1, 'guess']])
  })

  test('A transaction that began after the NOTIFY queue was full is not ended', () => {
    expect(forQueue(sessions, { usage: 1, fullMs: 9000 })).toEqual([[1, 'guess']])
    expect(forQueue(sessions, { usage: 1, fullMs: 9001 })).toEqual([])
  })

  test('A session outside of a transaction is ended only when the NOTIFY queue is full and no transaction is old enough', () => {
    const sleepers = [session(1, { stateMs: 10 }), session(2, { stateMs: 99_000 })]
    expect(forQueue(sleepers, { usage: 0.9 })).toEqual([])
    expect(forQueue(sleepers, { usage: 0.9, holder: 1 })).toEqual([])
    expect(forQueue(sleepers, { usage: 1, holder: 1 })).toEqual([[1, 'named']])
    expect(forQueue(sleepers, { usage: 1 })).toEqual([[2, 'guess']])
    expect(forQueue([...sleepers, session(3, { transactionMs: 1 })], { usage: 1 })).toEqual([[3, 'guess']])
    expect(forQueue([...sleepers, session(3, { transactionMs: 1 })], { usage: 1, fullMs: 5000 })).toEqual([
      [2, 'guess'],
    ])
  })
})

test('Only sessions of tenants are ended, and for the NOTIFY queue only a named one or a permitted guess', () => {
  const used = fc.record({
    sessions: fc.uniqueArray(
      fc.record({
        pid: fc.nat(20),
        role: fc.nat(5),
        locks: fc.nat(2000),
        transactionMs: fc.option(fc.nat(20_000)),
        stateMs: fc.option(fc.nat(20_000)),
      }),
      { selector: ({ pid }) => pid },
    ),
    queueUsage: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0.5, 0.98, 1)),
    queue: fc.option(
      fc.record({
        holder: fc.option(fc.nat(20), { nil: undefined }),
        unnamedMs: fc.nat(12_000),
        fullMs: fc.nat(12_000),
      }),
      { nil: undefined },
    ),
  })
  const isTenant = (role: number) => role > 2
  let [named, guessed] = [0, 0]
  fc.assert(
    fc.property(used, (seen) => {
      const forTheQueue = findQueueOffenders(seen, limits, isTenant)
      for (const offender of [...findLockOffenders(seen, limits, isTenant), ...forTheQueue]) {
        expect(isTenant(offender.role)).toBe(true)
        expect(offender.used).toBeGreaterThanOrEqual(offender.limit)
      }
      expect(forTheQueue.length).toBeLessThanOrEqual(1)
      for (const { pid, isGuess } of forTheQueue) {
        expect(isGuess).toBe(pid !== seen.queue?.holder)
        if (!isGuess) {
          named += 1
          continue
        }
        guessed += 1
        const { transactionMs, stateMs } = seen.sessions.find((of) => of.pid === pid)!
        expect(seen.queueUsage).toBeGreaterThanOrEqual(0.98)
        expect(seen.queue).toMatchObject({ holder: undefined })
        expect(seen.queue!.unnamedMs).toBeGreaterThan(5000)
        expect(transactionMs ?? stateMs).toBeGreaterThanOrEqual(seen.queue!.fullMs)
      }
    }),
    { numRuns: 2000 },
  )
  // The property was tried with both.
  expect(named).toBeGreaterThan(0)
  expect(guessed).toBeGreaterThan(0)
})
