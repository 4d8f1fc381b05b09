import { afterEach, expect, test } from 'vitest'
import type { ServerAccount, TenantDatabaseTarget } from '../../../src/core/tenants/database-target.js'
import { quoteIdentifier, quoteLiteral } from '../../../src/postgres/text/quote.js'
import { startTcpProxy, type TcpProxy } from '../../support/proxies/tcp-proxy.js'
import { withAdmin } from '../../support/server.js'
import { useScheduler } from '../fixture.js'
import { backendsOf, countBackends, type TestTenantDatabase } from '../tenant-database.js'

const { start, databases, current, stats } = useScheduler(2)
let proxy: TcpProxy | undefined

afterEach(async () => {
  await proxy?.close()
  proxy = undefined
})

const first = () => databases[0] as TestTenantDatabase
const other = () => databases[1] as TestTenantDatabase

/** A pool whose catalog answers when the test says so. */
function slowPool({ key, target }: TestTenantDatabase, account: ServerAccount = target.account) {
  let answer!: (given: TenantDatabaseTarget | Promise<never>) => void
  const resolveTarget = () =>
    new Promise<TenantDatabaseTarget>((resolve) => {
      answer = resolve
    })
  const pool = current().pool(key, resolveTarget, key, () => account)
  return { pool, answer: (given: TenantDatabaseTarget | Promise<never>) => answer(given) }
}

test('a connection is opened while the catalog is asked, and is the one that the query runs on', async () => {
  start()
  const { pool, answer } = slowPool(first())
  const query = pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  await expect.poll(() => countBackends([first().key])).toBe(1)
  const begun = await backendsOf([first().key])
  expect(stats()).toMatchObject({ open: 1, inUse: 0, connecting: 1 })
  answer(first().target)
  const { rows } = await query
  expect([...begun]).toEqual([rows[0]?.pid])
})

test('a connection is broken off when the catalog has no database for the tenant, and the next one waits for the catalog', async () => {
  start()
  proxy = await startTcpProxy(first().target.account)
  const account = { ...first().target.account, host: '127.0.0.1', port: proxy.port }
  const through = { ...first().target, account }
  const { pool, answer } = slowPool(first(), account)
  const refused = pool.query('select 1')
  await expect.poll(() => proxy?.openConnections).toBe(1)
  answer(Promise.reject(new Error('no such database')))
  await expect(refused).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  await expect.poll(() => countBackends([first().key])).toBe(0)
  expect(stats()).toMatchObject({ open: 0, connecting: 0 })

  const served = pool.query('select 1')
  answer(through)
  await served
  expect(proxy.accepted).toBe(2)
  await current().close()
})

test('a connection is broken off when the catalog does not answer in time, also while the scheduler closes', async () => {
  start({ acquireTimeoutMs: 500 })
  const { pool } = slowPool(first())
  const waiting = pool.query('select 1')
  const refused = expect(waiting).rejects.toMatchObject({ statusCode: 503 })
  await expect.poll(() => countBackends([first().key])).toBe(1)
  await current().close()
  await refused
  await expect.poll(() => countBackends([first().key])).toBe(0)
})

test('a login that the server refuses is an error though the catalog agrees, and nothing stays open', async () => {
  start()
  const account = { ...first().target.account, database: 'nowhere' }
  const { pool, answer } = slowPool(first(), account)
  const query = pool.query('select 1')
  await expect.poll(() => stats().connecting).toBe(1)
  answer({ ...first().target, account })
  await expect(query).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  expect(stats()).toMatchObject({ open: 0, connecting: 0, connectFailures: 1 })
})

test('the catalog decides where a connection goes, and one that went elsewhere is broken off', async () => {
  start()
  const { pool, answer } = slowPool(first(), other().target.account)
  const query = pool.query<{ name: string }>('select current_database() as name')
  await expect.poll(() => countBackends([other().key])).toBe(1)
  answer(first().target)
  expect((await query).rows).toEqual([{ name: first().key }])
  await expect.poll(() => countBackends([other().key])).toBe(0)
  expect(stats()).toMatchObject({ open: 1, identityMismatches: 0 })
})

test('an epoch that changed while the connection was opened is refused, and nothing stays open', async () => {
  start()
  const { pool, answer } = slowPool(first())
  const query = pool.query('select 1')
  await expect.poll(() => countBackends([first().key])).toBe(1)
  answer({ ...first().target, epoch: 2 })
  await expect(query).rejects.toMatchObject({ code: 'TENANCY_DATABASE_IDENTITY_MISMATCH' })
  await expect.poll(() => countBackends([first().key])).toBe(0)
  expect(stats()).toMatchObject({ open: 0, identityMismatches: 1 })
})

test('a server that did not answer is not tried before the catalog has answered', async () => {
  start()
  proxy = await startTcpProxy(first().target.account)
  await proxy.set('reset')
  const account = { ...first().target.account, host: '127.0.0.1', port: proxy.port }
  const { pool, answer } = slowPool(first(), account)
  const failed = pool.query('select 1')
  await expect.poll(() => proxy?.accepted).toBe(1)
  answer({ ...first().target, account })
  await expect(failed).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  await proxy.set('pass')
  const before = proxy.accepted
  const refused = pool.query('select 1')
  answer(Promise.reject(new Error('catalog down')))
  await expect(refused).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  expect(proxy.accepted).toBe(before)
})

test('a backend that is killed while the catalog is asked serves nobody', async () => {
  start()
  const { pool, answer } = slowPool(first())
  const query = pool.query('select 1')
  await expect.poll(() => countBackends([first().key])).toBe(1)
  await withAdmin((admin) =>
    admin.query('select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1', [first().key]),
  )
  answer(first().target)
  await expect(query).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  expect(stats()).toMatchObject({ open: 0, connecting: 0 })
  const again = pool.query('select 1 as n')
  answer(first().target)
  expect((await again).rows).toEqual([{ n: 1 }])
})

test('a role that changed its own settings is restored, and its tenant served', async () => {
  const role = quoteIdentifier(first().target.account.user)
  await withAdmin((admin) => admin.query(`alter role ${role} set work_mem = ${quoteLiteral('64kB')}`))
  let restored = 0
  start({
    restoreRole: async () => {
      restored += 1
      await withAdmin((admin) => admin.query(`alter role ${role} reset all`))
      return ['settings']
    },
  })
  const pool = current().pool(first().key, first().resolveTarget, first().key, () => first().target.account)
  await pool.query('select 1')
  expect(restored).toBe(1)
  await expect.poll(() => countBackends([first().key])).toBe(1)
})

test('while several connections are opened, a further one is not begun before the catalog answers', async () => {
  start({ maxConnectionsPerTenant: 3 })
  const { pool: busy } = slowPool(first())
  const begun = [busy.query('select 1'), busy.query('select 1')].map((query) => query.catch(() => {}))
  await expect.poll(() => countBackends([first().key])).toBe(2)
  const { pool, answer } = slowPool(other())
  const later = pool.query('select 1')
  await expect.poll(() => stats().connecting).toBe(3)
  expect(await countBackends([other().key])).toBe(0)
  answer(other().target)
  await later
  await current().close()
  await Promise.all(begun)
})
