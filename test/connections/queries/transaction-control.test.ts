import { Readable } from 'node:stream'
import fc from 'fast-check'
import pg from 'pg'
import copyStreams from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import { statementsOf } from '../../../src/postgres/text/sql-statements.js'
import { transactionMisuseOf } from '../../../src/connections/queries/transaction-control.js'
import type { TenantPool } from '../../../src/core/tenants/tenant-pool.js'
import { withAdmin } from '../../support/server.js'
import { useScheduler } from '../fixture.js'

const { start, stats, databases } = useScheduler(1)
const refused = { code: 'TENANCY_CONNECTION_TRANSACTION', statusCode: 500 }

const opening = [
  'begin',
  'BEGIN',
  ' \n\t begin work;',
  'Begin Transaction isolation level serializable',
  'start transaction read only',
  'START  /* a */ TRANSACTION',
  '-- a comment\nbegin',
  '/* one /* nested ; */ commit; */ begin',
  ';;begin',
  'begin; commit; begin',
  'begin; rollback and chain',
  'begin; commit transaction and chain',
  'begin; savepoint a; rollback to savepoint a',
  'begin; savepoint a; rollback work to a',
  'select 1; begin',
  'begin; insert into items values (1000)',
  "select 'it''s; commit'; begin",
  "select e'\\'; commit; --'; begin",
  "select e'a'\n'\\'; commit; --'; begin",
  'select $$; commit; $$; begin',
  'select $a$ $$ ; commit $a$; begin',
  'select 1 as "a;""b"; begin',
  'create function f() returns int begin atomic select 1; select case when true then 1 end; end; begin',
  'create function f() returns int begin atomic select 1 as end; select 2; end; begin',
  'create rule r as on insert to items do also (select 1; select 2); begin',
]
const straying = [
  'commit',
  'COMMIT WORK;',
  'end',
  'rollback',
  'abort',
  '  Abort Transaction and chain',
  'commit and chain',
  'rollback to savepoint a',
  'savepoint a',
  'release savepoint a',
  'release a',
  "prepare transaction 'a'",
  'insert into items values (1000); commit',
  'begin; commit; commit',
  '/**/rollback',
]
const legal = [
  'select 1',
  'begin; select 1; commit',
  'BEGIN;insert into items values (1000, $$;$$) on conflict do nothing;ROLLBACK;',
  'start transaction; savepoint a; rollback to a; release a; end;',
  'begin; commit and no chain',
  "select 'begin'; select ';begin'",
  'select $$;begin$$',
  'select 1; -- begin',
  'select 1 /* ; begin */;',
  'select 1 as "begin"; select 2 as ";begin"',
  'prepare beginning as select 1',
  'prepare transaction as select 1',
  "select e'\\';begin --'",
  'explain select 1; set time zone utc',
  'create function g() returns int begin atomic select 1; select 2; end',
  'create function g() returns int begin atomic select 1 as end; select 2 end; select 3 as begin; end',
  'create rule r2 as on insert to items do also (select 1; select 2)',
  'do $$ begin perform 1; end $$',
  "select ';'",
  '',
  ';',
]

test.each(opening)('pool.query refuses a text that leaves a transaction open: %s', (text) => {
  expect(transactionMisuseOf(text)).toBe('opens')
})
test.each(straying)('pool.query refuses a text that goes on with a transaction that it did not begin: %s', (text) => {
  expect(transactionMisuseOf(text)).toBe('strays')
})
test.each(legal)('pool.query accepts a text that leaves transactions alone: %s', (text) => {
  expect(transactionMisuseOf(text)).toBeUndefined()
})

test('unclosed strings and comments reach to the end of the text, and take linear time to read', () => {
  for (const opens of ["'", '"', "e'", "e'a'\n--", '$a$', '/*', '/*/*', "e'\\"]) {
    const words = statementsOf(`select ${opens}${'-- a;begin '.repeat(20_000)}`)
    expect(words).toHaveLength(1)
  }
})

const pieces = [
  ...['begin', 'BEGIN', 'start transaction', 'commit', 'rollback', 'savepoint s', 'release s', 'rollback to s', 'end'],
  ...['commit and chain', 'select 1', 'select', ';', ';', ';', ';', ' ', '\n', '/*', '*/', '--', '"', "'", "''", "e'"],
  ...['$$', '$a$', '\\', "\\'", '(', ')', "n'", "u&'", 'u&"', '$1', 'case', 'as a', 'abort', 'values (1)', '1'],
]

/** Runs a text on the server. Returns an error, or the state it leaves, and whether a part of it had no transaction. */
async function judgedByServer(client: pg.Client, text: string): Promise<'error' | 'opens' | 'strays' | undefined> {
  let strayed = false
  const hear = (notice: { code?: string | undefined }): void => {
    if (notice.code === '25P01') strayed = true
  }
  client.on('notice', hear)
  try {
    await client.query(text)
    if (strayed) return 'strays'
    return client.getTransactionStatus() === 'I' ? undefined : 'opens'
  } catch {
    return 'error'
  } finally {
    client.removeListener('notice', hear)
    await client.query('rollback')
  }
}

