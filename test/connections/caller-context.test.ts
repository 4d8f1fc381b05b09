import { once } from 'node:events'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import { runWithContext, tryGetContext } from '../../src/core/context/request-scope.js'
import type { User } from '../../src/core/model.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { anonymousContext } from '../../src/http/pipeline.js'
import { useScheduler } from './fixture.js'

const { start } = useScheduler(2)

const as = <Result>(id: string, callback: () => Result): Result =>
  runWithContext({ ...anonymousContext, user: { id } as User }, callback)
const who = (): string | undefined => tryGetContext()?.user?.id

/** The ways in which an answer can come other than by a promise. Each returns the request in whose context it came. */
const ways: readonly (readonly [string, (pool: TenantPool) => Promise<string | undefined>])[] = [
  ['a query callback', (pool) => new Promise((resolve) => pool.query('select 1', () => resolve(who())))],
  [
    'a callback with values',
    (pool) => new Promise((resolve) => pool.query('select $1::int', [1], () => resolve(who()))),
  ],
  [
    'the callback of a failed query',
    (pool) => new Promise((resolve) => pool.query('select 1/0', () => resolve(who()))),
  ],
  [
    'a connect callback',
    (pool) =>
      new Promise((resolve) => {
        pool.connect((_error, _client, release) => {
          release()
          resolve(who())
        })
      }),
  ],
  [
    'a query callback of a client',
    async (pool) => {
      const client = await pool.connect()
      const answer = await new Promise<string | undefined>((resolve) => {
        client.query('select 1', () => resolve(who()))
      })
      client.release()
      return answer
    },
  ],
  [
    'a listener of a stream',
    async (pool) => {
      const stream = pool.query(new QueryStream('select generate_series(1, 300) as n', [], { batchSize: 100 }))
      const seen = new Set<string | undefined>()
      stream.on('data', () => seen.add(who()))
      await once(stream, 'end')
      return [...seen].join()
    },
  ],
  [
    'a listener of a query object',
    async (pool) => {
      const query = pool.query(new pg.Query('select 1 as n'))
      const seen = new Set<string | undefined>()
      query.on('row', () => seen.add(who()))
      await once(query, 'end')
      return [...seen].join()
    },
  ],
  [
    'a cursor of a client',
    async (pool) => {
      const client = await pool.connect()
      const cursor = client.query(new Cursor('select generate_series(1, 10) as n'))
      const rows = await cursor.read(5)
      await cursor.close()
      client.release()
      return rows.length === 5 ? who() : 'too few'
    },
  ],
]

test.each(ways)(
  '%s runs in the context of its caller, whatever request opened or held the connection',
  async (_way, ask) => {
    const [pool, other] = start({ maxConnections: 1 }) as [TenantPool, TenantPool]
    // Other requests open and hold the connections, and their releases serve the waiters.
    await as('opener', () => pool.query('select 1'))
    expect(await as('second', () => ask(pool))).toBe('second')
    const client = await as('holder', () => pool.connect())
    const waiting = as('third', () => ask(pool))
    as('holder', () => client.release())
    expect(await waiting).toBe('third')
    await as('neighbour', () => other.query('select 1'))
    expect(await as('fourth', () => ask(pool))).toBe('fourth')
  },
)

test('a listener of a connection’s own events runs in the context that added it', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  const heard = new Promise((resolve) => {
    void as('listener', async () => {
      const client = await pool.connect()
      client.on('notification', () => {
        resolve(who())
        client.release()
      })
      await client.query('listen news')
      await client.query("notify news, 'x'")
    })
  })
  expect(await heard).toBe('listener')
})
