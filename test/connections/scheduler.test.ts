import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import type { ConnectionSchedulerOptions } from '../../src/connections/options.js'
import { type ConnectionScheduler, createConnectionScheduler } from '../../src/connections/scheduler.js'
import { runInScope } from '../../src/core/context/request-scope.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { withAdmin } from '../support/server.js'
import { abortable } from './fixture.js'
import { backendsOf, countBackends, createTenantDatabase, type TestTenantDatabase } from './tenant-database.js'

let databases: TestTenantDatabase[] = []
let scheduler: ConnectionScheduler | undefined

beforeAll(async () => {
  for (let index = 0; index < 4; index += 1) databases.push(await createTenantDatabase())
})

afterEach(async () => {
  await scheduler?.close()
  scheduler = undefined
  await expect.poll(() => countBackends(databases.map(({ key }) => key))).toBe(0)
})

afterAll(async () => {
  for (const database of databases) await database.drop()
  databases = []
})

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

function start(options: ConnectionSchedulerOptions = {}): TenantPool[] {
  const created = createConnectionScheduler({ logger: quiet, ...options })
  scheduler = created
  return databases.map((database) => created.pool(database.key, database.resolveTarget))
}

function stats() {
  if (scheduler === undefined) throw new Error('no scheduler')
  return scheduler.stats()
}

async function pidOf(pool: TenantPool): Promise<number> {
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}

test('each tenant queries its own database as its own role', async () => {
  const pools = start()
  const answers = await Promise.all(
    pools.map((pool) => pool.query('select current_database() as db, current_user as usr')),
  )
  expect(answers.map(({ rows }) => rows[0])).toEqual(databases.map(({ key }) => ({ db: key, usr: key })))
})

test('a pool opens nothing before it is used, and reuses its connection', async () => {
  const [pool] = start() as [TenantPool]
  expect(stats().open).toBe(0)
  const pid = await pidOf(pool)
  expect(await pidOf(pool)).toBe(pid)
  await expect.poll(() => stats()).toMatchObject({ open: 1, idle: 1, inUse: 0, opened: 1 })
  expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0])
})

test('the budget is never exceeded, as counted on the server too', async () => {
  const pools = start({ maxConnections: 3, maxConnectionsPerTenant: 2, acquireTimeoutMs: 30_000 })
  const names = databases.map(({ key }) => key)
  let peak = 0
  let done = false
  const watching = (async () => {
    let before = await backendsOf(names)
    while (!done) {
      const now = await backendsOf(names)
      // Backends that are there both times were there all the time between, so all of these existed at once.
      peak = Math.max(peak, [...now].filter((pid) => before.has(pid)).length)
      before = now
      expect(stats().open).toBeLessThanOrEqual(3)
    }
  })()
  await Promise.all(
    Array.from({ length: 200 }, (_, index) => pools[index % 4]!.query('select pg_sleep(0.001), $1::int', [index])),
  )
  done = true
  await watching
  expect(peak).toBeGreaterThan(0)
  expect(peak).toBeLessThanOrEqual(3)
})

test('one tenant never has more than its cap', async () => {
  const [pool] = start({ maxConnections: 10, maxConnectionsPerTenant: 2 }) as [TenantPool]
  const pids = await Promise.all(Array.from({ length: 20 }, () => pidOf(pool)))
  expect(new Set(pids).size).toBeLessThanOrEqual(2)
  expect(stats().opened).toBeLessThanOrEqual(2)
})

test('the least recently used idle connection of all makes room for another tenant', async () => {
  const [a, b, c] = start({ maxConnections: 2 }) as [TenantPool, TenantPool, TenantPool]
  await pidOf(a)
  // A new connection is reset after its first use.
  await expect.poll(() => a.idleCount).toBe(1)
  const pidOfB = await pidOf(b)
  await expect.poll(() => b.idleCount).toBe(1)
  await pidOf(c)
  expect([a.totalCount, b.totalCount, c.totalCount]).toEqual([0, 1, 1])
  expect(await pidOf(b)).toBe(pidOfB)
  expect(stats()).toMatchObject({ evictions: 1, open: 2 })
})

