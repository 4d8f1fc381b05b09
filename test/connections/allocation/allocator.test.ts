import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AllocatorHarness } from './allocator-harness.js'

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('acquire' as const), tenant: fc.nat(5), scope: fc.option(fc.nat(3)) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constantFrom(
        'open',
        'close',
        'release',
        'release',
        'fail',
        'abort',
        'die',
        'disconnect',
        'full',
        'wait',
        'reap',
        'overdue',
        'upkeep',
      ),
      tenant: fc.nat(5),
    }),
  },
)

// With so short a time, tenants starve within a run of steps.
const limits = fc.record({ ownConnectionWaitMs: fc.constantFrom(0, 10), starvationMs: fc.constantFrom(15, 1000) })

test('the budget holds, tenants are served in order and no waiter is lost, whatever happens', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), limits, (steps, drawn) => {
      const harness = new AllocatorHarness(drawn)
      const tenantOf = new Map<number, string>()
      const scopes = Array.from({ length: 4 }, (_, index) => ({ index }))
      for (const action of steps) {
        const { type, tenant } = action
        if (type === 'acquire') {
          const holder = action.scope === null ? undefined : scopes[action.scope]
          tenantOf.set(harness.acquire(`t${tenant}`, holder), `t${tenant}`)
        } else if (type === 'open') harness.finishOpen(tenant)
        else if (type === 'fail') harness.failOpen(tenant)
        else if (type === 'close') harness.finishClose(tenant)
        else if (type === 'release') harness.release(tenant)
        else if (type === 'full') harness.findFull(tenant % 2 === 0 ? 'server' : 'tenant', 7)
        else if (type === 'disconnect') harness.allocator.disconnect(`t${tenant}`)
        else if (type === 'wait') harness.wait(7 * tenant)
        else if (type === 'reap') harness.allocator.reap(harness.nowMs - 5, harness.nowMs)
        else if (type === 'upkeep') harness.takeOut(`t${tenant}`)
        else if (type === 'overdue')
          for (const waiter of harness.allocator.leaveOverdue(harness.nowMs - 60)) waiter.reject(new Error('late'))
        else if (type === 'die') {
          const [entry] = harness.busy.splice(0, 1)
          if (entry !== undefined) harness.allocator.closed(entry, harness.nowMs)
        } else {
          const [pending] = harness.waiting.values()
          if (pending !== undefined && harness.allocator.leave(pending.key, pending.waiter))
            pending.waiter.reject(new Error('gone'))
        }
        harness.check()
      }
      harness.settle()
      expect(harness.waiting.size).toBe(0)
      expect(harness.granted.length + harness.failed.length).toBe(tenantOf.size)
      for (const key of new Set(tenantOf.values())) {
        for (const isNested of [true, false]) {
          const served = harness.granted.filter((id) => tenantOf.get(id) === key && harness.nested.has(id) === isNested)
          expect(served).toEqual(served.toSorted((a, b) => a - b))
        }
      }
      harness.allocator.reap(Infinity, harness.nowMs)
      harness.settle()
      expect([harness.allocator.budget.total, harness.allocator.tenants.size]).toEqual([0, 0])
    }),
    { numRuns: 500 },
  )
})

test('the most recently used idle connection is taken first', () => {
  const harness = new AllocatorHarness()
  harness.acquire('a')
  harness.acquire('a')
  harness.finishOpen()
  harness.finishOpen()
  const [first, second] = [...harness.busy]
  harness.releaseOf('a')
  harness.nowMs = 5
  harness.releaseOf('a')
  expect(harness.allocator.takeIdle('a', 6)).toBe(second)
  expect(harness.allocator.takeIdle('a', 6)).toBe(first)
})

test('at most maxConcurrentConnects connections are opened at a time', () => {
  const harness = new AllocatorHarness({ maxConcurrentConnects: 2 })
  for (const key of ['a', 'b', 'c', 'd']) harness.acquire(key)
  expect(harness.opening).toHaveLength(2)
  harness.finishOpen()
  expect(harness.opening).toHaveLength(2)
})

test('a connection that was opened for a waiter that left serves the next one of its tenant', () => {
  const harness = new AllocatorHarness()
  const first = harness.acquire('a')
  const pending = harness.waiting.get(first)
  if (pending !== undefined) harness.allocator.leave('a', pending.waiter)
  const second = harness.acquire('a')
  harness.finishOpen()
  expect(harness.granted).toEqual([second])
})

