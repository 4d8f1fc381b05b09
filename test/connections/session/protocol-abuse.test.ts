import type pg from 'pg'
import Cursor from 'pg-cursor'
import { expect, test } from 'vitest'
import type { TenantPool } from '../../../src/core/tenants/tenant-pool.js'
import { pidOf, useScheduler } from '../fixture.js'

const { start, stats } = useScheduler(1)

test('a paged query that fails gives its connection back', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const paged = { text: 'select 1 / (3 - n) as n from generate_series(1, 5) n', rows: 2 } as pg.QueryConfig
  await expect(pool.query(paged)).rejects.toMatchObject({ code: '22012' })
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  const client = await pool.connect()
  await expect(client.query(paged)).rejects.toMatchObject({ code: '22012' })
  expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  client.release()
  await expect.poll(() => stats()).toMatchObject({ opened: 1, inUse: 0 })
})

test('COPY without a stream fails in every form, and its connection is not lost', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await expect(pool.query('copy items from stdin')).rejects.toMatchObject({ code: '57014' })
  await pool.query('copy items to stdout')
  const extended = { text: 'copy items from stdin', queryMode: 'extended' } as pg.QueryConfig
  await expect(pool.query(extended)).rejects.toMatchObject({ code: '57014' })
  expect((await pool.query('select count(*)::int as n from items')).rows).toEqual([{ n: 100 }])
  await expect.poll(() => stats().inUse).toBe(0)
})

test('a client that is released with a half-read cursor is back at once, in a transaction or not', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const pid = await pidOf(pool)
  for (const begin of ['select 1', 'begin']) {
    const client = await pool.connect()
    await client.query(begin)
    const cursor = client.query(new Cursor('select n from generate_series(1, 10) n'))
    expect(await cursor.read(2)).toHaveLength(2)
    client.release()
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    expect(await cursor.read(2)).toEqual([])
    await cursor.close()
    expect(await pidOf(pool)).toBe(pid)
  }
})

test('a cursor whose query is over writes nothing to the connection that another user has by then', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const pid = await pidOf(pool)
  const cursor = pool.query(new Cursor('select n from generate_series(1, 10) n'))
  await cursor.read(20)
  await cursor.close()
  const client = await pool.connect()
  await client.query('begin')
  // When pg-cursor is closed while it reads, it goes on reading from a portal that is gone.
  const { connection } = cursor as unknown as {
    connection: pg.Connection & Record<'once', (...given: unknown[]) => void>
  }
  const told = new Promise<void>((resolve) => connection.once('readyForQuery', resolve))
  const abuse = connection as unknown as Record<string, (...given: unknown[]) => void>
  abuse['execute']?.({ portal: 'C_1', rows: 2 }, true)
  abuse['flush']?.()
  abuse['close']?.({ type: 'P', name: 'C_1' })
  abuse['sync']?.()
  abuse['query']?.('rollback')
  expect((await client.query('select $1::int as n', [1])).rows).toEqual([{ n: 1 }])
  expect((await client.query('select 2 as n')).rows).toEqual([{ n: 2 }])
  await told
  await client.query('commit')
  client.release()
  expect(await pidOf(pool)).toBe(pid)
})

test('a cursor that fails twice does not answer the next user’s query', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  for (let round = 1; round <= 20; round += 1) {
    const client = await pool.connect()
    const cursor = client.query(
      Object.assign(new Cursor('select n, pg_sleep(0.01), 1 / (3 - n) from generate_series(1, 9) n'), {
        query_timeout: 5,
      }),
    )
    const released = new Promise<void>((resolve) => {
      client.once('drain', () => {
        client.release()
        resolve()
      })
    })
    const waiting = [1, 2].map((k) => pool.query('select $1::int as n', [round * k]))
    await cursor.read(9).catch(() => {})
    await released
    const answers = await Promise.all(waiting)
    expect(answers.map(({ rows }) => rows)).toEqual([[{ n: round }], [{ n: round * 2 }]])
  }
})
