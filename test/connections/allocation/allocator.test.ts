import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { World } from './world.js'

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('acquire' as const), tenant: fc.nat(5), work: fc.option(fc.nat(3)) }),
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

test('whatever happens, the budget holds, tenants are served in order and no waiter is lost', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), fc.constantFrom(0, 10), (steps, ownConnectionWaitMs) => {
      const world = new World({ ownConnectionWaitMs })
      const tenantOf = new Map<number, string>()
      const works = Array.from({ length: 4 }, (_, index) => ({ index }))
      for (const action of steps) {
        const { type, tenant } = action
        if (type === 'acquire') {
          const holder = action.work === null ? undefined : works[action.work]
          tenantOf.set(world.acquire(`t${tenant}`, holder), `t${tenant}`)
        } else if (type === 'open') world.finishOpen(tenant)
        else if (type === 'fail') world.failOpen(tenant)
        else if (type === 'close') world.finishClose(tenant)
        else if (type === 'release') world.release(tenant)
        else if (type === 'full') world.findFull(tenant % 2 === 0 ? 'server' : 'tenant', 7)
        else if (type === 'disconnect') world.allocator.disconnect(`t${tenant}`)
        else if (type === 'wait') world.wait(7 * tenant)
        else if (type === 'reap') world.allocator.reap(world.nowMs - 5, world.nowMs)
        else if (type === 'upkeep') world.takeOut(`t${tenant}`)
        else if (type === 'overdue')
          for (const waiter of world.allocator.leaveOverdue(world.nowMs - 60)) waiter.reject(new Error('late'))
        else if (type === 'die') {
          const [entry] = world.busy.splice(0, 1)
          if (entry !== undefined) world.allocator.closed(entry, world.nowMs)
        } else {
          const [pending] = world.waiting.values()
          if (pending !== undefined && world.allocator.leave(pending.key, pending.waiter))
            pending.waiter.reject(new Error('gone'))
        }
        world.check()
      }
      world.settle()
      expect(world.waiting.size).toBe(0)
      expect(world.granted.length + world.failed.length).toBe(tenantOf.size)
      for (const key of new Set(tenantOf.values())) {
        for (const isNested of [true, false]) {
          const served = world.granted.filter((id) => tenantOf.get(id) === key && world.nested.has(id) === isNested)
          expect(served).toEqual(served.toSorted((a, b) => a - b))
        }
      }
      world.allocator.reap(Infinity, world.nowMs)
      world.settle()
      expect([world.allocator.budget.total, world.allocator.tenants.size]).toEqual([0, 0])
    }),
    { numRuns: 500 },
  )
})

test('the most recently used idle connection is taken first', () => {
  const world = new World()
  world.acquire('a')
  world.acquire('a')
  world.finishOpen()
  world.finishOpen()
  const [first, second] = [...world.busy]
  world.releaseOf('a')
  world.nowMs = 5
  world.releaseOf('a')
  expect(world.allocator.takeIdle('a', 6)).toBe(second)
  expect(world.allocator.takeIdle('a', 6)).toBe(first)
})

test('at most maxConcurrentConnects connections are opened at a time', () => {
  const world = new World({ maxConcurrentConnects: 2 })
  for (const key of ['a', 'b', 'c', 'd']) world.acquire(key)
  expect(world.opening).toHaveLength(2)
  world.finishOpen()
  expect(world.opening).toHaveLength(2)
})

test('a connection that was opened for a waiter who left serves the next one of its tenant', () => {
  const world = new World()
  const first = world.acquire('a')
  const pending = world.waiting.get(first)
  if (pending !== undefined) world.allocator.leave('a', pending.waiter)
  const second = world.acquire('a')
  world.finishOpen()
  expect(world.granted).toEqual([second])
})

test('the connection of a tenant that is often asked for outlives those of others, until it is not asked for any more', () => {
  const world = new World({ maxConnections: 3 })
  const use = (key: string): void => {
    world.nowMs += 1
    world.acquire(key)
    world.finishClose()
    world.finishOpen()
    world.releaseOf(key)
  }
  const holds = () => [...world.allocator.tenants].filter(([, tenant]) => tenant.total > 0).map(([key]) => key)
  for (const key of ['often', 'a', 'often', 'b', 'c', 'd', 'e']) use(key)
  expect(holds().toSorted()).toEqual(['d', 'e', 'often'])
  for (let round = 0; round < 100; round += 1) for (const key of ['f', 'g', 'h']) use(key)
  expect(holds().toSorted()).toEqual(['f', 'g', 'h'])
})