test('the connection of a tenant that is often asked for outlives others until the requests end', () => {
  const harness = new AllocatorHarness({ maxConnections: 3 })
  const use = (key: string): void => {
    harness.nowMs += 1
    harness.acquire(key)
    harness.finishClose()
    harness.finishOpen()
    harness.releaseOf(key)
  }
  const holds = () => [...harness.allocator.tenants].filter(([, tenant]) => tenant.total > 0).map(([key]) => key)
  for (const key of ['often', 'a', 'often', 'b', 'c', 'd', 'e']) use(key)
  expect(holds().toSorted()).toEqual(['d', 'e', 'often'])
  for (let round = 0; round < 100; round += 1) for (const key of ['f', 'g', 'h']) use(key)
  expect(holds().toSorted()).toEqual(['f', 'g', 'h'])
})

describe('while most of a used-up budget is idle', () => {
  const useOnce = (harness: AllocatorHarness, key: string): void => {
    harness.nowMs += 1
    harness.acquire(key)
    harness.finishOpen()
    harness.releaseOf(key)
  }
  const keys = Array.from({ length: 10 }, (_, index) => `t${index}`)

  test('a place is freed ahead of need, and the next tenant waits for no connection to be closed', () => {
    const harness = new AllocatorHarness({ maxConnections: 10 })
    for (const key of keys) useOnce(harness, key)
    expect(harness.closing.map(({ tenant }) => tenant.key)).toEqual(['t0'])
    harness.finishClose()
    expect(harness.allocator.budget.total).toBe(9)
    harness.acquire('new')
    expect(harness.opening).toHaveLength(1)
    expect(harness.closing).toHaveLength(0)
  })

  test('a tenant that was asked for twice keeps its connection', () => {
    const harness = new AllocatorHarness({ maxConnections: 10 })
    for (const key of keys) {
      useOnce(harness, key)
      const entry = harness.allocator.takeIdle(key, harness.nowMs)
      if (entry !== undefined) harness.allocator.release(entry, harness.nowMs)
    }
    expect([harness.allocator.budget.evictions, harness.allocator.idle]).toEqual([0, 10])
  })

  test('a small budget is used to the full', () => {
    const harness = new AllocatorHarness({ maxConnections: 9 })
    for (const key of keys.slice(1)) useOnce(harness, key)
    expect([harness.closing.length, harness.allocator.idle]).toEqual([0, 9])
  })

  test('no place is freed while more than half of the connections are in use', () => {
    const harness = new AllocatorHarness({ maxConnections: 10 })
    for (const key of keys.slice(0, 5)) {
      harness.acquire(key)
      harness.finishOpen()
    }
    for (const key of keys.slice(5)) useOnce(harness, key)
    expect([harness.closing.length, harness.allocator.idle]).toEqual([0, 5])
  })
})

test('a second connection that was rarely needed is closed before the only one of a quieter tenant', () => {
  const harness = new AllocatorHarness({ maxConnections: 3 })
  const acquire = (key: string): void => {
    harness.acquire(key)
    harness.finishOpen()
  }
  // `often` is asked for ten times, two of them at once only one time. `seldom` is asked for twice.
  for (let round = 0; round < 8; round += 1) {
    acquire('often')
    harness.releaseOf('often')
  }
  for (const key of ['often', 'often', 'seldom']) acquire(key)
  for (const key of ['often', 'often', 'seldom']) harness.releaseOf(key)
  acquire('seldom')
  harness.releaseOf('seldom')
  harness.acquire('other')
  expect(harness.closing.map(({ tenant }) => tenant.key)).toEqual(['often'])
})

describe('while the budget is used up', () => {
  const crowded = () => {
    const harness = new AllocatorHarness({ maxConnections: 2, ownConnectionWaitMs: 10 })
    for (const key of ['a', 'b']) {
      harness.acquire(key)
      harness.finishOpen()
    }
    harness.releaseOf('b')
    return harness
  }

  test('a tenant with a connection waits for it to come back before another tenant’s is closed, while the budget is used up', () => {
    const harness = crowded()
    const second = harness.acquire('a')
    harness.wait(9)
    harness.releaseOf('a')
    expect(harness.granted).toContain(second)
    expect([harness.closing.length, harness.allocator.budget.evictions]).toEqual([0, 0])
  })

  test('a tenant’s wait for its own connection ends after ownConnectionWaitMs without any other event', () => {
    const harness = crowded()
    const second = harness.acquire('a')
    harness.wait(10)
    expect(harness.closing.map((entry) => entry.tenant.key)).toEqual(['b'])
    harness.finishClose()
    harness.finishOpen()
    expect(harness.granted).toContain(second)
  })

  test('one connection at a time is opened for a tenant that has one, while the budget is used up', () => {
    const harness = new AllocatorHarness({ maxConnections: 3, maxConnectionsPerTenant: 3, ownConnectionWaitMs: 10 })
    for (const key of ['b', 'c', 'd']) {
      harness.acquire(key)
      harness.finishOpen()
      harness.releaseOf(key)
    }
    for (let caller = 0; caller < 3; caller += 1) harness.acquire('a')
    harness.wait(100)
    expect([harness.closing.length, harness.opening.length]).toEqual([1, 0])
    harness.finishClose()
    harness.finishOpen()
    expect([harness.closing.length, harness.busy.length]).toEqual([0, 1])
    harness.wait(10)
    expect([harness.closing.length, harness.busy.length]).toEqual([1, 1])
  })
})

