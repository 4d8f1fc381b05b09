import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import Fastify, { type FastifyInstance } from 'fastify'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { getTenantPool } from '../../src/core/context/current.js'
import type { Tenant } from '../../src/core/model.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import type { Tenancy } from '../../src/tenancy-interface.js'
import { withAdmin } from '../support/server.js'
import { createTestTenancies, type TestTenancies } from '../support/tenancy.js'
import { describeWithPgBouncer, type PgBouncer, startPgBouncer } from './pgbouncer.js'

let installation: TestTenancies
let pgbouncer: PgBouncer
let tenancy: Tenancy
let tenants: Tenant[]
let pool: TenantPool

const at = (index: number): Tenant => {
  const tenant = tenants[index]
  if (tenant === undefined) throw new Error('No such tenant')
  return tenant
}

describeWithPgBouncer('tenants behind PgBouncer in transaction mode', () => {
  beforeAll(async () => {
    installation = await createTestTenancies()
    pgbouncer = await startPgBouncer()
    tenancy = await installation.open({ TENANT_POOLER_URL: pgbouncer.url })
    tenants = await installation.createTenants(tenancy, 6)
    pool = tenancy.getTenantPool(at(0))
  })

  afterAll(async () => {
    await pgbouncer.stop()
    await installation.drop()
  })

  test('queries of tenants go through PgBouncer, and those of the catalog do not', async () => {
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    const log = pgbouncer.log()
    expect(log).toMatch(new RegExp(`${at(0).databaseId?.replaceAll('-', '')}/.* new connection to server`))
    // Names of tenants' databases begin with the name of the catalog.
    expect(log).not.toMatch(new RegExp(`${tenancy.config.catalogDatabase}(?!_)`))
  })

  test('interleaved requests behind PgBouncer see only rows of their own tenants', async () => {
    const app = Fastify() as unknown as FastifyInstance
    await app.register(tenancyPlugin, { tenancy })
    app.get('/item', async () => {
      const { rows } = await getTenantPool().query('select name from items where id = $1', [1])
      return rows[0]
    })
    app.post('/item', async () => {
      const client = await getTenantPool().connect()
      try {
        await client.query('begin')
        await client.query("set local search_path = 'public'")
        await client.query('update items set name = name where id = $1', [1])
        const { rows } = await client.query('select name from items where id = $1', [1])
        await client.query('commit')
        return rows[0]
      } finally {
        client.release()
      }
    })
    const headers = await Promise.all(
      tenants.map(async ({ slug }) => {
        const membership = await withOwner(slug)
        return { authorization: `Bearer ${membership}`, 'x-tenant-id': slug }
      }),
    )
    const answers = await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const which = (index * 7) % tenants.length
        const response = await app.inject({
          method: index % 3 === 0 ? 'POST' : 'GET',
          url: '/item',
          headers: headers[which] ?? {},
        })
        return { which, status: response.statusCode, name: response.json().name }
      }),
    )
    for (const { which, status, name } of answers) {
      expect(status).toBe(200)
      expect(name).toBe(at(which).slug)
    }
    await app.close()
  })

  test('repeated texts, named statements, cursors and streams work behind PgBouncer', async () => {
    const text = 'select name from items where id = $1'
    for (let index = 0; index < 5; index += 1) expect((await pool.query(text, [2])).rows).toEqual([{ name: 'second' }])
    for (let index = 0; index < 3; index += 1) {
      expect((await pool.query({ name: 'by-id', text, values: [2] })).rows).toEqual([{ name: 'second' }])
    }
    const client = await pool.connect()
    const cursor = client.query(new Cursor('select n from generate_series(1, 5) n'))
    expect(await cursor.read(2)).toHaveLength(2)
    expect(await cursor.read(9)).toHaveLength(3)
    await cursor.close()
    const stream = client.query(new QueryStream('select n from generate_series(1, 500) n', [], { batchSize: 50 }))
    let count = 0
    for await (const _row of stream) count += 1
    expect(count).toBe(500)
    client.release()
  })

  test.each([
    ['SET', "set statement_timeout = '1s'"],
    ['LISTEN', 'listen something'],
    ['PREPARE', 'prepare p as select 1'],
    ['CREATE TEMP', 'create temp table t (id int)'],
    ['pg_advisory_lock', 'select pg_advisory_lock(1)'],
    ['pg_try_advisory_lock', 'select pg_try_advisory_lock(1)'],
    ['set_config(…, false)', "select set_config('app.user', '1', false)"],
  ])('%s outside of a transaction is refused behind PgBouncer, where it would have no effect', async (need, text) => {
    const refused = { code: 'TENANCY_CONNECTION_SESSION_REQUIRED', message: expect.stringContaining(need) }
    await expect(pool.query(text)).rejects.toMatchObject(refused)
    const client = await pool.connect()
    await expect(client.query(text)).rejects.toMatchObject(refused)
    await expect(
      new Promise((resolve, reject) => {
        client.query(text, (error: Error | null) => (error ? reject(error) : resolve(undefined)))
      }),
    ).rejects.toMatchObject(refused)
    client.release()
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  })

  test('session statements inside of a transaction have their effect behind PgBouncer, and leave nothing behind', async () => {
    const client = await pool.connect()
    await client.query('begin')
    await client.query("set statement_timeout = '17s'")
    await client.query("select set_config('app.user', 'dana', false)")
    await client.query('create temp table scratch (id int)')
    await client.query('select pg_advisory_lock(4711)')
    const during = await client.query(
      "select current_setting('statement_timeout') as timeout, current_setting('app.user') as user, count(*)::int as count from scratch",
    )
    expect(during.rows).toEqual([{ timeout: '17s', user: 'dana', count: 0 }])
    await client.query('commit')
    client.release()
    const session = () =>
      pool.query(
        `select current_setting('statement_timeout') as timeout, coalesce(current_setting('app.user', true), '') as user,
           to_regclass('scratch') as scratch, (select count(*)::int from pg_locks where locktype = 'advisory'
             and database = (select oid from pg_database where datname = current_database())) as locks`,
      )
    const untouched = [{ timeout: '0', user: '', scratch: null, locks: 0 }]
    // Another connection sees the lock until the pooler has reset the one that took it.
    await expect.poll(async () => (await session()).rows).toEqual(untouched)
    for (let index = 0; index < 10; index += 1) expect((await session()).rows).toEqual(untouched)
  })

  test('a transaction that its request left open behind PgBouncer is rolled back', async () => {
    const client = await pool.connect()
    await client.query('begin')
    await client.query("update items set name = 'lost' where id = 2")
    client.release()
    const { rows } = await pool.query('select name from items where id = 2')
    expect(rows).toEqual([{ name: 'second' }])
  })

  test('a query of an aborted request behind PgBouncer is stopped on the server', async () => {
    const client = await pool.connect()
    const running = client.query('select pg_sleep(30)').catch((error: Error) => error)
    await expect.poll(() => sleepers()).toBe(1)
    client.release(true)
    expect(await running).toBeInstanceOf(Error)
    await expect.poll(() => sleepers(), { timeout: 10_000 }).toBe(0)
  })

  test('a restart of PgBouncer causes clean errors and nothing more', async () => {
    await pool.query('select 1')
    await pgbouncer.stop()
    await expect.poll(() => tenancy.stats().open).toBe(0)
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
    pgbouncer = await startPgBouncer({ listen_port: String(pgbouncer.port) })
    expect((await pool.query('select name from items where id = 1')).rows).toEqual([{ name: at(0).slug }])
  })

  test('an unfit pooler fails the start, and nothing stays open', async () => {
    const unfit = await startPgBouncer({ server_reset_query_always: '0' })
    try {
      await expect(installation.open({ TENANT_POOLER_URL: unfit.url })).rejects.toMatchObject({
        code: 'TENANCY_POOLER_UNFIT',
      })
    } finally {
      await unfit.stop()
    }
  })
})

async function withOwner(slug: string): Promise<string> {
  const email = `member-${slug}@example.com`
  const user = await tenancy.createUser({ email, name: 'Member', emailVerified: true })
  await tenancy.addMember({ tenant: slug, user: user.id })
  return (await tenancy.issueAccessToken({ user: user.id })).token
}

function sleepers(): Promise<number> {
  return withAdmin(async (admin) => {
    const { rows } = await admin.query<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity
        where starts_with(datname, $1) and query like 'select pg_sleep(30)%' and state = 'active'`,
      [installation.prefix],
    )
    return rows[0]?.count ?? 0
  })
}