test('the server’s transaction state agrees with the verdict on every text that it accepts', async () => {
  let accepted = 0
  await withAdmin(async (client) => {
    await client.query('set client_min_messages to warning')
    const texts = fc.array(fc.constantFrom(...pieces), { maxLength: 14 }).map((parts) => parts.join(' '))
    const sound = fc
      .array(
        fc.constantFrom(
          ...['begin', 'commit', 'select 1', "select ';begin'", 'select $$;commit$$', '-- ;begin\n', 'savepoint s'],
          ...['/* ; /* commit */ begin */', "select e'\\';begin'", 'rollback', 'select 1 as ";begin"', 'end', 'abort'],
          ...['rollback to s', 'release s', 'commit and chain', 'start transaction'],
        ),
        { maxLength: 8 },
      )
      .map((parts) => parts.join(';'))
    const property = fc.asyncProperty(fc.oneof(texts, sound), async (text) => {
      const verdict = await judgedByServer(client, text)
      if (verdict === 'error') return
      accepted += 1
      expect(transactionMisuseOf(text)).toBe(verdict)
    })
    await fc.assert(property, { numRuns: 2000 })
  })
  expect(accepted).toBeGreaterThan(200)
}, 120_000)

test.each([...opening, ...straying].filter((text) => !text.includes('create')))(
  'pool.query refuses a misuse of transactions in every form, and sends nothing: %s',
  async (text) => {
    const [pool] = start({ maxConnections: 1 }) as [TenantPool]
    await expect(pool.query(text)).rejects.toMatchObject(refused)
    await expect(pool.query({ text })).rejects.toMatchObject(refused)
    await expect(pool.query({ text, name: 'a', values: [1] })).rejects.toMatchObject(refused)
    await expect(pool.query(text, [])).rejects.toMatchObject(refused)
    const byCallback = await new Promise((resolve) => pool.query(text, (error) => resolve(error)))
    expect(byCallback).toMatchObject(refused)
    expect(stats().opened).toBe(0)
  },
)

test('cursors, streams, query objects and copies that begin a transaction are refused', async () => {
  const [pool] = start() as [TenantPool]
  await expect(pool.query(new Cursor('begin')).read(1)).rejects.toMatchObject(refused)
  await expect(Readable.from(pool.query(new QueryStream('begin'))).toArray()).rejects.toMatchObject(refused)
  const byQuery = new Promise((resolve) => pool.query(Object.assign(new pg.Query('begin'), { callback: resolve })))
  expect(await byQuery).toMatchObject(refused)
  const copy = pool.query(copyStreams.from('begin; copy items from stdin'))
  expect(await new Promise((resolve) => copy.once('error', resolve))).toMatchObject(refused)
  expect(stats().opened).toBe(0)
})

test('a transaction that the text does not show is rolled back, and the caller gets an error', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const insert = 'begin; insert into items values (500, $$hidden$$)'
  await expect(pool.query(hidden({}, insert))).rejects.toMatchObject(refused)
  const byCallback = new Promise((resolve) => pool.query(hidden({}, insert), (error) => resolve(error)))
  expect(await byCallback).toMatchObject(refused)
  const told = await new Promise((resolve) => {
    const query = new pg.Query(insert)
    Object.assign(query, { callback: (error: Error | null, result: unknown) => resolve(error ?? result) })
    pool.query(hidden(query, insert))
  })
  expect(told).toMatchObject(refused)
  expect((await pool.query('select id from items where id >= 500')).rows).toEqual([])
  const client = await pool.connect()
  expect((client as unknown as { getTransactionStatus(): string }).getTransactionStatus()).toBe('I')
  client.release()
})

/** A query with this text that shows another text to the pool and the session, which look at it first. */
function hidden<Query extends object>(query: Query, text: string): Query & pg.Submittable & { text: string } {
  let looks = 0
  Object.defineProperty(query, 'text', { get: () => ((looks += 1) <= 4 ? 'select 1' : text) })
  return query as Query & pg.Submittable & { text: string }
}

test('a text that fails by itself keeps its own error, and its transaction does not go on', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await expect(pool.query('begin; insert into items values (502, $$a$$); select 1/0; commit')).rejects.toMatchObject({
    code: '22012',
  })
  expect((await pool.query('select id from items where id = 502')).rows).toEqual([])
})

test('one text with its own begin and commit is one transaction', async () => {
  const [pool] = start() as [TenantPool]
  await pool.query('begin; insert into items values (503, $$;begin$$); commit')
  expect((await pool.query('select name from items where id = 503')).rows).toEqual([{ name: ';begin' }])
  await pool.query('delete from items where id = 503')
  await pool.query('begin; insert into items values (504, $$a$$); rollback')
  expect((await pool.query('select id from items where id = 504')).rows).toEqual([])
})

test('a checked-out client can run a transaction in any number of statements', async () => {
  const [pool] = start() as [TenantPool]
  const client = await pool.connect()
  await client.query('begin')
  await client.query('insert into items values (505, $$a$$)')
  await client.query('savepoint s')
  await client.query('rollback to savepoint s')
  await client.query('rollback')
  client.release()
  expect(databases).toHaveLength(1)
  expect((await pool.query('select id from items where id = 505')).rows).toEqual([])
})
