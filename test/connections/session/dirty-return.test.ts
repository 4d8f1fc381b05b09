import { expect, test } from 'vitest'
import type { TenantPool } from '../../../src/core/tenants/tenant-pool.js'
import { withAdmin } from '../../support/server.js'
import { acquaint, pidOf, useScheduler } from '../fixture.js'

const { start, stats } = useScheduler(1)

/** State of a session that the next user could notice. */
const sessionState = `
  select current_user = session_user as own_role, current_setting('search_path') as search_path,
    current_setting('statement_timeout') as statement_timeout, coalesce(current_setting('app.actor', true), '') as app_user,
    (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
    (select count(*)::int from pg_listening_channels()) as channels,
    (select count(*)::int from pg_cursors where name <> '') as cursors,
    (select count(*)::int from pg_prepared_statements where from_sql) as prepared,
    (select count(*)::int from pg_class where relpersistence = 't' and pg_table_is_visible(oid)) as temp_tables,
    pg_current_xact_id_if_assigned() is null as no_transaction`

async function stateOf(pool: TenantPool) {
  const { rows } = await pool.query(sessionState)
  return rows[0]
}

const spoilers: readonly (readonly [string, readonly string[]])[] = [
  ['an open transaction', ['begin', "insert into items values (1000, 'left open')"]],
  ['a failed transaction', ['begin', 'select 1/0']],
  ['SET', ["set statement_timeout = '12s'"]],
  ['SET search_path', ['set search_path = pg_catalog']],
  ['set_config', ["select set_config('app.actor', 'alice', false)"]],
  ['set_config in DO', ["do $$ begin perform set_config('app.actor', 'alice', false); end $$"]],
  ['an advisory lock', ['select pg_advisory_lock(42)']],
  ['LISTEN', ['listen news']],
  ['a temporary table', ['create temp table scratch (id int)']],
  ['SELECT INTO a temporary table', ['select * into temp scratch from items']],
  ['a cursor that outlives its transaction', ['declare c cursor with hold for select * from items']],
  ['PREPARE', ['prepare p as select 1']],
  ['PREPARE in DO', ["do $$ begin execute 'prepare p as select 1'; end $$"]],
  ['several statements in one', ["select 1; set app.actor = 'alice'; begin; listen news"]],
  ['a change inside a committed transaction', ['begin', "set app.actor = 'alice'", 'commit']],
]

test.each(spoilers)('%s does not reach the next user of the connection', async (_name, statements) => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const before = await stateOf(pool)
  const client = await pool.connect()
  for (const statement of statements) await client.query(statement).catch(() => {})
  client.release()
  expect(await stateOf(pool)).toEqual(before)
  const { rows } = await pool.query('select count(*)::int as count from items where id = 1000')
  expect(rows[0].count).toBe(0)
  await pool.query(statements[0] ?? '').catch(() => {})
  expect(await stateOf(pool)).toEqual(before)
})

test('SET ROLE is undone before the next user', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const client = await pool.connect()
  await client.query('set role none')
  const role = (await client.query('select current_user as name')).rows[0].name as string
  const guest = `${role}_guest`
  await withAdmin((admin) => admin.query(`create role "${guest}"; grant "${guest}" to "${role}"`))
  try {
    await client.query(`set role "${guest}"`)
    expect((await client.query('select current_user as name')).rows[0].name).toBe(guest)
    client.release()
    expect((await pool.query('select current_user as name')).rows[0].name).toBe(role)
  } finally {
    await withAdmin((admin) => admin.query(`drop role "${guest}"`))
  }
})

test('a reset keeps the connection and its prepared statements', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const named = { name: 'by-id', text: 'select name from items where id = $1', values: [1] }
  await pool.query(named)
  const pid = await pidOf(pool)
  await pool.query('set statement_timeout = 5000')
  expect((await pool.query(named)).rows).toEqual([{ name: 'item 1' }])
  expect(await pidOf(pool)).toBe(pid)
  expect(stats().opened).toBe(1)
})

test('DEALLOCATE and DISCARD ALL behind the back of pg do not affect the next user', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const named = { name: 'by-id', text: 'select name from items where id = $1', values: [1] }
  for (const statement of ['deallocate all', 'discard all']) {
    await pool.query(named)
    await pool.query(statement)
    expect((await pool.query(named)).rows).toEqual([{ name: 'item 1' }])
  }
})

test('a query whose client is released is stopped before the connection goes to another user', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const client = await pool.connect()
  const stopped = client.query('select pg_sleep(20)').then(
    () => 'finished',
    (error: { code?: string }) => error.code,
  )
  client.release()
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  expect(await stopped).toBe('57014')
})

test('queries that are queued when their client is released do not run for the next user', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const client = await pool.connect()
  const queued = [client.query('select pg_sleep(20)'), client.query("set app.actor = 'alice'"), client.query('begin')]
  const settled = Promise.allSettled(queued)
  client.release()
  expect((await stateOf(pool)).app_user).toBe('')
  await settled
})

test('a failed query keeps its connection', async () => {
  const [pool] = start() as [TenantPool]
  const pid = await pidOf(pool)
  await expect(pool.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
  await expect(pool.query('select $1::int', ['x'])).rejects.toMatchObject({ code: '22P02' })
  expect(await pidOf(pool)).toBe(pid)
  expect(stats()).toMatchObject({ opened: 1, open: 1 })
})

test('plain statements and whole transactions cost no reset', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await acquaint(pool)
  const client = await pool.connect()
  await client.query('begin')
  await client.query('update items set name = name where id = $1', [1])
  await client.query('commit')
  client.release()
  expect(pool.idleCount).toBe(1)
})

test('listeners that a user leaves on a client are gone for the next user', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const heard: unknown[] = []
  const client = await pool.connect()
  const listeners = client.listenerCount('error')
  client.on('notification', (message) => heard.push(message))
  client.on('error', (error) => heard.push(error))
  await client.query('listen news')
  client.release()
  const next = await pool.connect()
  await next.query("notify news, 'secret'")
  await next.query('select 1')
  expect(heard).toEqual([])
  expect(next.listenerCount('error')).toBe(listeners)
  next.release()
})
