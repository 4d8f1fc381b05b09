import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { createPreparedQueries } from '../../src/catalog/prepared-queries.js'
import { urlOf } from '../support/server.js'

const pools: pg.Pool[] = []
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.end()
})

/** Opens a pool of one connection, so that its prepared statements can be inspected. */
function openPool(): pg.Pool {
  const pool = new pg.Pool({ connectionString: urlOf('postgres'), max: 1 })
  pools.push(pool)
  return pool
}

const namesOn = async (pool: pg.Pool) =>
  (await pool.query<{ name: string }>('select name from pg_prepared_statements order by name')).rows.map(
    ({ name }) => name,
  )

const text = 'select $1::int + 1 as next'

test('a text is prepared once, under a name that is the same in every process', async () => {
  const names = []
  for (const pool of [openPool(), openPool()]) {
    const query = createPreparedQueries(pool)
    for (let value = 0; value < 3; value += 1) expect((await query(text, [value])).rows).toEqual([{ next: value + 1 }])
    names.push(await namesOn(pool))
  }
  expect(names[0]).toHaveLength(1)
  expect(names[1]).toEqual(names[0])
})

test('another text is prepared under another name', async () => {
  const pool = openPool()
  const query = createPreparedQueries(pool)
  await query(text, [1])
  await query(`${text} `, [1])
  expect(await namesOn(pool)).toHaveLength(2)
})

test.each([
  ['loses statements', 'deallocate all'],
  ['has them already', undefined],
])('a session that %s gives the right answer, and no more statements are prepared', async (_kind, loss) => {
  const pool = openPool()
  const query = createPreparedQueries(pool)
  if (loss === undefined) {
    await createPreparedQueries(openPool())(text, [1])
    const [name] = await namesOn(pools.at(-1) as pg.Pool)
    await pool.query(`prepare ${name} as ${text.replace('$1::int', '1')}`)
  } else {
    await query(text, [1])
    await pool.query(loss)
  }
  for (const value of [5, 6]) expect((await query(text, [value])).rows).toEqual([{ next: value + 1 }])
  const before = await namesOn(pool)
  await query('select 1 as one', [])
  expect(await namesOn(pool)).toEqual(before)
})

test('an error of a prepared statement is reported once', async () => {
  const query = createPreparedQueries(openPool())
  await expect(query('select 1 / $1::int', [0])).rejects.toMatchObject({ code: '22012' })
  expect((await query(text, [1])).rows).toEqual([{ next: 2 }])
})