describe('a connection that would have to be cleaned', () => {
  /** Has two connections. The idle one of `often` would be missed more than the one that `once` uses. */
  const harness = (): AllocatorHarness => {
    const made = new AllocatorHarness({ maxConnections: 2, maxConcurrentConnects: 1 })
    for (const key of ['often', 'often', 'once']) {
      made.acquire(key)
      made.finishOpen()
      if (key === 'often') made.releaseOf(key)
    }
    return made
  }
  const closeForAnotherTenant = (made: AllocatorHarness, key: string): boolean => {
    const entry = made.busy.find(({ tenant }) => tenant.key === key)
    return entry !== undefined && made.allocator.closeForAnotherTenant(entry, made.nowMs)
  }

  test('a connection that needs a reset is closed at once when others wait and it is missed least', () => {
    const made = harness()
    for (const key of ['x', 'y']) made.acquire(key)
    // The place of the connection of `often` is reserved for x.
    expect(made.closing.map(({ tenant }) => tenant.key)).toEqual(['often'])
    expect(closeForAnotherTenant(made, 'once')).toBe(true)
    expect(made.closing.map(({ tenant }) => tenant.key)).toEqual(['often', 'once'])
  })

  test('a connection that needs a reset is kept when nobody waits, when its own tenant waits, and when another one is missed less', () => {
    const quiet = harness()
    expect(closeForAnotherTenant(quiet, 'once')).toBe(false)
    const wanted = harness()
    wanted.acquire('once')
    wanted.acquire('x')
    expect(closeForAnotherTenant(wanted, 'once')).toBe(false)
    const popular = harness()
    for (const key of ['x', 'often']) popular.acquire(key)
    expect(closeForAnotherTenant(popular, 'often')).toBe(false)
  })

  test('no more connections that need a reset are closed than can be opened at a time', () => {
    const made = new AllocatorHarness({ maxConnections: 4, maxConcurrentConnects: 1 })
    for (const key of ['a', 'b', 'c', 'd']) {
      made.acquire(key)
      made.finishOpen()
    }
    for (const key of ['w', 'x', 'y', 'z']) made.acquire(key)
    expect(['a', 'b', 'c', 'd'].map((key) => closeForAnotherTenant(made, key))).toEqual([true, true, false, false])
  })
})

test('a connection that took longer to open than a turn lasts serves the tenant that it was opened for', () => {
  const harness = new AllocatorHarness({ maxConnections: 1 })
  const first = harness.acquire('a')
  harness.acquire('b')
  harness.nowMs = 10_000
  harness.finishOpen()
  expect(harness.granted).toEqual([first])
})

test('a full server is asked again only after a while, and waiters keep their places', () => {
  for (const scope of ['server', 'tenant'] as const) {
    const harness = new AllocatorHarness()
    const ids = [harness.acquire('a')]
    harness.findFull(scope, 50)
    expect([harness.allocator.budget.total, harness.allocator.waiting, harness.failed]).toEqual([0, 1, []])
    ids.push(harness.acquire('a'))
    const other = harness.acquire('b')
    expect(harness.opening.map(({ tenant }) => tenant.key)).toEqual(scope === 'server' ? [] : ['b'])
    harness.wait(49)
    expect(harness.opening.filter(({ tenant }) => tenant.key === 'a')).toEqual([])
    harness.wait(2)
    harness.settle()
    expect(harness.granted.filter((id) => id !== other)).toEqual(ids)
    expect(harness.granted).toContain(other)
  }
})

test('a full server is asked again only after a while for a tenant that starves, too', () => {
  for (const scope of ['server', 'tenant'] as const) {
    const harness = new AllocatorHarness({ starvationMs: 20 })
    const starving = harness.acquire('a')
    harness.acquire('b')
    harness.findFull(scope, 50)
    harness.wait(30)
    harness.failOpen()
    expect(harness.opening).toEqual([])
    harness.wait(22)
    harness.settle()
    expect(harness.granted).toEqual([starving])
  }
})

