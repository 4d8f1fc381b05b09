import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type CatalogPool, createCatalogPool } from '../../src/catalog/catalog-pool.js'
import { inOrder, inTransaction } from '../../src/catalog/transaction.js'
import { queryTogether } from '../../src/catalog/statement-batch.js'
import { createTestDatabase, type TestDatabase } from '../support/catalog.js'
import { testServer } from '../support/server.js'

let database: TestDatabase
let catalog: CatalogPool
beforeEach(async () => {
  database = await createTestDatabase()
  const { host, port, user, password } = await testServer()
  catalog = createCatalogPool({ host, port, user, password, database: database.databaseName })
})
afterEach(async () => {
  await catalog.end()
  await database.drop()
})

const end = () =>
  database.pool.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'tenants2fast catalog'",
  )

test('a connection that breaks between two queries of a transaction fails the next query and does not end the process', async () => {
  const transaction = inTransaction(catalog, async (client) => {
    await client.query('select 1')
    await end()
    await sleep(100)
    await client.query('select 2')
  })
  await expect(transaction).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE', statusCode: 503 })
  expect((await catalog.query('select 3 as alive')).rows).toEqual([{ alive: 3 }])
})

test('the server ends a transaction whose process stopped in the middle of it', async () => {
  await inTransaction(catalog, async (client) => {
    const { rows } = await client.query('show idle_in_transaction_session_timeout')
    expect(rows).toEqual([{ idle_in_transaction_session_timeout: '10s' }])
  })
  const { rows } = await catalog.query('show idle_in_transaction_session_timeout')
  expect(rows).toEqual([{ idle_in_transaction_session_timeout: '0' }])
})

/** The messages that the work of a transaction waited for. */
async function messagesOf(work: Parameters<typeof inTransaction>[1]): Promise<string[][]> {
  const messages: string[][] = []
  await recording(messages, work)
  return messages
}

function recording(messages: string[][], work: Parameters<typeof inTransaction>[1]): Promise<unknown> {
  return inTransaction(
    {
      query: (text, values) => catalog.query(text, values),
      connect: async () => {
        const client = await catalog.connect()
        return {
          ...client,
          queryTogether(statements) {
            messages.push(statements.map(({ text }) => text))
            return client.queryTogether!(statements)
          },
        }
      },
    },
    work,
  )
}

test('statements that do not wait for each other travel in one message, with the begin and the commit', async () => {
  const messages = await messagesOf(async (client) => {
    const [{ rows }] = await inOrder([client.query('select $1::int as one', [1]), client.query('select 2')])
    expect(rows).toEqual([{ one: 1 }])
    await inOrder([client.query('select 3'), client.commit()])
  })
  expect(messages).toEqual([
    ['begin', expect.stringContaining('idle_in_transaction'), 'select $1::int as one', 'select 2'],
    ['select 3', 'commit'],
  ])
})

test('work that does not commit is committed', async () => {
  await database.pool.query('create table made (name text)')
  const messages = await messagesOf(async (client) => {
    await client.query("insert into made values ('x')")
  })
  expect(messages.at(-1)).toEqual(['commit'])
  expect((await database.pool.query('select name from made')).rows).toEqual([{ name: 'x' }])
})

test('a statement that fails fails those behind it in its message, the commit as well, and nothing is written', async () => {
  await database.pool.query('create table made (name text unique)')
  const outcomes: unknown[] = []
  const transaction = inTransaction(catalog, async (client) => {
    const issued = [
      client.query("insert into made values ('x') returning name"),
      client.query("insert into made values ('x')"),
      client.query("insert into made values ('y')"),
      client.commit(),
    ]
    outcomes.push(...(await Promise.allSettled(issued)))
    await inOrder(issued)
  })
  await expect(transaction).rejects.toMatchObject({ code: '23505' })
  expect(outcomes).toMatchObject([
    { status: 'fulfilled', value: { rows: [{ name: 'x' }] } },
    { status: 'rejected', reason: { code: '23505' } },
    { status: 'rejected', reason: { code: '23505' } },
    { status: 'rejected', reason: { code: '23505' } },
  ])
  expect((await database.pool.query('select from made')).rowCount).toBe(0)
  expect((await catalog.query('select 1 as usable')).rows).toEqual([{ usable: 1 }])
})

