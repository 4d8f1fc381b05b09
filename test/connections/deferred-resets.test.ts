import fc from 'fast-check'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import type { SessionEntry } from '../../src/connections/checkout.js'
import { DeferredResets } from '../../src/connections/deferred-resets.js'
import { ownCopy } from '../../src/connections/session/client/pg-copy.js'
import type { SessionClient } from '../../src/connections/session/client/session-client.js'
import { sessionClientClass } from '../../src/connections/session/client/session-client-class.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { withAdmin } from '../support/server.js'
import { pidOf, useScheduler } from './fixture.js'
import { leakedState } from './session/session-probe.js'

const { start, stats, databases, current } = useScheduler(2)
const resets = vi.spyOn(sessionClientClass(ownCopy).prototype as SessionClient, 'reset')
afterEach(() => resets.mockClear())

/** A table whose trigger leaves a lock and a setting in the session, which no statement that names it shows. */
const schema = `
  create function leak() returns trigger language plpgsql as $$
    begin perform set_config('app.actor', 'alice', false); perform pg_advisory_lock(7); return new; end $$;
  create table fired (id int);
  create trigger fired before insert on fired for each row execute function leak();
`
const spoil = 'insert into fired values (1)'

beforeAll(async () => {
  for (const { key } of databases) {
    await withAdmin(async (admin) => {
      await admin.query(schema)
      await admin.query(`grant all on fired to "${key}"`)
    }, key)
  }
})

const backendsWithLock = async (): Promise<number[]> => {
  const { rows } = await withAdmin((admin) =>
    admin.query<{ pid: number }>(
      `select l.pid from pg_locks l join pg_database d on d.oid = l.database
        where l.locktype = 'advisory' and d.datname = any ($1)`,
      [databases.map(({ key }) => key)],
    ),
  )
  return rows.map(({ pid }) => pid)
}

test('a connection that is closed for another tenant before its next use is not reset', async () => {
  const [one, other] = start({ maxConnections: 1 }) as [TenantPool, TenantPool]
  for (let round = 0; round < 3; round += 1) {
    await one.query(spoil)
    expect(one.idleCount).toBe(1)
    await other.query('select 1')
  }
  expect(stats()).toMatchObject({ opened: 6, evictions: 5 })
  expect(resets).not.toHaveBeenCalled()
})

test('the next user of a connection waits for its deferred reset, and so do callers that come meanwhile', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const pid = await pidOf(pool)
  for (let use = 0; use < 3; use += 1) {
    await pool.query(spoil)
    expect(pool.idleCount).toBe(1)
    const leaks = await Promise.all(
      [1, 2, 3].map(async () => {
        const client = await pool.connect()
        const found = await leakedState(client)
        client.release()
        return found
      }),
    )
    expect(leaks).toEqual([[], [], []])
  }
  expect(await pidOf(pool)).toBe(pid)
})

test('a deferred reset frees a trigger’s lock within a second, also when nobody uses the connection', async () => {
  const [one] = start({ maxConnections: 1 }) as [TenantPool]
  const pid = await pidOf(one)
  await one.query(spoil)
  resets.mockClear()
  expect(one.idleCount).toBe(1)
  await expect.poll(() => resets.mock.calls.length, { timeout: 5000 }).toBe(1)
  await expect.poll(backendsWithLock, { timeout: 5000 }).toEqual([])
  expect(await pidOf(one)).toBe(pid)
  expect(stats()).toMatchObject({ opened: 1, open: 1, idle: 1 })
})