test('a caller that waits too long leaves the queue and gets a timeout with a time to retry after', async () => {
  const [a, b] = start({ maxConnections: 1, acquireTimeoutMs: 1000 }) as [TenantPool, TenantPool]
  const client = await a.connect()
  await expect(b.query('select 1')).rejects.toMatchObject({
    code: 'TENANCY_CONNECTION_TIMEOUT',
    statusCode: 503,
    retryAfterSeconds: 1,
  })
  await expect(a.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_TIMEOUT' })
  expect(stats()).toMatchObject({ waiting: 0, rejected: 2 })
  client.release()
  await b.query('select 1')
})

test('a full queue refuses callers at once', async () => {
  const [a] = start({ maxConnections: 1, maxWaitersPerTenant: 1 }) as [TenantPool]
  const client = await a.connect()
  const waiting = a.query('select 1')
  await expect(a.query('select 2')).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_QUEUE_FULL', statusCode: 503 })
  client.release()
  await waiting
})

test('a waiter whose signal is aborted leaves the queue at once', async () => {
  const controller = new AbortController()
  const [a] = start({ maxConnections: 1 }) as [TenantPool]
  const client = await a.connect()
  await runInScope(abortable(controller.signal), async () => {
    const waiting = a.query('select 1')
    expect(a.waitingCount).toBe(1)
    controller.abort()
    expect(a.waitingCount).toBe(0)
    await expect(waiting).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_ABORTED' })
    await expect(a.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_ABORTED' })
  })
  client.release()
})

test('a connect that fails frees its place in the budget and does not show host, user or password', async () => {
  const [good] = start({ maxConnections: 1 }) as [TenantPool]
  const target = databases[0]?.target
  if (target === undefined || scheduler === undefined) throw new Error('not set up')
  const wrongs = [{ port: 1 }, { password: 'wrong-secret', user: 'no_such_role_t2f' }]
  for (const wrong of wrongs) {
    const account = { ...target.account, ...wrong }
    const pool = scheduler.pool('elsewhere', () => Promise.resolve({ ...target, account }))
    const failures = await Promise.allSettled(Array.from({ length: 5 }, () => pool.query('select 1')))
    for (const failure of failures) {
      const { reason } = failure as PromiseRejectedResult
      expect(reason).toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE', statusCode: 503 })
      expect(reason.cause).toBeInstanceOf(Error)
      for (const secret of [account.host, account.user, account.password]) expect(reason.message).not.toContain(secret)
    }
  }
  const unknown = scheduler.pool('unknown', () => Promise.reject(new Error('catalog down')))
  await expect(unknown.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  expect(stats()).toMatchObject({ open: 0, connecting: 0 })
  await good.query('select 1')
})

test('a connection that reaches the wrong database is refused, counted and announced', async () => {
  start()
  const [own, other] = databases
  if (own === undefined || other === undefined || scheduler === undefined) throw new Error('not set up')
  const { subscribe, unsubscribe } = await import('node:diagnostics_channel')
  const events: unknown[] = []
  const onEvent = (event: unknown) => events.push(event)
  subscribe('tenants2fast:connection:identity-mismatch', onEvent)
  const misled = [
    { ...own.target, account: other.target.account },
    { ...own.target, epoch: 2 },
  ]
  for (const target of misled) {
    const pool = scheduler.pool(own.key, () => Promise.resolve(target))
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_DATABASE_IDENTITY_MISMATCH' })
  }
  unsubscribe('tenants2fast:connection:identity-mismatch', onEvent)
  expect(stats()).toMatchObject({ identityMismatches: 2, open: 0 })
  expect(events).toHaveLength(2)
})

test('a database without an identity row, or with two, is refused', async () => {
  const database = await createTenantDatabase()
  start()
  const pool = scheduler?.pool(database.key, database.resolveTarget)
  await withAdmin(
    (admin) => admin.query('insert into tenants2fast.identity select * from tenants2fast.identity'),
    database.key,
  )
  await expect(pool?.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_DATABASE_IDENTITY_MISMATCH' })
  await withAdmin((admin) => admin.query('drop schema tenants2fast cascade'), database.key)
  await expect(pool?.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_DATABASE_IDENTITY_MISMATCH' })
  await scheduler?.close()
  await database.drop()
})

test('a backend that is killed while idle is replaced, and no caller sees an error', async () => {
  const [pool] = start() as [TenantPool]
  const pid = await pidOf(pool)
  const lost = new Promise((resolve) => pool.on('error', resolve))
  await withAdmin((admin) => admin.query('select pg_terminate_backend($1)', [pid]))
  await lost
  expect(await pidOf(pool)).not.toBe(pid)
  await expect.poll(stats).toMatchObject({ opened: 2, closed: 1, open: 1 })
})

test('a backend that is killed in use fails the query it runs, and the next query works', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const pid = await pidOf(pool)
  await expect.poll(() => stats().idle).toBe(1)
  const failed = expect(pool.query('select pg_sleep(20)')).rejects.toThrow()
  await withAdmin((admin) => admin.query('select pg_terminate_backend($1)', [pid]))
  await failed
  await pool.query('select 1')

  const client = await pool.connect()
  const { rows } = await client.query('select pg_backend_pid() as pid')
  const lost = expect(client.query('select pg_sleep(20)')).rejects.toThrow()
  await withAdmin((admin) => admin.query('select pg_terminate_backend($1)', [rows[0].pid]))
  await lost
  client.release()
  await pool.query('select 1')
  expect(stats().open).toBe(1)
})

test('disconnecting a tenant closes idle connections at once and those in use when they are released', async () => {
  const [pool] = start() as [TenantPool]
  const client = await pool.connect()
  await pidOf(pool)
  expect(pool.totalCount).toBe(2)
  scheduler?.disconnect(databases[0]?.key ?? '')
  expect(pool.idleCount).toBe(0)
  await client.query('select 1')
  client.release()
  await pidOf(pool)
  await expect.poll(stats).toMatchObject({ opened: 3, closed: 2, open: 1 })
})

test('idle connections are closed after idleTimeoutMs, old ones after connectionLifetimeMs', async () => {
  const [idle] = start({ idleTimeoutMs: 40 }) as [TenantPool]
  const gone = new Promise((resolve) => idle.once('remove', resolve))
  await pidOf(idle)
  await gone
  expect(idle.totalCount).toBe(0)
  await scheduler?.close()
  const [old] = start({ connectionLifetimeMs: 0 }) as [TenantPool]
  expect(await pidOf(old)).not.toBe(await pidOf(old))
})

test('connections that were opened together end up to a tenth of their lifetime earlier or later', async () => {
  const now = performance.now.bind(performance)
  const random = vi.spyOn(Math, 'random')
  const clock = vi.spyOn(performance, 'now')
  const is = (ms: number) => clock.mockImplementation(() => now() + ms)
  try {
    const [early, late] = start({ connectionLifetimeMs: 100_000, idleTimeoutMs: 1_000_000 }) as [TenantPool, TenantPool]
    random.mockReturnValue(0)
    const first = await pidOf(early)
    random.mockReturnValue(0.999)
    const second = await pidOf(late)
    // Counts those still open at half of the lifetime, between its bounds, and after them.
    const served: boolean[][] = []
    for (const ms of [50_000, 95_000, 115_000]) {
      is(ms)
      const pids = [await pidOf(early), await pidOf(early), await pidOf(late), await pidOf(late)]
      served.push([pids[1] === first, pids[3] === second])
    }
    expect(served).toEqual([
      [true, true],
      [false, true],
      [false, false],
    ])
  } finally {
    clock.mockRestore()
    random.mockRestore()
  }
})

test('closing the scheduler refuses waiters and new callers, and waits for connections in use', async () => {
  const [pool, other] = start({ maxConnections: 1 }) as [TenantPool, TenantPool]
  const client = await pool.connect()
  const waiting = expect(other.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
  const closing = scheduler?.close()
  await waiting
  await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
  await client.query('select 1')
  client.release()
  await closing
  expect(stats()).toMatchObject({ open: 0, waiting: 0 })
})

test('closing the scheduler breaks connections that are still in use after its timeout', async () => {
  const [pool] = start() as [TenantPool]
  const stuck = expect(pool.query('select pg_sleep(20)')).rejects.toThrow()
  await expect.poll(() => stats().inUse).toBe(1)
  await scheduler?.close({ timeoutMs: 10 })
  await stuck
})

test('callers of one tenant are served in the order in which they came', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      await pool.query('select 1')
      order.push(index)
    }),
  )
  expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index))
})