test('a value that cannot be sent keeps what is behind its statement from running', async () => {
  await database.pool.query('create table made (name text)')
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  const transaction = inTransaction(catalog, (client) =>
    inOrder([
      client.query("insert into made values ('x')"),
      client.query('select $1::jsonb', [circular]),
      client.query("insert into made values ('y')"),
      client.commit(),
    ]),
  )
  await expect(transaction).rejects.toThrow()
  expect((await database.pool.query('select from made')).rowCount).toBe(0)
  expect((await catalog.query('select 1 as usable')).rows).toEqual([{ usable: 1 }])
})

test('of several refusals, the first in order counts, and nothing is written', async () => {
  await database.pool.query('create table made (name text)')
  const transaction = inTransaction(catalog, (client) =>
    inOrder([
      client.query('select 1').then(() => Promise.reject(new Error('first'))),
      client.query("insert into made values ('x')"),
      Promise.reject(new Error('second')),
    ]),
  )
  await expect(transaction).rejects.toThrow('first')
  expect((await database.pool.query('select from made')).rowCount).toBe(0)
})

test('a statement behind a lock sees what the lock waited for, although both travel in one message', async () => {
  await database.pool.query("create table made (name text); insert into made values ('x')")
  const holder = await database.pool.connect()
  await holder.query("begin; update made set name = 'y'; insert into made values ('z')")
  const waiting = inTransaction(catalog, (client) =>
    inOrder([
      client.query('lock table made in share row exclusive mode'),
      client.query<{ name: string }>('select name from made order by name'),
    ]),
  )
  await expect
    .poll(
      async () =>
        (await database.pool.query("select from pg_locks where not granted and relation = 'made'::regclass")).rowCount,
    )
    .toBe(1)
  await holder.query('commit')
  holder.release()
  const [, { rows }] = await waiting
  expect(rows).toEqual([{ name: 'y' }, { name: 'z' }])
})

test('a change that waits for a lock too long is refused, and is not made when the lock is free', async () => {
  await database.pool.query("create table made (name text); insert into made values ('x')")
  const holder = await database.pool.connect()
  await holder.query('begin; lock table made in access exclusive mode')
  const change = inTransaction(catalog, (client) =>
    inOrder([client.query("insert into made values ('y')"), client.commit()]),
  )
  await expect(change).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE', cause: { code: '55P03' } })
  await holder.query('commit')
  holder.release()
  await expect
    .poll(async () => {
      const { rowCount } = await database.pool.query(
        "select from pg_stat_activity where datname = current_database() and application_name = 'tenants2fast catalog' and state <> 'idle'",
      )
      return rowCount
    })
    .toBe(0)
  expect((await database.pool.query('select name from made')).rows).toEqual([{ name: 'x' }])
}, 20_000)

test('nothing can be issued after the commit', async () => {
  const transaction = inTransaction(catalog, async (client) => {
    await client.commit()
    await client.query('select 1')
  })
  await expect(transaction).rejects.toThrow('over')
  expect((await catalog.query('select 1 as usable')).rows).toEqual([{ usable: 1 }])
})

test('a connection that breaks within a message fails all that is behind, and none of it counts', async () => {
  await database.pool.query('create table made (name text)')
  const transaction = inTransaction(catalog, (client) =>
    inOrder([
      client.query("insert into made values ('x')"),
      client.query('select pg_terminate_backend(pg_backend_pid())'),
      client.commit(),
    ]),
  )
  await expect(transaction).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
  expect((await database.pool.query('select from made')).rowCount).toBe(0)
  expect((await catalog.query('select 1 as usable')).rows).toEqual([{ usable: 1 }])
})

test('a snapshot shows one moment, and writes nothing', async () => {
  await database.pool.query('create table made (name text)')
  const transaction = inTransaction(
    catalog,
    async (client) => {
      await client.query('select from made')
      await database.pool.query("insert into made values ('x')")
      expect((await client.query('select from made')).rowCount).toBe(0)
      await client.query("insert into made values ('y')")
    },
    { isSnapshot: true },
  )
  await expect(transaction).rejects.toMatchObject({ code: '25006' })
  expect((await database.pool.query('select from made')).rowCount).toBe(1)
})