test('every caller finds a fresh session in whatever order callers come, while the schemas’ effects are unknown', async () => {
  const defer = vi.spyOn(DeferredResets.prototype, 'defer')
  const use = fc.record({
    tenant: fc.nat(1),
    // The search for leaked state counts as a change of the session.
    isSearched: fc.boolean(),
    statements: fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom(spoil, 'select * from fired') },
        { weight: 1, arbitrary: fc.constantFrom("set app.actor = 'bob'", 'begin', 'commit', 'select 1/0') },
      ),
      { maxLength: 3 },
    ),
    startsAtMs: fc.nat(200),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(use, { maxLength: 20 }), fc.constantFrom(1, 2), async (uses, maxConnections) => {
      const pools = start({ maxConnections, maxConnectionsPerTenant: 2 })
      const leaks = uses.map(async ({ tenant, isSearched, statements, startsAtMs }) => {
        await new Promise((resolve) => setTimeout(resolve, startsAtMs))
        const client = await (pools[tenant] as TenantPool).connect()
        const found = isSearched ? await leakedState(client) : []
        for (const statement of statements) await client.query(statement).catch(() => {})
        client.release()
        return found
      })
      expect((await Promise.all(leaks)).flat()).toEqual([])
      await current().close()
    }),
    { numRuns: 25 },
  )
  expect(defer).toHaveBeenCalled()
  defer.mockRestore()
})

test('no reset is deferred while the budget is not used up', async () => {
  const [pool] = start({ maxConnections: 4 }) as [TenantPool]
  await pool.query(spoil)
  expect(pool.idleCount).toBe(0)
  await expect.poll(() => pool.idleCount, { interval: 1 }).toBe(1)
  expect(resets).toHaveBeenCalledTimes(1)
  expect(await backendsWithLock()).toEqual([])
})

test('a statement whose text shows that it leaves something is followed by a reset at once', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await pool.query('select pg_advisory_lock(8)')
  await expect.poll(() => pool.idleCount, { interval: 1 }).toBe(1)
  expect(resets).toHaveBeenCalledTimes(1)
  expect(await backendsWithLock()).toEqual([])
})

test('each deferred reset runs a second after its own connection became idle', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  try {
    const entries = [0, 1, 2].map((id) => ({ id, state: 'idle', sinceMs: Infinity, connection: { touched: false } }))
    const startMs = performance.now()
    const done: string[] = []
    const deferred = new DeferredResets(entries as unknown as SessionEntry[], (entry) => {
      const { id, connection } = entry as unknown as (typeof entries)[number]
      done.push(`${id} at ${Math.round((performance.now() - startMs) / 100)}`)
      connection.touched = false
    })
    const defer = (id: number) => {
      const entry = entries[id]
      if (entry === undefined) return
      entry.sinceMs = performance.now()
      deferred.defer(entry.connection as SessionClient, entry.sinceMs)
    }
    defer(0)
    vi.advanceTimersByTime(300)
    defer(1)
    defer(2)
    vi.advanceTimersByTime(400)
    // It is used again.
    defer(1)
    vi.advanceTimersByTime(3000)
    defer(0)
    deferred.stop()
    vi.advanceTimersByTime(3000)
    expect(done).toEqual(['0 at 10', '2 at 13', '1 at 17'])
    expect(vi.getTimerCount()).toBe(0)
  } finally {
    vi.useRealTimers()
  }
})

test('a connection that is lost before its deferred reset is replaced by another', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const pid = await pidOf(pool)
  await pool.query(spoil)
  await withAdmin((admin) => admin.query('select pg_terminate_backend($1, 5000)', [pid]))
  await expect.poll(() => stats().open).toBe(0)
  expect(await pidOf(pool)).not.toBe(pid)
})

test('a connection whose deferred reset fails is closed, and the caller that waits for it gets another', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const pid = await pidOf(pool)
  await pool.query(spoil)
  resets.mockImplementationOnce(() => Promise.resolve(false))
  const client = await pool.connect()
  expect(await leakedState(client)).toEqual([])
  client.release()
  expect(await pidOf(pool)).not.toBe(pid)
})

test('closing the scheduler does not wait for a deferred reset', async () => {
  const [one] = start({ maxConnections: 1 }) as [TenantPool]
  await one.query(spoil)
  await current().close()
  expect(resets).not.toHaveBeenCalled()
  expect(await backendsWithLock()).toEqual([])
})
