import fc from 'fast-check'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import { findStuck } from '../../src/connections/allocation/deadlock-search.js'
import { runWithContext } from '../../src/core/context/request-scope.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { anonymousContext } from '../../src/http/pipeline.js'
import { useScheduler } from './fixture.js'
import { AllocatorHarness } from './allocation/allocator-harness.js'

const { start, stats } = useScheduler(2)

const request = <Result>(callback: () => Promise<Result>) => runWithContext(anonymousContext, callback)

/** A handler that asks the pool again while it holds a client, once `everybody` holds one. */
const nest = (pool: TenantPool, inner: TenantPool = pool, everybody = () => Promise.resolve()) =>
  request(async () => {
    const client = await pool.connect()
    try {
      await everybody()
      return (await inner.query('select 1 as n')).rows
    } finally {
      client.release()
    }
  })

test('one of the requests that hold all connections and wait for one more is refused, and the others go on', async () => {
  const [pool] = start({ maxConnectionsPerTenant: 3, deadlockCheckMs: 50, acquireTimeoutMs: 20_000 }) as [TenantPool]
  const everybody = meeting(3)
  const outcomes = await Promise.allSettled(Array.from({ length: 3 }, () => nest(pool, pool, everybody)))
  const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
  expect(failures).toMatchObject([{ reason: { code: 'TENANCY_CONNECTION_NESTED', statusCode: 503 } }])
  await expect.poll(() => stats()).toMatchObject({ waiting: 0, inUse: 0, rejected: 1 })
})

test('thirty nested requests on three connections all end long before the deadline', async () => {
  const [pool] = start({ maxConnectionsPerTenant: 3, deadlockCheckMs: 20, acquireTimeoutMs: 20_000 }) as [TenantPool]
  const outcomes = await Promise.allSettled(Array.from({ length: 30 }, () => nest(pool)))
  const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
  for (const { reason } of failures) expect(reason).toMatchObject({ code: 'TENANCY_CONNECTION_NESTED' })
  expect(failures.length).toBeLessThan(15)
  await expect.poll(() => stats()).toMatchObject({ waiting: 0, inUse: 0 })
})

test('a single nested request is refused when its tenant may have one connection', async () => {
  const [pool] = start({ maxConnectionsPerTenant: 1, deadlockCheckMs: 20, acquireTimeoutMs: 20_000 }) as [TenantPool]
  await expect(nest(pool)).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_NESTED' })
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
})

test('a stream that is read while its request asks the pool again counts as a held connection', async () => {
  const [pool] = start({ maxConnectionsPerTenant: 1, deadlockCheckMs: 20, acquireTimeoutMs: 20_000 }) as [TenantPool]
  const reading = request(async () => {
    for await (const _row of pool.query(new QueryStream('select generate_series(1, 1000)', [], { batchSize: 10 }))) {
      await pool.query('select 1')
    }
  })
  await expect(reading).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_NESTED' })
  await expect.poll(() => stats().inUse).toBe(0)
})

test('two tenants that hold the whole budget and wait for each other are found', async () => {
  const [a, b] = start({ maxConnections: 2, deadlockCheckMs: 20, acquireTimeoutMs: 20_000 }) as [TenantPool, TenantPool]
  const everybody = meeting(2)
  const outcomes = await Promise.allSettled([nest(a, b, everybody), nest(b, a, everybody)])
  expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
})

test('a request that holds a connection is served before those that hold none', async () => {
  const [pool] = start({ maxConnectionsPerTenant: 2 }) as [TenantPool]
  const other = await pool.connect()
  const order: string[] = []
  await request(async () => {
    const client = await pool.connect()
    const first = request(() => pool.query('select 1').then(() => order.push('first')))
    const nested = pool.query('select 1').then(() => order.push('nested'))
    other.release()
    await Promise.all([first, nested])
    client.release()
  })
  expect(order).toEqual(['nested', 'first'])
})

test('parallel transactions of one request are not taken for a deadlock', async () => {
  const [pool] = start({ maxConnectionsPerTenant: 2, deadlockCheckMs: 20 }) as [TenantPool]
  await request(() =>
    Promise.all(
      Array.from({ length: 8 }, async () => {
        const client = await pool.connect()
        await client.query('select pg_sleep(0.1)')
        client.release()
      }),
    ),
  )
  expect(stats().rejected).toBe(0)
})

test('a waiter that is refused could not have been served, and its refusal ends the deadlock, whatever is held and awaited', () => {
  const step = fc.record({
    tenant: fc.nat(2),
    scope: fc.nat(4),
    type: fc.constantFrom('ask', 'ask', 'open', 'release'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const harness = new AllocatorHarness({ maxConnections: 3, maxConnectionsPerTenant: 2, maxConcurrentConnects: 3 })
      const scopes = Array.from({ length: 5 }, (_, index) => ({ index }))
      for (const { tenant, scope, type } of steps) {
        if (type === 'ask') harness.acquire(`t${tenant}`, scopes[scope])
        else if (type === 'open') harness.finishOpen()
        else harness.release(scope)
      }
      while (harness.opening.length + harness.closing.length > 0) {
        harness.finishClose()
        harness.finishOpen()
      }
      // Requests that wait release nothing. From here on, only refusals can help.
      for (;;) {
        const waiting = new Set([...harness.waiting.values()].map(({ waiter }) => waiter.holder))
        const free = harness.busy.findIndex((entry) => !waiting.has(entry.holder))
        if (free >= 0) {
          harness.release(free)
        } else {
          const stuck = findStuck(harness.allocator, () => true)
          if (stuck === undefined) break
          expect(harness.busy.some((entry) => entry.holder === stuck.waiter.holder)).toBe(true)
          expect(harness.allocator.leave(stuck.tenant.key, stuck.waiter)).toBe(true)
          stuck.waiter.reject(new Error('nested'))
        }
        while (harness.opening.length + harness.closing.length > 0) {
          harness.finishClose()
          harness.finishOpen()
        }
      }
      expect(harness.waiting.size).toBe(0)
    }),
    { numRuns: 1000 },
  )
})

/** Resolves when it has been asked for `count` times. */
function meeting(count: number): () => Promise<void> {
  let missing = count
  let arrive = (): void => {}
  const everybody = new Promise<void>((resolve) => {
    arrive = resolve
  })
  return () => {
    missing -= 1
    if (missing === 0) arrive()
    return everybody
  }
}