test('a second connection is worth the requests that needed two at once: room is made by it before a quieter tenant loses its only one', () => {
  const world = new World({ maxConnections: 3 })
  const acquire = (key: string): void => {
    world.acquire(key)
    world.finishOpen()
  }
  // `often` is asked for ten times, twice at once only once; `seldom` twice.
  for (let round = 0; round < 8; round += 1) {
    acquire('often')
    world.releaseOf('often')
  }
  for (const key of ['often', 'often', 'seldom']) acquire(key)
  for (const key of ['often', 'often', 'seldom']) world.releaseOf(key)
  acquire('seldom')
  world.releaseOf('seldom')
  world.acquire('other')
  expect(world.closing.map(({ tenant }) => tenant.key)).toEqual(['often'])
})

describe('while the budget is used up', () => {
  const crowded = () => {
    const world = new World({ maxConnections: 2, ownConnectionWaitMs: 10 })
    for (const key of ['a', 'b']) {
      world.acquire(key)
      world.finishOpen()
    }
    world.releaseOf('b')
    return world
  }

  test('a tenant that is being served waits for its own connection before another’s is closed for it', () => {
    const world = crowded()
    const second = world.acquire('a')
    world.wait(9)
    world.releaseOf('a')
    expect(world.granted).toContain(second)
    expect([world.closing.length, world.allocator.budget.evictions]).toEqual([0, 0])
  })

  test('it does not wait for long, and nothing has to happen for that', () => {
    const world = crowded()
    const second = world.acquire('a')
    world.wait(10)
    expect(world.closing.map((entry) => entry.tenant.key)).toEqual(['b'])
    world.finishClose()
    world.finishOpen()
    expect(world.granted).toContain(second)
  })

  test('one connection at a time is opened for it', () => {
    const world = new World({ maxConnections: 3, maxConnectionsPerTenant: 3, ownConnectionWaitMs: 10 })
    for (const key of ['b', 'c', 'd']) {
      world.acquire(key)
      world.finishOpen()
      world.releaseOf(key)
    }
    for (let caller = 0; caller < 3; caller += 1) world.acquire('a')
    world.wait(100)
    expect([world.closing.length, world.opening.length]).toEqual([1, 0])
    world.finishClose()
    world.finishOpen()
    expect([world.closing.length, world.busy.length]).toEqual([0, 1])
    world.wait(10)
    expect([world.closing.length, world.busy.length]).toEqual([1, 1])
  })
})

describe('a connection that would have to be cleaned', () => {
  /** Two places: `often` has an idle connection that is missed more than the one that `once` uses. */
  const world = (): World => {
    const made = new World({ maxConnections: 2, maxConcurrentConnects: 1 })
    for (const key of ['often', 'often', 'once']) {
      made.acquire(key)
      made.finishOpen()
      if (key === 'often') made.releaseOf(key)
    }
    return made
  }
  const giveWay = (made: World, key: string): boolean => {
    const entry = made.busy.find(({ tenant }) => tenant.key === key)
    return entry !== undefined && made.allocator.giveWay(entry, made.nowMs)
  }

  test('is closed at once when others wait and it is the one that is missed least', () => {
    const made = world()
    for (const key of ['x', 'y']) made.acquire(key)
    // The place that `often` had is on its way to x.
    expect(made.closing.map(({ tenant }) => tenant.key)).toEqual(['often'])
    expect(giveWay(made, 'once')).toBe(true)
    expect(made.closing.map(({ tenant }) => tenant.key)).toEqual(['often', 'once'])
  })

  test('is kept when nobody waits, when its own tenant waits, and when another one is missed less', () => {
    const quiet = world()
    expect(giveWay(quiet, 'once')).toBe(false)
    const wanted = world()
    wanted.acquire('once')
    wanted.acquire('x')
    expect(giveWay(wanted, 'once')).toBe(false)
    const popular = world()
    for (const key of ['x', 'often']) popular.acquire(key)
    expect(giveWay(popular, 'often')).toBe(false)
  })

  test('no more of them are closed than connections can be opened at a time', () => {
    const made = new World({ maxConnections: 4, maxConcurrentConnects: 1 })
    for (const key of ['a', 'b', 'c', 'd']) {
      made.acquire(key)
      made.finishOpen()
    }
    for (const key of ['w', 'x', 'y', 'z']) made.acquire(key)
    expect(['a', 'b', 'c', 'd'].map((key) => giveWay(made, key))).toEqual([true, true, false, false])
  })
})

test('a connection that took longer to open than anybody’s turn lasts still serves whom it was opened for', () => {
  const world = new World({ maxConnections: 1 })
  const first = world.acquire('a')
  world.acquire('b')
  world.nowMs = 10_000
  world.finishOpen()
  expect(world.granted).toEqual([first])
})