test('work that goes on where a statement failed is not reported as committed', async () => {
  await database.pool.query('create table made (name text)')
  const messages: string[][] = []
  const transaction = recording(messages, async (client) => {
    await client.query("insert into made values ('x')")
    await expect(client.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
    await expect(client.query("insert into made values ('y')")).rejects.toMatchObject({ code: '22012' })
  })
  await expect(transaction).rejects.toMatchObject({ code: '22012' })
  expect(messages.at(-1)).toEqual(['select 1 / 0'])
  expect((await database.pool.query('select from made')).rowCount).toBe(0)
})

test('work that throws without waiting for its statements writes nothing, then or later', async () => {
  await database.pool.query('create table made (name text unique)')
  const later: Promise<unknown>[] = []
  const transaction = inTransaction(catalog, async (client) => {
    void client.query("insert into made values ('x'), ('x')")
    later.push(sleep(50).then(() => client.query("insert into made values ('y')")))
    throw new Error('refused')
  })
  await expect(transaction).rejects.toThrow('refused')
  await expect(later[0]).rejects.toMatchObject({ code: '23505' })
  expect((await database.pool.query('select from made')).rowCount).toBe(0)
  expect((await catalog.query('select 1 as usable')).rows).toEqual([{ usable: 1 }])
})

test('work that throws before it issues anything gives its connection back outside of a transaction', async () => {
  const transaction = inTransaction(catalog, () => {
    throw new Error('refused')
  })
  await expect(transaction).rejects.toThrow('refused')
  expect(
    (await catalog.query('select pg_current_xact_id_if_assigned() as id, now() = statement_timestamp() as alone')).rows,
  ).toEqual([{ id: null, alone: true }])
})

test('a connection that cannot send a message fails the transaction, and every statement is answered', async () => {
  const released: unknown[] = []
  const outcomes: PromiseSettledResult<unknown>[] = []
  const transaction = inTransaction(
    {
      query: () => Promise.reject(new Error('unused')),
      connect: async () => ({
        query: () => Promise.reject(new Error('no rollback')),
        queryTogether() {
          throw new TypeError('cork is not a function')
        },
        release: (error) => released.push(error),
      }),
    },
    async (client) => {
      outcomes.push(...(await Promise.allSettled([client.query('select 1'), client.query('select 2')])))
      await client.query('select 3')
    },
  )
  await expect(transaction).rejects.toThrow('cork')
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(released).toEqual([true])
})

const kill = 'select pg_terminate_backend(pg_backend_pid())'
test.each([
  ['in its first message', [[kill, "insert into made values ('x')"], ['commit']]],
  ['between its messages', [["insert into made values ('x')"], [kill], ['commit']]],
  ['before its commit', [["insert into made values ('x')"], ["insert into made values ('y')", kill, 'commit']]],
  ['at its commit', [["insert into made values ('x'), ('deadly')", 'commit']]],
])('a backend that is killed %s has written nothing, and the error says to try again', async (_when, messages) => {
  await database.pool.query(
    `create table made (name text);
     create function die() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
     create constraint trigger deadly after insert on made deferrable initially deferred
       for each row when (new.name = 'deadly') execute function die()`,
  )
  const transaction = inTransaction(catalog, async (client) => {
    for (const texts of messages) {
      await inOrder(texts.map((text) => (text === 'commit' ? client.commit() : client.query(text))))
    }
  })
  await expect(transaction).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
  expect((await database.pool.query('select from made')).rowCount).toBe(0)
  expect((await catalog.query('select 1 as usable')).rows).toEqual([{ usable: 1 }])
})

test('a message that is not answered in time fails all its statements once, and what the server says later is ignored', async () => {
  const { host, port, user, password } = await testServer()
  const client = new pg.Client({ host, port, user, password, database: database.databaseName, query_timeout: 100 })
  await client.connect()
  const results = queryTogether(client, [
    { text: 'select 1' },
    { text: 'select pg_sleep(0.4)' },
    { text: 'select $1::int', values: [3] },
  ])
  for (const outcome of await Promise.allSettled(results)) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'Query read timeout' } })
  }
  // Behind the late answers, the connection answers again: they were taken for nobody else's.
  const asked = (text: string) => client.query({ text, query_timeout: 5000 } as pg.QueryConfig)
  expect((await asked('select 4 as four')).rows).toEqual([{ four: 4 }])
  await client.end()
})
