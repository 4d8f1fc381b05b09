import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLockKeeper, type LockKeeper } from '../../../src/databases/server/lock-keeper.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'
import { testServer } from '../../support/server.js'

let catalog: TestDatabase
let keeper: LockKeeper
let other: LockKeeper
const name = 't2f lock keeper'
beforeEach(async () => {
  catalog = await createTestCatalog()
  const { host, port, user, password } = await testServer()
  const account = { host, port, user, password, database: catalog.databaseName }
  keeper = createLockKeeper({ ...account, applicationName: name })
  other = createLockKeeper(account)
})
afterEach(async () => {
  await keeper?.close()
  await other?.close()
  await catalog?.drop()
})

const lock = (key: string, timeoutMs = 60_000) => ({ key, timeoutMs, what: 'a test', database: 'of nobody' })

/** Pids of the keeper's connections. */
async function sessions(): Promise<number[]> {
  const { rows } = await catalog.pool.query<{ pid: number }>(
    'select pid from pg_stat_activity where datname = current_database() and application_name = $1',
    [name],
  )
  return rows.map(({ pid }) => pid)
}

/** Holds a lock until the function that it resolves to is called. */
async function hold(by: LockKeeper, key: string): Promise<() => Promise<void>> {
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let ended: Promise<void> = Promise.resolve()
  await new Promise<void>((resolve, reject) => {
    ended = by.withLock(lock(key), async () => {
      resolve()
      await released
    })
    ended.catch(reject)
  })
  return async () => {
    release()
    await ended
  }
}

test('Ten locks take one connection', async () => {
  const releases = await Promise.all(Array.from({ length: 10 }, (_, key) => hold(keeper, String(key))))
  expect(await sessions()).toHaveLength(1)
  await Promise.all(releases.map((release) => release()))
})

test('Two callers in one process have a lock one after the other', async () => {
  let running = 0
  let most = 0
  const work = async () => {
    running += 1
    most = Math.max(most, running)
    await catalog.pool.query('select pg_sleep(0.02)')
    running -= 1
  }
  await Promise.all(Array.from({ length: 8 }, () => keeper.withLock(lock('1'), work)))
  expect(most).toBe(1)
})

test.each([
  ['the same process', () => keeper],
  ['another process', () => other],
])('A lock that %s holds is refused when the time is up, and given once it is free', async (_name, holder) => {
  const release = await hold(holder(), '1')
  await expect(keeper.withLock(lock('1', 100), async () => {})).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_LOCK_TIMEOUT',
  })
  await release()
  expect(await keeper.withLock(lock('1', 60_000), async () => 'done')).toBe('done')
})

test('Work that fails releases its lock and no other', async () => {
  const release = await hold(keeper, '1')
  const failing = keeper.withLock(lock('2'), async () => {
    throw new Error('failed')
  })
  await expect(failing).rejects.toThrow('failed')
  expect(await other.withLock(lock('2', 1000), async () => 'free')).toBe('free')
  await expect(other.withLock(lock('1', 100), async () => {})).rejects.toThrow()
  await release()
})

test('After its connection was ended, others get its locks, its work goes on, and the next lock gets a new connection', async () => {
  const release = await hold(keeper, '1')
  const [pid] = await sessions()
  await catalog.pool.query('select pg_terminate_backend($1)', [pid])
  expect(await other.withLock(lock('1'), async () => 'taken')).toBe('taken')
  await release()
  expect(await keeper.withLock(lock('1'), async () => 'again')).toBe('again')
  expect(await sessions()).not.toContain(pid)
})

test('A server that cannot be reached is an error of the one who wants a lock, and the next one is tried again', async () => {
  const { host, port, user, password } = await testServer()
  const early = createLockKeeper({ host, port, user, password, database: `${catalog.databaseName}_later` })
  await expect(early.withLock(lock('1'), async () => {})).rejects.toThrow(pg.DatabaseError)
  const admin = new pg.Client({ host, port, user, password, database: catalog.databaseName })
  await admin.connect()
  try {
    await admin.query(`create database ${catalog.databaseName}_later`)
    expect(await early.withLock(lock('1'), async () => 'done')).toBe('done')
  } finally {
    await early.close()
    await admin.query(`drop database if exists ${catalog.databaseName}_later with (force)`)
    await admin.end()
  }
})