test('a full server is asked again later, by nobody before, and whoever waits keeps his place', () => {
  for (const scope of ['server', 'tenant'] as const) {
    const world = new World()
    const ids = [world.acquire('a')]
    world.findFull(scope, 50)
    expect([world.allocator.budget.total, world.allocator.waiting, world.failed]).toEqual([0, 1, []])
    ids.push(world.acquire('a'))
    const other = world.acquire('b')
    expect(world.opening.map(({ tenant }) => tenant.key)).toEqual(scope === 'server' ? [] : ['b'])
    world.wait(49)
    expect(world.opening.filter(({ tenant }) => tenant.key === 'a')).toEqual([])
    world.wait(2)
    world.settle()
    expect(world.granted.filter((id) => id !== other)).toEqual(ids)
    expect(world.granted).toContain(other)
  }
})

test('whoever comes while nothing is opened, and nobody waits, is served afterwards all the same', () => {
  for (const scope of ['server', 'tenant'] as const) {
    const world = new World()
    world.acquire('a')
    const [pending] = world.waiting.values()
    if (pending !== undefined) world.allocator.leave(pending.key, pending.waiter)
    world.acquire('b')
    world.findFull(scope, 50)
    world.wait(10)
    const late = world.acquire('a')
    world.wait(42)
    world.settle()
    expect(world.granted).toContain(late)
  }
})

test('a connection that comes back serves who waits while the server is full', () => {
  const world = new World()
  world.acquire('a')
  world.finishOpen()
  const second = world.acquire('a')
  world.findFull('tenant', 1000)
  world.release()
  expect(world.granted).toContain(second)
})

test('a tenant keeps its connection while the others have waited less than the affinity time', () => {
  const world = new World({ maxConnections: 1 })
  world.acquire('a')
  world.finishOpen()
  const next = world.acquire('a')
  world.acquire('b')
  world.nowMs = 29
  world.releaseOf('a')
  expect(world.granted.at(-1)).toBe(next)
  expect(world.closing).toHaveLength(0)
})

test('after the affinity time the connection goes to the tenant whose turn it is', () => {
  const world = new World({ maxConnections: 1 })
  world.acquire('a')
  world.finishOpen()
  world.acquire('a')
  const other = world.acquire('b')
  world.nowMs = 31
  world.releaseOf('a')
  expect(world.closing).toHaveLength(1)
  world.finishClose()
  world.finishOpen()
  expect(world.granted.at(-1)).toBe(other)
})

test('newcomers come before a tenant that has used more than its share, but not for longer than the starvation time', () => {
  const world = new World({ maxConnections: 1, quantumMs: 10, starvationMs: 500 })
  const pass = (newcomer: number): void => {
    world.acquire(`newcomer ${newcomer}`)
    world.wait(10)
    world.release()
    world.finishClose()
    world.finishOpen()
  }
  world.acquire('a')
  world.finishOpen()
  for (const key of ['b', 'c']) world.acquire(key)
  world.wait(1000)
  const owing = world.acquire('a')
  world.releaseOf('a')
  world.finishClose()
  world.finishOpen()
  for (let newcomer = 0; newcomer < 45; newcomer += 1) pass(newcomer)
  expect(world.waiting.has(owing)).toBe(true)
  for (let newcomer = 45; newcomer < 55; newcomer += 1) pass(newcomer)
  expect(world.waiting.has(owing)).toBe(false)
})

test('a entry taken for a waiter who leaves before the old connection is closed serves somebody else', () => {
  const world = new World({ maxConnections: 1 })
  world.acquire('a')
  world.finishOpen()
  world.releaseOf('a')
  const gone = world.acquire('b')
  const pending = world.waiting.get(gone)
  if (pending !== undefined && world.allocator.leave('b', pending.waiter)) pending.waiter.reject(new Error('gone'))
  const other = world.acquire('c')
  world.settle()
  expect(world.granted).toContain(other)
})

test('a tenant with many callers does not keep the others from their share of the time', () => {
  const world = new World({ maxConnections: 2, maxConnectionsPerTenant: 2, maxWaitersPerTenant: 1000 })
  const usedMs = new Map<string, number>()
  const keep = (key: string, callers: number): void => {
    const present = [...world.waiting.values()].filter((pending) => pending.key === key).length
    for (let index = present; index < callers; index += 1) world.acquire(key)
  }
  for (let tick = 0; tick < 20_000; tick += 1) {
    keep('noisy', 200)
    keep('a', 20)
    keep('b', 20)
    world.nowMs += 1
    for (const entry of world.busy) usedMs.set(entry.tenant.key, (usedMs.get(entry.tenant.key) ?? 0) + 1)
    while (world.closing.length > 0) world.finishClose()
    if (tick % 3 === 0) while (world.opening.length > 0) world.finishOpen()
    if (tick % 2 === 0) for (let left = world.busy.length; left > 0; left -= 1) world.release()
  }
  const total = [...usedMs.values()].reduce((sum, ms) => sum + ms, 0)
  for (const key of ['noisy', 'a', 'b']) {
    expect((usedMs.get(key) ?? 0) / total).toBeGreaterThan(0.28)
    expect((usedMs.get(key) ?? 0) / total).toBeLessThan(0.38)
  }
})