test('a caller that comes while a full server is not asked, and nobody waits, is served afterwards', () => {
  for (const scope of ['server', 'tenant'] as const) {
    const harness = new AllocatorHarness()
    harness.acquire('a')
    const [pending] = harness.waiting.values()
    if (pending !== undefined) harness.allocator.leave(pending.key, pending.waiter)
    harness.acquire('b')
    harness.findFull(scope, 50)
    harness.wait(10)
    const late = harness.acquire('a')
    harness.wait(42)
    harness.settle()
    expect(harness.granted).toContain(late)
  }
})

test('a connection that comes back serves a waiter while the server is full', () => {
  const harness = new AllocatorHarness()
  harness.acquire('a')
  harness.finishOpen()
  const second = harness.acquire('a')
  harness.findFull('tenant', 1000)
  harness.release()
  expect(harness.granted).toContain(second)
})

test('a tenant keeps its connection while waiters of others have waited less than affinityMs', () => {
  const harness = new AllocatorHarness({ maxConnections: 1 })
  harness.acquire('a')
  harness.finishOpen()
  const next = harness.acquire('a')
  harness.acquire('b')
  harness.nowMs = 29
  harness.releaseOf('a')
  expect(harness.granted.at(-1)).toBe(next)
  expect(harness.closing).toHaveLength(0)
})

test('a connection goes to the tenant whose turn it is after affinityMs', () => {
  const harness = new AllocatorHarness({ maxConnections: 1 })
  harness.acquire('a')
  harness.finishOpen()
  harness.acquire('a')
  const other = harness.acquire('b')
  harness.nowMs = 31
  harness.releaseOf('a')
  expect(harness.closing).toHaveLength(1)
  harness.finishClose()
  harness.finishOpen()
  expect(harness.granted.at(-1)).toBe(other)
})

test('newcomers come before a tenant that has used more than its share, but for no longer than starvationMs', () => {
  const harness = new AllocatorHarness({ maxConnections: 1, quantumMs: 10, starvationMs: 500 })
  const pass = (newcomer: number): void => {
    harness.acquire(`newcomer ${newcomer}`)
    harness.wait(10)
    harness.release()
    harness.finishClose()
    harness.finishOpen()
  }
  harness.acquire('a')
  harness.finishOpen()
  for (const key of ['b', 'c']) harness.acquire(key)
  harness.wait(1000)
  const owing = harness.acquire('a')
  harness.releaseOf('a')
  harness.finishClose()
  harness.finishOpen()
  for (let newcomer = 0; newcomer < 45; newcomer += 1) pass(newcomer)
  expect(harness.waiting.has(owing)).toBe(true)
  for (let newcomer = 45; newcomer < 55; newcomer += 1) pass(newcomer)
  expect(harness.waiting.has(owing)).toBe(false)
})

test('a place that was reserved for a waiter that leaves before the old connection is closed serves another waiter', () => {
  const harness = new AllocatorHarness({ maxConnections: 1 })
  harness.acquire('a')
  harness.finishOpen()
  harness.releaseOf('a')
  const gone = harness.acquire('b')
  const pending = harness.waiting.get(gone)
  if (pending !== undefined && harness.allocator.leave('b', pending.waiter)) pending.waiter.reject(new Error('gone'))
  const other = harness.acquire('c')
  harness.settle()
  expect(harness.granted).toContain(other)
})

test('a tenant with many callers does not keep the others from their share of the time', () => {
  const harness = new AllocatorHarness({ maxConnections: 2, maxConnectionsPerTenant: 2, maxWaitersPerTenant: 1000 })
  const usedMs = new Map<string, number>()
  const keep = (key: string, callers: number): void => {
    const present = [...harness.waiting.values()].filter((pending) => pending.key === key).length
    for (let index = present; index < callers; index += 1) harness.acquire(key)
  }
  for (let tick = 0; tick < 20_000; tick += 1) {
    keep('noisy', 200)
    keep('a', 20)
    keep('b', 20)
    harness.nowMs += 1
    for (const entry of harness.busy) usedMs.set(entry.tenant.key, (usedMs.get(entry.tenant.key) ?? 0) + 1)
    while (harness.closing.length > 0) harness.finishClose()
    if (tick % 3 === 0) while (harness.opening.length > 0) harness.finishOpen()
    if (tick % 2 === 0) for (let left = harness.busy.length; left > 0; left -= 1) harness.release()
  }
  const total = [...usedMs.values()].reduce((sum, ms) => sum + ms, 0)
  for (const key of ['noisy', 'a', 'b']) {
    expect((usedMs.get(key) ?? 0) / total).toBeGreaterThan(0.28)
    expect((usedMs.get(key) ?? 0) / total).toBeLessThan(0.38)
  }
})
