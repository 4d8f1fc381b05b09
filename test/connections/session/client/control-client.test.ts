// How Kysely cancels a query whose signal is aborted (0.29, dialect/postgres): a client of `new pool.Client(pool.options)`
// connects, asks for pg_cancel_backend or pg_terminate_backend of the connection's process id, and ends.
import type pg from 'pg'
import { expect, test } from 'vitest'
import type { TenantPool } from '../../../../src/core/tenants/tenant-pool.js'
import { withAdmin } from '../../../support/server.js'
import { pidOf, useScheduler } from '../../fixture.js'

const { start, stats, databases } = useScheduler(2)

interface ControlClient {
  connect(): Promise<unknown>
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
  end(): unknown
}
const controlOf = (pool: TenantPool, ...given: object[]): ControlClient => {
  const { Client } = pool as unknown as { Client: new (...given: object[]) => ControlClient }
  return new Client(...given)
}

async function control(pool: TenantPool, text: string): Promise<unknown> {
  const { options } = pool
  const client = controlOf(pool, { ...options, password: undefined })
  try {
    await client.connect()
    return (await client.query(text, [])).rows[0]
  } finally {
    client.end()
  }
}

const pidFrom = (client: pg.PoolClient): number => (client as unknown as { processID: number }).processID

/** Waits until the server works on the statement. */
async function running(pid: number): Promise<void> {
  const state = 'select state, wait_event from pg_stat_activity where pid = $1'
  await expect
    .poll(() => withAdmin(async (admin) => (await admin.query(state, [pid])).rows[0]))
    .toEqual({ state: 'active', wait_event: 'PgSleep' })
}

const write = "insert into items select 2000, 'a' from (select pg_sleep(60)) s"

for (const cap of [1, 5]) {
  test(`an aborted write leaves no row, and its connection works on, with at most ${cap} for a tenant`, async () => {
    const [pool] = start({ maxConnections: cap, maxConnectionsPerTenant: cap }) as [TenantPool]
    const client = await pool.connect()
    const pid = pidFrom(client)
    const failed = expect(client.query(write)).rejects.toMatchObject({ code: '57014' })
    await running(pid)
    expect(await control(pool, `select pg_cancel_backend(${pid})`)).toEqual({ pg_cancel_backend: true })
    await failed
    expect((await client.query('select count(*)::int as n from items where id = 2000')).rows).toEqual([{ n: 0 }])
    client.release()
    expect(await pidOf(pool)).toBe(pid)
    expect(stats().opened).toBe(1)
  })
}

test('a transaction whose statement is cancelled commits nothing', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const client = await pool.connect()
  await client.query('begin')
  await client.query("insert into items values (2001, 'a')")
  const failed = expect(client.query(write)).rejects.toMatchObject({ code: '57014' })
  await running(pidFrom(client))
  await control(pool, `select pg_cancel_backend(${pidFrom(client)})`)
  await failed
  await client.query('commit')
  client.release()
  expect((await pool.query('select id from items where id >= 2000')).rows).toEqual([])
})

test('a request to cancel never hits the next user of the connection', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  for (let round = 0; round < 50; round += 1) {
    const client = await pool.connect()
    const pid = pidFrom(client)
    const answered = client.query('select 1')
    const cancelled = control(pool, `select pg_cancel_backend(${pid})`)
    await answered.catch(() => {})
    client.release()
    const next = await Promise.all(Array.from({ length: 3 }, () => pool.query('select pg_sleep(0.001)')))
    expect(next).toHaveLength(3)
    await cancelled
  }
})

test('terminating a backend ends the connection and what runs on it', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const client = await pool.connect()
  client.on('error', () => {})
  const pid = pidFrom(client)
  const failed = expect(client.query(write)).rejects.toThrow()
  await running(pid)
  expect(await control(pool, `select pg_terminate_backend(${pid})`)).toEqual({ pg_terminate_backend: true })
  await failed
  client.release()
  expect(await pidOf(pool)).not.toBe(pid)
  expect((await pool.query('select id from items where id >= 2000')).rows).toEqual([])
})

test('a control client cannot reach idle connections or those of other tenants and strangers', async () => {
  const [mine, others] = start() as [TenantPool, TenantPool]
  const theirs = await others.connect()
  const stopped = expect(theirs.query(write)).rejects.toMatchObject({ code: '57014' })
  await running(pidFrom(theirs))
  const idle = await pidOf(mine)
  for (const pid of [pidFrom(theirs), idle, process.pid, 0]) {
    expect(await control(mine, `select pg_cancel_backend(${pid})`)).toEqual({ pg_cancel_backend: false })
    expect(await control(mine, `SELECT pg_catalog.pg_terminate_backend( ${pid} )`)).toEqual({
      pg_terminate_backend: false,
    })
  }
  await running(pidFrom(theirs))
  await control(others, `select pg_cancel_backend(${pidFrom(theirs)})`)
  await stopped
  theirs.release()
  expect(await pidOf(mine)).toBe(idle)
  expect(databases).toHaveLength(2)
})

test('a control client answers by callback and with values too, and does nothing but cancel', async () => {
  const [pool] = start() as [TenantPool]
  const client = controlOf(pool)
  await client.connect()
  expect((await client.query('select pg_cancel_backend($1::int)', [1])).rows).toEqual([{ pg_cancel_backend: false }])
  const query = client.query.bind(client) as unknown as (...given: unknown[]) => void
  const told = await new Promise((resolve) =>
    query('select pg_cancel_backend(1)', (_: unknown, result: unknown) => resolve(result)),
  )
  expect(told).toMatchObject({ rows: [{ pg_cancel_backend: false }] })
  for (const text of ['select 1', 'select pg_cancel_backend($1)', "select pg_cancel_backend('1')", 'begin']) {
    await expect(client.query(text)).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_FOREIGN' })
  }
  client.end()
  expect(stats().opened).toBe(0)
})
