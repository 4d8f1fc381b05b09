import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createApplicationLocks } from '../../src/catalog/application-locks.js'
import { type CatalogPool, createCatalogPool } from '../../src/catalog/catalog-pool.js'
import { deriveLockKey } from '../../src/postgres/advisory-lock.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'
import { testServer } from '../support/server.js'

let catalog: TestDatabase
/** Stands for two processes. */
let pools: CatalogPool[]
let one: ReturnType<typeof createApplicationLocks>
let other: ReturnType<typeof createApplicationLocks>

const keyOf = (name: string) => deriveLockKey(Buffer.alloc(32), name)
const timeout = { code: 'TENANCY_LOCK_TIMEOUT' }

beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  const { host, port, user, password } = await testServer()
  pools = [0, 1].map(() => createCatalogPool({ host, port, user, password, database: catalog.databaseName }))
  ;[one, other] = pools.map((pool) => createApplicationLocks({ catalog: pool, keyOf })) as [typeof one, typeof other]
})
afterEach(async () => {
  await one.close()
  await other.close()
  for (const pool of pools) await pool.end()
})

/** Holds a lock until `end` is called. */
async function hold(locks: typeof one, name: string) {
  let end = () => {}
  let signal: AbortSignal | undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const running = locks.withLock({ name }, async (given) => {
    signal = given
    await ended
    return 'done'
  })
  running.catch(() => {})
  while (signal === undefined) await sleep(5)
  return { end, running, signal }
}

test('of many calls in two processes, one runs at a time, and all run', async () => {
  let running = 0
  let most = 0
  const count = async () => {
    running += 1
    most = Math.max(most, running)
    await sleep(2)
    running -= 1
    return 'done'
  }
  const all = Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? one : other).withLock({ name: 'a' }, count))
  expect(new Set(await Promise.all(all))).toEqual(new Set(['done']))
  expect(most).toBe(1)
})

test('a lock that another holds is refused at the end of the wait, and free after it', async () => {
  const { end, running } = await hold(one, 'a')
  await expect(other.withLock({ name: 'a', timeoutMs: 0 }, () => 'x')).rejects.toMatchObject(timeout)
  await expect(one.withLock({ name: 'a', timeoutMs: 300 }, () => 'x')).rejects.toMatchObject(timeout)
  expect(await other.withLock({ name: 'b', timeoutMs: 0 }, () => 'x')).toBe('x')
  end()
  expect(await running).toBe('done')
  expect(await other.withLock({ name: 'a', timeoutMs: 0 }, () => 'x')).toBe('x')
})

test('a function that throws gives the lock back', async () => {
  await expect(one.withLock({ name: 'a' }, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
  expect(await other.withLock({ name: 'a', timeoutMs: 0 }, () => 'x')).toBe('x')
})

test('a process holds three locks at most, and its other queries go on', async () => {
  const held = await Promise.all(['a', 'b', 'c'].map((name) => hold(one, name)))
  await expect(one.withLock({ name: 'd', timeoutMs: 0 }, () => 'x')).rejects.toMatchObject(timeout)
  const waiting = Array.from({ length: 20 }, () => one.withLock({ name: 'd' }, () => 'x'))
  expect((await pools[0]!.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  for (const { end } of held) end()
  expect(await Promise.all(waiting)).toEqual(Array.from({ length: 20 }, () => 'x'))
})

test('when the connection is lost, the signal says so, and another process may begin', async () => {
  const { end, running, signal } = await hold(one, 'a')
  await catalog.pool.query(
    `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'
     and database = (select oid from pg_database where datname = current_database())`,
  )
  expect(await other.withLock({ name: 'a' }, () => 'x')).toBe('x')
  while (!signal.aborted) await sleep(5)
  expect(signal.reason).toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
  end()
  expect(await running).toBe('done')
})

test('the signal of the caller ends the wait, and reaches the function', async () => {
  const { end } = await hold(one, 'a')
  const stop = new AbortController()
  const waiting = other.withLock({ name: 'a', signal: stop.signal }, () => 'x')
  stop.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  end()
  const later = new AbortController()
  const seen = one.withLock({ name: 'b', signal: later.signal }, async (signal) => {
    later.abort(new Error('stop now'))
    return (signal.reason as Error).message
  })
  expect(await seen).toBe('stop now')
})

test('closing tells the function, waits for it, and refuses further calls', async () => {
  const { end, running, signal } = await hold(one, 'a')
  const closing = one.close()
  expect(signal.reason).toMatchObject({ code: 'TENANCY_CLOSED' })
  end()
  await closing
  expect(await running).toBe('done')
  await expect(one.withLock({ name: 'a' }, () => 'x')).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
})

test.each([
  { name: '' },
  { name: 'A' },
  { name: 'a', timeoutMs: -1 },
  { name: 'a', timeoutMs: 0.5 },
  { name: 'a', signal: {} },
])('a lock of another form is refused: %j', async (input) => {
  const code = 'TENANCY_REQUEST_INVALID'
  await expect(one.withLock(input as { name: string }, () => 'x')).rejects.toMatchObject({ code })
})
