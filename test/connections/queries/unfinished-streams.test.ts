import { once } from 'node:events'
import { type AddressInfo, createConnection } from 'node:net'
import { PassThrough, Readable, type Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { pipeline } from 'node:stream/promises'
import Fastify, { type FastifyReply } from 'fastify'
import copyStreams from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import { FastifyRequestScope } from '../../../src/adapters/fastify/request-scope.js'
import { runInScope } from '../../../src/core/context/request-scope.js'
import type { TenantPool } from '../../../src/core/tenants/tenant-pool.js'
import { anonymousContext } from '../../../src/http/pipeline.js'
import { withAdmin } from '../../support/server.js'
import { abortable, useScheduler } from '../fixture.js'

const { start, stats, databases } = useScheduler(1)

/** More rows than the buffers between a server and a reader hold. */
const endless = 'copy (select i, repeat($$x$$, 1000) from generate_series(1, 1000000) i) to stdout'
const endlessRows = 'select i, repeat($$x$$, 1000) from generate_series(1, 1000000) i'

/** Checks that nothing of the tenant runs on the server, and that both of its connections can be had. */
async function expectFree(pool: TenantPool): Promise<void> {
  await expect.poll(() => stats().inUse, { timeout: 10_000 }).toBe(0)
  const answers = await Promise.all([pool.query('select pg_sleep(0.01)'), pool.query('select pg_sleep(0.01)')])
  expect(answers).toHaveLength(2)
  const busy = "select count(*)::int as n from pg_stat_activity where datname = any ($1) and state <> 'idle'"
  await expect
    .poll(() => withAdmin(async (admin) => (await admin.query(busy, [databases.map(({ key }) => key)])).rows[0]))
    .toEqual({ n: 0 })
}

const two = { maxConnections: 2, maxConnectionsPerTenant: 2 }

test('downloads that are destroyed midway give their connections back', async () => {
  const [pool] = start(two) as [TenantPool]
  for (let round = 0; round < 3; round += 1) {
    const streams = [pool.query(copyStreams.to(endless)), pool.query(copyStreams.to(endless))]
    for (const stream of streams) await once(stream, 'data')
    for (const stream of streams) stream.destroy()
    await expectFree(pool)
  }
  expect(stats().rejected).toBe(0)
})

test('a pipeline whose target breaks gives the connection back, for a COPY and for a stream of rows', async () => {
  const [pool] = start(two) as [TenantPool]
  const broken = (): PassThrough =>
    new PassThrough({
      objectMode: true,
      transform: (_chunk, _encoding, done) => done(new Error('the reader broke')),
    })
  await expect(pipeline(pool.query(copyStreams.to(endless)), broken())).rejects.toThrow('the reader broke')
  await expect(pipeline(pool.query(new QueryStream(endlessRows)), broken())).rejects.toThrow('the reader broke')
  await expectFree(pool)
})

test('a stream of rows that is destroyed while the server is at work stops the server', async () => {
  const [pool] = start(two) as [TenantPool]
  const stream = pool.query(new QueryStream('select pg_sleep(600)'))
  stream.on('error', () => {})
  stream.read()
  await expect.poll(() => stats().inUse).toBe(1)
  stream.destroy()
  await expectFree(pool)
})

test('an upload that is destroyed midway leaves no row and gives the connection back', async () => {
  const [pool] = start(two) as [TenantPool]
  const copy = pool.query(copyStreams.from('copy items from stdin'))
  await new Promise((resolve) => copy.write('3000\ta\n', resolve))
  copy.on('error', () => {})
  copy.destroy()
  await expectFree(pool)
  expect((await pool.query('select id from items where id = 3000')).rows).toEqual([])
})

test('streams, cursors and copies of an aborted request are ended, and their readers get an error', async () => {
  const [pool] = start(two) as [TenantPool]
  const aborted = { code: 'TENANCY_CONNECTION_ABORTED' }
  const kinds: (() => Readable | Writable)[] = [
    () => pool.query(copyStreams.to(endless)),
    () => pool.query(new QueryStream(endlessRows)),
    () => pool.query(new QueryStream('select pg_sleep(600)')),
    () => pool.query(copyStreams.from('copy items from stdin')),
  ]
  for (const query of kinds) {
    const controller = new AbortController()
    const stream = runInScope(abortable(controller.signal), query)
    const failed = once(stream, 'error')
    if (stream instanceof Readable) stream.once('data', () => stream.pause())
    else stream.write('3001\ta\n')
    await expect.poll(() => stats().inUse).toBe(1)
    controller.abort()
    await failed.then(
      ([error]) => expect(error).toMatchObject(aborted),
      (error: unknown) => expect(error).toMatchObject(aborted),
    )
    await expectFree(pool)
  }
  const controller = new AbortController()
  const cursor = runInScope(abortable(controller.signal), () => pool.query(new Cursor(endlessRows)))
  await cursor.read(1)
  const reading = expect(cursor.read(1_000_000)).rejects.toMatchObject(aborted)
  controller.abort()
  await reading
  await expectFree(pool)
  expect((await pool.query('select id from items where id = 3001')).rows).toEqual([])
})

test('an unheard error of a stream whose request was aborted does not end the process', async () => {
  const [pool] = start(two) as [TenantPool]
  const controller = new AbortController()
  const kinds: (() => Readable | Writable)[] = [
    () => pool.query(copyStreams.to(endless)),
    () => pool.query(new QueryStream(endlessRows)),
    // The stream waits in the queue.
    () => pool.query(copyStreams.from('copy items from stdin')),
  ]
  for (const query of kinds) {
    runInScope(abortable(controller.signal), query)
    await expect.poll(() => stats().inUse).toBeGreaterThan(0)
  }
  controller.abort()
  await expectFree(pool)
})

test('a reader or writer that makes no progress gets an error, and its tenant works on', async () => {
  const [pool] = start({ ...two, stalledStreamTimeoutMs: 200 }) as [TenantPool]
  const stalled = { code: 'TENANCY_CONNECTION_STALLED' }
  const cursor = pool.query(new Cursor('select * from items'))
  await cursor.read(1)
  await expect.poll(() => stats().inUse).toBe(0)
  await expect(cursor.read(1)).rejects.toMatchObject(stalled)
  const unread = [pool.query(copyStreams.to(endless)), pool.query(new QueryStream(endlessRows))]
  const errors = await Promise.all(unread.map((stream) => new Promise((resolve) => stream.once('error', resolve))))
  expect(errors).toEqual([expect.objectContaining(stalled), expect.objectContaining(stalled)])
  const paused = pool.query(copyStreams.to(endless))
  paused.once('data', () => paused.pause())
  expect(await new Promise((resolve) => paused.once('error', resolve))).toMatchObject(stalled)
  const idle = pool.query(copyStreams.from('copy items from stdin'))
  idle.write('3002\ta\n')
  expect(await new Promise((resolve) => idle.once('error', resolve))).toMatchObject(stalled)
  await expectFree(pool)
  expect((await pool.query('select id from items where id = 3002')).rows).toEqual([])
})

test('a slow reader, a slow writer and a slow server are not taken for stalled', async () => {
  const [pool] = start({ ...two, stalledStreamTimeoutMs: 400 }) as [TenantPool]
  const slowRows = readSlowly(pool.query(new QueryStream('select id from items where id <= 12', [], { batchSize: 50 })))
  const busyServer = pool.query(new Cursor('select pg_sleep(1.2), 1 as n'))
  expect(await busyServer.read(1)).toMatchObject([{ n: 1 }])
  await busyServer.close()
  const copy = pool.query(copyStreams.from('copy items from stdin'))
  await pipeline(
    Readable.from(
      (async function* lines() {
        for (let id = 4000; id < 4012; id += 1) {
          yield `${id}\ta\n`
          await sleep(100)
        }
      })(),
    ),
    copy,
  )
  expect(await slowRows).toHaveLength(12)
  expect((await pool.query('delete from items where id >= 4000')).rowCount).toBe(12)
  const waiting = pool.query(
    new QueryStream('select id, pg_sleep(0.2)::text from items where id <= 8', [], { batchSize: 1 }),
  )
  expect(await waiting.toArray()).toHaveLength(8)
})

async function readSlowly(rows: AsyncIterable<unknown>): Promise<unknown[]> {
  const read: unknown[] = []
  for await (const row of rows) {
    read.push(row)
    await sleep(100)
  }
  return read
}

test('HTTP clients that disconnect in mid-download do not lock out their tenant', async () => {
  const [pool] = start(two) as [TenantPool]
  const app = Fastify()
  const inWork = <Result>({ request, raw }: FastifyReply, run: () => Result) =>
    runInScope(new FastifyRequestScope(anonymousContext, request, raw, () => 'unknown'), run)
  app.get('/piped', (_request, reply) => reply.send(inWork(reply, () => pool.query(copyStreams.to(endless)))))
  app.get('/by-hand', async (_request, reply) => {
    reply.hijack()
    // A pipe like this destroys no stream when the response is gone.
    inWork(reply, () => pool.query(copyStreams.to(endless))).pipe(reply.raw)
  })
  app.get('/rows', async (_request, reply) => {
    reply.hijack()
    const rows = inWork(reply, () => pool.query(new QueryStream(endlessRows)))
    rows.on('data', (row) => {
      if (!reply.raw.write(JSON.stringify(row))) rows.pause()
    })
    reply.raw.on('drain', () => rows.resume())
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  try {
    for (const path of ['/piped', '/by-hand', '/rows']) {
      for (let round = 0; round < 3; round += 1) {
        const socket = createConnection(port, '127.0.0.1')
        socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
        await once(socket, 'data')
        socket.destroy()
      }
      await expectFree(pool)
    }
    expect(stats().rejected).toBe(0)
  } finally {
    await app.close()
  }
})
