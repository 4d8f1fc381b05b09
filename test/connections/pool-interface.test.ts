import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { pidOf, useScheduler } from './fixture.js'

const { start, stats } = useScheduler(1)

const one = 'select $1::int as n'

test('query answers in every form that pg.Pool has', async () => {
  const [pool] = start() as [TenantPool]
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  expect((await pool.query(one, [2])).rows).toEqual([{ n: 2 }])
  expect((await pool.query({ text: one, values: [3] })).rows).toEqual([{ n: 3 }])
  expect((await pool.query({ text: one }, [4])).rows).toEqual([{ n: 4 }])
  expect((await pool.query({ text: one, rowMode: 'array' }, [5])).rows).toEqual([[5]])
  expect((await pool.query({ name: 'named', text: one, values: [6] })).rows).toEqual([{ n: 6 }])
  const several = (await pool.query('select 1 as n; select 2 as n')) as unknown as pg.QueryResult[]
  expect(several.map(({ rows }) => rows)).toEqual([[{ n: 1 }], [{ n: 2 }]])
})

test('query calls back, with the result or the error', async () => {
  const [pool] = start() as [TenantPool]
  const rows = await new Promise((resolve) => pool.query('select 1 as n', (_error, result) => resolve(result.rows)))
  expect(rows).toEqual([{ n: 1 }])
  const more = await new Promise((resolve) => pool.query(one, [2], (_error, result) => resolve(result.rows)))
  expect(more).toEqual([{ n: 2 }])
  const error = await new Promise((resolve) => pool.query('select 1/0', (failure) => resolve(failure)))
  expect(error).toMatchObject({ code: '22012' })
})

test('the stack of a failed query leads to the code that sent it', async () => {
  const [pool] = start() as [TenantPool]
  async function sender() {
    await pool.query('select 1/0')
  }
  await expect(sender()).rejects.toMatchObject({ stack: expect.stringContaining('sender') })
})

test('a query that is nonsense is refused and costs no connection', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  for (const nonsense of [undefined, null, {}, 42]) {
    await expect(pool.query(nonsense as string)).rejects.toThrow()
  }
  await expect(pool.query('select $1', 'not an array' as unknown as unknown[])).rejects.toThrow(/array/)
  const unserializable = {
    toPostgres: () => {
      throw new Error('cannot be written')
    },
  }
  await expect(pool.query('select $1::text', [unserializable])).rejects.toThrow(/cannot be written/)
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  await expect.poll(() => stats()).toMatchObject({ inUse: 0, open: 1 })
})

test('connect gives a client by promise and by callback', async () => {
  const [pool] = start() as [TenantPool]
  const client = await pool.connect()
  expect(client).toBeInstanceOf(pg.Client)
  expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  client.release()
  const rows = await new Promise((resolve, reject) => {
    pool.connect((error, called, release) => {
      if (called === undefined) return reject(error)
      called.query('select 2 as n', (_failure: Error, result: pg.QueryResult) => {
        release()
        resolve(result.rows)
      })
    })
  })
  expect(rows).toEqual([{ n: 2 }])
  await expect.poll(() => stats()).toMatchObject({ inUse: 0, opened: 1 })
})

test('releasing a client twice throws, and does not take it from the next user', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const first = await pool.connect()
  const { release } = first
  first.release()
  expect(() => release()).toThrow(/already been released/)
  const second = await pool.connect()
  expect(() => release()).toThrow(/already been released/)
  expect(stats().inUse).toBe(1)
  second.release()
})

test('release with an error or true closes the connection', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  for (const reason of [true, new Error('no good')]) {
    const pid = await pidOf(pool)
    const client = await pool.connect()
    client.release(reason)
    expect(await pidOf(pool)).not.toBe(pid)
  }
})

test('a cursor reads in parts and gives its connection back when it is closed', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const cursor = pool.query(new Cursor('select * from items order by id'))
  expect(await cursor.read(2)).toEqual([
    { id: 1, name: 'item 1' },
    { id: 2, name: 'item 2' },
  ])
  expect(stats().inUse).toBe(1)
  await cursor.close()
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
})

test('a stream reads all rows, or stops early, and gives its connection back', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const ids: number[] = []
  for await (const row of pool.query(new QueryStream('select id from items order by id', [], { batchSize: 7 })))
    ids.push(row.id)
  expect(ids).toHaveLength(100)
  for await (const row of pool.query(new QueryStream('select generate_series(1, 100000) as id'))) {
    if (row.id === 3) break
  }
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  expect(stats().opened).toBe(1)
})

test('a stream that fails or is destroyed gives its connection back', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const failing = (async () => {
    for await (const _row of pool.query(new QueryStream('select 1/0'))) continue
  })()
  await expect(failing).rejects.toMatchObject({ code: '22012' })
  const client = await pool.connect()
  const unwanted = pool.query(new QueryStream('select generate_series(1, 100000)'))
  unwanted.destroy()
  client.release()
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
})

test('a cursor that gets no connection fails', async () => {
  const [pool] = start({ maxConnections: 1, acquireTimeoutMs: 1000 }) as [TenantPool]
  const client = await pool.connect()
  await expect(pool.query(new Cursor('select 1')).read(1)).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_TIMEOUT' })
  client.release()
})

test('nested checkouts beyond the budget end in an error, not in a deadlock', async () => {
  const [pool] = start({ maxConnections: 2, acquireTimeoutMs: 1000 }) as [TenantPool]
  const outer = await pool.connect()
  const inner = await pool.connect()
  await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_TIMEOUT' })
  inner.release()
  await pool.query('select 1')
  outer.release()
})

test('the events of pg.Pool are emitted', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const seen: string[] = []
  for (const event of ['connect', 'acquire', 'release', 'remove'] as const) pool.on(event, () => seen.push(event))
  const client = await pool.connect()
  client.release(true)
  await expect.poll(() => seen).toEqual(['connect', 'acquire', 'release', 'remove'])
})
