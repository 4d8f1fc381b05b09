import type pg from 'pg'
import { expect, test } from 'vitest'
import { StatementNames } from '../../../src/connections/session/statement-names.js'
import type { TenantPool } from '../../../src/core/tenants/tenant-pool.js'
import { acquaint, useScheduler } from '../fixture.js'

const { start, stats } = useScheduler(1)

const byId = 'select name from items where id = $1'

/** Reads the statements that the pool's one connection has prepared by protocol. */
async function prepared(pool: TenantPool): Promise<string[]> {
  const { rows } = await pool.query(
    'select statement from pg_prepared_statements where not from_sql order by prepare_time',
  )
  return rows.map(({ statement }) => statement as string)
}

test('a parameterised text is prepared when it comes again, and other texts are not', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await acquaint(pool)
  await pool.query(byId, [1])
  expect(await prepared(pool)).toEqual([])
  for (let round = 0; round < 3; round += 1) {
    expect((await pool.query(byId, [round + 1])).rows).toEqual([{ name: `item ${round + 1}` }])
    await pool.query('select 1')
    await pool.query({ text: byId, rowMode: 'array' }, [1])
  }
  expect(await prepared(pool)).toEqual([byId])
})

test('the reset drops the prepared statements of a rarely used tenant, and they are prepared again when needed', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  for (let use = 0; use < 3; use += 1) {
    const client = await pool.connect()
    for (let round = 0; round < 3; round += 1)
      expect((await client.query(byId, [1])).rows).toEqual([{ name: 'item 1' }])
    expect((await client.query({ name: 'mine', text: byId, values: [2] })).rows).toEqual([{ name: 'item 2' }])
    client.release()
    expect(await prepared(pool)).toEqual([])
  }
  expect(stats().opened).toBe(1)
})

test('no statement is prepared when preparing is switched off', async () => {
  const [pool] = start({ maxConnections: 1, prepareStatements: false }) as [TenantPool]
  for (let round = 0; round < 3; round += 1) await pool.query(byId, [1])
  expect(await prepared(pool)).toEqual([])
})

test.each(['deallocate all', 'discard all'])(
  'a statement is prepared again after %s behind the back of the client',
  async (away) => {
    const [pool] = start({ maxConnections: 1 }) as [TenantPool]
    const client = await pool.connect()
    for (let round = 0; round < 2; round += 1) await client.query(byId, [1])
    await client.query(away)
    // The server answers 26000, which the caller does not see.
    expect((await client.query(byId, [2])).rows).toEqual([{ name: 'item 2' }])
    const answer = await new Promise((resolve) => {
      client.query(byId, [3], (_error, result) => resolve(result.rows))
    })
    expect(answer).toEqual([{ name: 'item 3' }])
    client.release()
    expect(stats().opened).toBe(1)
  },
)

test('a statement whose table has changed (0A000) is prepared again, for queries of the pool and of a client', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const all = 'select * from app.shapes where id = $1'
  await pool.query('create schema app create table shapes (id int)')
  await pool.query('insert into app.shapes values (1)')
  for (let round = 0; round < 3; round += 1) expect((await pool.query(all, [1])).rows).toEqual([{ id: 1 }])
  await pool.query("alter table app.shapes add colour text default 'red'")
  expect((await pool.query(all, [1])).rows).toEqual([{ id: 1, colour: 'red' }])
  await pool.query(all, [1])
  const client = await pool.connect()
  await client.query('alter table app.shapes add size int default 3')
  expect((await client.query(all, [1])).rows).toEqual([{ id: 1, colour: 'red', size: 3 }])
  client.release()
  await pool.query('drop schema app cascade')
})

test('the caller of a stale statement inside of a transaction gets the error, and later statements work', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const client = await pool.connect()
  for (let round = 0; round < 2; round += 1) await client.query(byId, [1])
  await client.query('deallocate all')
  await client.query('begin')
  await expect(client.query(byId, [1])).rejects.toMatchObject({ code: '26000' })
  await client.query('rollback')
  expect((await client.query(byId, [1])).rows).toEqual([{ name: 'item 1' }])
  client.release()
})

test('a connection keeps at most 200 prepared statements, and the least recently prepared make room on the server too', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const texts = Array.from({ length: 250 }, (_, index) => `select ${index} + $1::int as n`)
  for (const text of texts) for (let round = 0; round < 2; round += 1) await pool.query(text, [1])
  const kept = await prepared(pool)
  expect(kept.length).toBeLessThanOrEqual(200)
  expect(kept.at(-1)).toBe(texts.at(-1))
  expect((await pool.query(texts[0] ?? '', [1])).rows).toEqual([{ n: 1 }])
})

test('names of prepared statements are never used twice on a connection, and a given-up name is closed once', () => {
  const closed: string[] = []
  const names = new StatementNames((name) => closed.push(name))
  const given = new Set<string>()
  for (let index = 0; index < 1000; index += 1) {
    const text = `select ${index % 300}`
    expect(names.nameFor(text)).toBeUndefined()
    const name = names.nameFor(text)
    expect(given.has(name ?? '')).toBe(false)
    given.add(name ?? '')
  }
  expect(closed.length).toBe(new Set(closed).size)
  expect(given.size - closed.length).toBeLessThanOrEqual(200)
})

test.each([
  [
    'rows of many types',
    "select $1::int as n, now()::date as day, true as yes, null as nothing, array[1, 2] as list, '{}'::jsonb as json",
    [7],
  ],
  ['no rows', 'select id, name from items where id = $1', [-1]],
  ['the same name twice', 'select id, name as id from items where id = $1', [3]],
  ['a change that returns nothing', 'update items set name = name where id = $1', [3]],
  ['a change that returns rows', 'update items set name = name where id = $1 returning id, name', [3]],
])('a prepared statement gives the same answer as an unprepared one: %s', async (_kind, text, values) => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await acquaint(pool)
  const shown = ({ rows, fields, rowCount, command }: pg.QueryResult) => ({ rows, fields, rowCount, command })
  const types = { getTypeParser: () => (value: unknown) => `<${String(value)}>` }
  for (const extra of [{}, { rowMode: 'array' as const }, { types }]) {
    const config = { text, values, ...extra }
    const first = shown(await pool.query(config))
    for (let round = 0; round < 3; round += 1) expect(shown(await pool.query(config))).toEqual(first)
  }
  expect(await prepared(pool)).toEqual([text])
})

test('a value that cannot be sent does not affect later queries', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const bad = {
    toPostgres: () => {
      throw new Error('cannot be written')
    },
  }
  for (let round = 0; round < 3; round += 1) {
    for (let good = 0; good <= round; good += 1)
      expect((await pool.query(byId, [1])).rows).toEqual([{ name: 'item 1' }])
    await expect(pool.query(byId, [bad])).rejects.toThrow(/cannot be written/)
  }
  expect((await pool.query(byId, [2])).rows).toEqual([{ name: 'item 2' }])
  await expect.poll(() => stats()).toMatchObject({ open: 1, inUse: 0 })
})
