import fc from 'fast-check'
import { expect, test } from 'vitest'
import { judge, type SessionUse, type WatchLimits } from '../../../src/databases/watch/verdict.js'

const limits: WatchLimits = { lockTable: 1000, locksPerRole: 250, queueUsage: 0.5 }
const session = (pid: number, use: Partial<SessionUse> = {}): SessionUse => ({
  pid,
  role: 1,
  locks: 0,
  transactionMs: null,
  isIdle: false,
  stateMs: 10,
  ...use,
})
const everybody = () => true
const pids = (use: Parameters<typeof judge>[0], isTenant: (role: number) => boolean = everybody) =>
  judge(use, limits, isTenant).map(({ pid }) => pid)

test('a role at its limit is left alone, above it the sessions with most locks end until the rest fits in half', () => {
  const sessions = [session(1, { locks: 30 }), session(2, { locks: 120 }), session(3, { locks: 100 })]
  expect(pids({ sessions, queueUsage: 0 })).toEqual([])
  expect(pids({ sessions: [...sessions, session(4, { locks: 1 })], queueUsage: 0 })).toEqual([2, 3])
})

test('a table that is nearly full by many roles costs the one that has most', () => {
  const sessions = [1, 2, 3, 4].map((role) => session(role, { role, locks: 200 + role }))
  expect(pids({ sessions, queueUsage: 0 })).toEqual([4])
})

test('the queue costs the session that PostgreSQL names, else the oldest transaction, idle ones first', () => {
  const sessions = [
    session(1, { transactionMs: 9000 }),
    session(2, { transactionMs: 5000, isIdle: true }),
    session(3, { transactionMs: 6000, isIdle: true }),
    session(4),
  ]
  expect(pids({ sessions, queueUsage: 0.49 })).toEqual([])
  expect(pids({ sessions, queueUsage: 0.5 })).toEqual([3])
  expect(pids({ sessions, queueUsage: 0.5, queueHolder: 1 })).toEqual([1])
  expect(pids({ sessions, queueUsage: 0.5, queueHolder: 99 })).toEqual([3])
})

test('a session in no transaction ends only when the queue is full and nobody else keeps it so', () => {
  const sessions = [session(1, { stateMs: 10 }), session(2, { stateMs: 99_000 })]
  expect(pids({ sessions, queueUsage: 0.9 })).toEqual([])
  expect(pids({ sessions, queueUsage: 1 })).toEqual([2])
  expect(pids({ sessions: [...sessions, session(3, { transactionMs: 1 })], queueUsage: 1 })).toEqual([3])
})

test('nobody but tenants is ever ended', () => {
  const use = fc.record({
    sessions: fc.array(
      fc.record({
        pid: fc.nat(),
        role: fc.nat(5),
        locks: fc.nat(2000),
        transactionMs: fc.option(fc.nat()),
        isIdle: fc.boolean(),
        stateMs: fc.option(fc.nat()),
      }),
    ),
    queueUsage: fc.double({ min: 0, max: 1, noNaN: true }),
    queueHolder: fc.option(fc.nat(), { nil: undefined }),
  })
  fc.assert(
    fc.property(use, (seen) => {
      for (const { role, used, limit } of judge(seen, limits, (of) => of > 2)) {
        expect(role).toBeGreaterThan(2)
        expect(used).toBeGreaterThanOrEqual(limit)
      }
    }),
  )
})
