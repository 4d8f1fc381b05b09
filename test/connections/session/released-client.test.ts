import pg from 'pg'
import Cursor from 'pg-cursor'
import { expect, test } from 'vitest'
import type { TenantPool } from '../../../src/core/tenants/tenant-pool.js'
import { pidOf, useScheduler } from '../fixture.js'

const { start, stats } = useScheduler(1)
const released = { code: 'TENANCY_CONNECTION_RELEASED' }

test('a released client cannot query another user’s connection, in any form of query', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const first = await pool.connect()
  await first.query('select 1')
  first.release()
  const second = await pool.connect()
  await second.query('begin')
  await expect(first.query('rollback')).rejects.toMatchObject(released)
  await expect(first.query('select $1::int', [1])).rejects.toMatchObject(released)
  expect(await new Promise((resolve) => first.query('rollback', resolve))).toMatchObject(released)
  expect(await new Promise((resolve) => first.query('select $1::int', [1], resolve))).toMatchObject(released)
  await expect(first.query(new Cursor('select 1')).read(1)).rejects.toMatchObject(released)
  expect((await second.query('select pg_current_xact_id() is not null as open')).rows).toEqual([{ open: true }])
  expect((second as unknown as { getTransactionStatus(): string }).getTransactionStatus()).toBe('T')
  await second.query('rollback')
  second.release()
})

test('a released client cannot release, end, or change how the next user reads its rows', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const first = await pool.connect()
  first.setTypeParser(pg.types.builtins.INT4, () => 'spoiled')
  expect((await first.query('select 7 as n')).rows).toEqual([{ n: 'spoiled' }])
  first.release()
  const second = await pool.connect()
  expect(() => first.release()).toThrow(/already been released/)
  first.setTypeParser(pg.types.builtins.INT4, () => 'spoiled')
  await (first as unknown as { end(): Promise<void> }).end()
  expect((await second.query('select 7 as n')).rows).toEqual([{ n: 7 }])
  expect(stats()).toMatchObject({ inUse: 1, opened: 1 })
  second.release()
})

test('properties and listeners that are put on a client do not reach the next user, and cost no connection', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const first = await pool.connect()
  Object.assign(first, { owner: 'alice', pipeline: true, readyForQuery: false })
  first.removeAllListeners()
  first.emit('end')
  first.emit('notice')
  const heard: string[] = []
  first.on('notice', () => heard.push('first'))
  await first.query("do $$ begin raise notice 'mine'; end $$")
  first.release()
  const second = await pool.connect()
  second.on('notice', () => heard.push('second'))
  await second.query("do $$ begin raise notice 'yours'; end $$")
  expect(heard).toEqual(['first', 'second'])
  expect('pipeline' in second).toBe(false)
  second.release()
  expect(stats()).toMatchObject({ open: 1, opened: 1, closed: 0 })
})

test('a client that was ended is not handed on', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const pid = await pidOf(pool)
  const client = await pool.connect()
  void (client as unknown as { end(): Promise<void> }).end()
  client.release()
  expect(await pidOf(pool)).not.toBe(pid)
})
