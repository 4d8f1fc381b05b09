// Holds tenant pools to what node-postgres tests of its own pool. docs/pools.md has the table.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { TenantDatabaseTarget } from '../../src/core/tenants/database-target.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { withAdmin } from '../support/server.js'
import { pidOf, useScheduler } from './fixture.js'

const { start, stats, current, databases } = useScheduler(1)

/** A pool of the one database, with its server at another address. */
function elsewhere(account: Partial<TenantDatabaseTarget['account']> = {}): TenantPool {
  const [database] = databases
  if (database === undefined) throw new Error('not set up')
  return current().pool(database.key, async () => ({
    ...database.target,
    account: { ...database.target.account, ...account },
  }))
}

const name = 'select $1::text as name'

type Release = (error?: Error | boolean) => void

function connectBack(
  pool: TenantPool,
): Promise<{ error: Error | undefined; client?: pg.PoolClient; release: Release }> {
  return new Promise((resolve) => {
    pool.connect((error, client, release) => resolve({ error, ...(client && { client }), release }))
  })
}

function queryBack(pool: TenantPool, text: string, values: unknown[] = []) {
  return new Promise<{ error: Error | undefined; result: pg.QueryResult | undefined }>((resolve) => {
    pool.query(text, values, (error, result) => resolve({ error, result }))
  })
}

/** Runs `callback` with a server that passes its connections to `onConnection`. */
async function withServer(onConnection: (socket: net.Socket) => void, callback: (port: number) => Promise<void>) {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await callback((server.address() as AddressInfo).port)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

test('a tenant pool is a pg.Pool to TypeScript and to instanceof', () => {
  const [pool] = start() as [TenantPool]
  expectTypeOf<TenantPool>().toExtend<pg.Pool>()
  expect(pool).toBeInstanceOf(pg.Pool)
  expect(pool.options).toMatchObject({ max: 5, idleTimeoutMillis: 60_000 })
  expect([pool.totalCount, pool.idleCount, pool.waitingCount, pool.expiredCount]).toEqual([0, 0, 0, 0])
  expect([pool.ending, pool.ended]).toEqual([false, false])
})

test('the pool of a tenant is the same object every time, so that listeners and ORM instances can be attached to it', () => {
  const [pool] = start() as [TenantPool]
  expect(elsewhere()).toBe(pool)
})

test('no code of pg-pool opens a connection without the scheduler', () => {
  const [pool] = start() as [TenantPool]
  const { connect } = pg.Pool.prototype as { connect(this: TenantPool): Promise<unknown> }
  expect(() => connect.call(pool)).toThrow()
  expect(stats()).toMatchObject({ open: 0, connecting: 0 })
})

describe('waiting', () => {
  test('a server that does not answer causes a timeout, for callbacks and promises, and takes no place in the budget for good', async () => {
    start({ acquireTimeoutMs: 30 })
    await withServer(
      () => {},
      async (port) => {
        const mute = elsewhere({ port })
        const { error, client, release } = await connectBack(mute)
        expect(error).toMatchObject({ statusCode: 503 })
        expect([client, typeof release]).toEqual([undefined, 'function'])
        for (let index = 0; index < 5; index += 1) {
          await expect(mute.connect()).rejects.toMatchObject({ statusCode: 503 })
        }
        await expect.poll(() => mute.totalCount).toBe(0)
      },
    )
  })

  test('the timeout of one waiter does not affect the waiters behind it', async () => {
    const [pool] = start({ maxConnections: 1, acquireTimeoutMs: 1000 }) as [TenantPool]
    const holder = await pool.connect()
    const first = pool.connect().catch((error: unknown) => {
      holder.release()
      return error
    })
    await sleep(500)
    const second = await pool.connect()
    expect(await first).toMatchObject({ code: 'TENANCY_CONNECTION_TIMEOUT' })
    second.release()
  })

  test('the next waiter gets a connection after one that failed to open', async () => {
    const [pool] = start({ maxConnections: 1 }) as [TenantPool]
    const target = databases[0]?.target as TenantDatabaseTarget
    let tries = 0
    const flaky = current().pool(databases[0]?.key ?? '', async () => {
      tries += 1
      return tries === 1 ? { ...target, account: { ...target.account, port: 1 } } : target
    })
    const [first, second] = await Promise.allSettled([flaky.query(name, ['a']), flaky.query(name, ['b'])])
    expect(first).toMatchObject({ reason: { code: 'TENANCY_DATABASE_UNAVAILABLE' } })
    expect(second).toMatchObject({ value: { rows: [{ name: 'b' }] } })
    expect(pool.totalCount).toBe(1)
  })

  test('queued callers all get an error when the server drops every connection', async () => {
    start({ maxConnections: 1 })
    await withServer(
      (socket) => socket.destroy(),
      async (port) => {
        const broken = elsewhere({ port })
        const answers = await Promise.all([connectBack(broken), connectBack(broken), connectBack(broken)])
        for (const { error } of answers) expect(error).toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
      },
    )
  })

  test('a connection that was opened for a waiter that left is kept for the next caller', async () => {
    const [pool] = start() as [TenantPool]
    const controller = new AbortController()
    const gone = (pool as unknown as { connect(options: object): Promise<pg.PoolClient> }).connect({
      signal: controller.signal,
    })
    controller.abort()
    await expect(gone).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_ABORTED' })
    await expect.poll(() => pool.idleCount).toBe(1)
    await pidOf(pool)
    expect(stats().opened).toBe(1)
  })
})

describe('ending', () => {
  test('a pool that was never used ends, by promise and by callback', async () => {
    start()
    await elsewhere().end()
    await new Promise<void>((resolve) => expect(elsewhere().end(resolve)).toBeUndefined())
  })

  test('queries that were sent before end() are answered', async () => {
    const [pool] = start({ maxConnectionsPerTenant: 2 }) as [TenantPool]
    const rows: string[] = []
    const answers = Array.from({ length: 20 }, (_, index) =>
      pool.query(name, [index]).then((answer) => rows.push(answer.rows[0].name as string)),
    )
    await Promise.all([pool.end(), pool.end()])
    expect(rows.toSorted((a, b) => Number(a) - Number(b))).toEqual(answers.map((_, index) => String(index)))
    await Promise.all(answers)
  })

  test('end() by one holder of a pool leaves queries, clients and connections of the others alone', async () => {
    const warnings: string[] = []
    const logger = {
      debug() {},
      info() {},
      error() {},
      warn: (_: object, message: string) => void warnings.push(message),
    }
    const [pool] = start({ logger }) as [TenantPool]
    const client = await pool.connect()
    await pool.query('select 1')
    await pool.end()
    await new Promise<void>((resolve) => pool.end(resolve))
    expect([pool.ending, pool.ended, pool.totalCount]).toEqual([false, false, 2])
    expect((await client.query(name, ['client'])).rows).toEqual([{ name: 'client' }])
    client.release()
    expect((await pool.query(name, ['pool'])).rows).toEqual([{ name: 'pool' }])
    expect((await connectBack(pool)).client?.release()).toBeUndefined()
    expect(stats().opened).toBe(2)
    expect(warnings).toEqual([expect.stringMatching(/ends nothing/)])
  })

  test('calls by promise and by callback are refused after the scheduler has closed', async () => {
    const [pool] = start() as [TenantPool]
    await current().close()
    expect([pool.ending, pool.ended]).toEqual([true, true])
    await expect(pool.connect()).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
    expect((await connectBack(pool)).error).toMatchObject({ code: 'TENANCY_CLOSED' })
    expect((await queryBack(pool, 'select 1')).error).toMatchObject({ code: 'TENANCY_CLOSED' })
    await pool.end()
  })
})

describe('errors', () => {
  test('a pool keeps its connection and works after many failed queries', async () => {
    const [pool] = start({ maxConnections: 1 }) as [TenantPool]
    const failures = await Promise.allSettled(Array.from({ length: 30 }, () => pool.query('invalid sql')))
    expect(failures.every(({ status }) => status === 'rejected')).toBe(true)
    expect((await pool.query(name, ['x'])).rows).toEqual([{ name: 'x' }])
    expect(stats().opened).toBe(1)
  })

  test('a function that is passed as a query is called with an error', async () => {
    const [pool] = start() as [TenantPool]
    const error = await new Promise((resolve) => void pool.query(resolve as unknown as string))
    expect(error).toBeInstanceOf(TypeError)
  })

  test('releasing a client twice throws each time, also through the callback’s function', async () => {
    const [pool] = start() as [TenantPool]
    const { release } = await connectBack(pool)
    release()
    expect(release).toThrow(/already been released/)
    expect(release).toThrow(/already been released/)
  })

  test('an idle client with an error leaves the pool, which emits the error and the client', async () => {
    const [pool] = start() as [TenantPool]
    const connected = once(pool, 'connect')
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
    const [client] = (await connected) as [unknown]
    await expect.poll(() => pool.idleCount).toBe(1)
    const told = once(pool, 'error')
    await withAdmin((admin) => admin.query('select pg_terminate_backend($1)', [rows[0]!.pid]))
    expect(await told).toEqual([expect.objectContaining({ code: '57P01' }), client])
    expect(pool.idleCount).toBe(0)
    await expect.poll(() => pool.totalCount).toBe(0)
  })

  test('a client with an error while in use emits it to its user and not to the pool', async () => {
    const [pool] = start() as [TenantPool]
    const client = await pool.connect()
    const heard: unknown[] = []
    pool.on('error', (error) => heard.push(error))
    const own = once(client, 'error').catch((error: unknown) => [error])
    client.emit('error', new Error('on purpose'))
    expect(await own).toEqual([expect.objectContaining({ message: 'on purpose' })])
    expect(heard).toEqual([])
    client.release()
  })

  test('a client whose connection broke, or that its user ended, does not return to the pool', async () => {
    const [pool] = start({ maxConnections: 1 }) as [TenantPool]
    const broken = await pool.connect()
    const lost = once(broken, 'error').catch(() => {})
    const { processID } = broken as unknown as { processID: number }
    await withAdmin((admin) => admin.query('select pg_terminate_backend($1)', [processID]))
    await lost
    broken.release()
    await pool.query('select 1')
    const ended = await pool.connect()
    void (ended as unknown as pg.Client).end()
    ended.release()
    expect((await pool.query(name, ['x'])).rows).toEqual([{ name: 'x' }])
    expect(stats()).toMatchObject({ opened: 3, open: 1 })
  })

  test('a listener or callback that throws costs no connection', async () => {
    const program = `
      import { createConnectionScheduler } from ${JSON.stringify(new URL('../../dist/connections/scheduler.js', import.meta.url).href)}
      const target = JSON.parse(process.env.TARGET)
      const scheduler = createConnectionScheduler({ maxConnections: 1 })
      const pool = scheduler.pool('t', async () => target)
      let thrown = 0
      process.on('uncaughtException', () => { thrown += 1 })
      for (const event of ['connect', 'acquire', 'release', 'remove']) pool.on(event, () => { throw new Error(event) })
      await pool.query('select 1')
      pool.connect((error, client, release) => { release(); throw new Error('callback') })
      const client = await pool.connect()
      client.release()
      await pool.query('select 1')
      await scheduler.close()
      await new Promise((resolve) => setTimeout(resolve, 20))
      process.stdout.write(JSON.stringify({ ...scheduler.stats(), thrown }))`
    const output = JSON.parse(await runProgram(program)) as Record<string, number>
    expect(output).toMatchObject({ open: 0, inUse: 0, waiting: 0, opened: 1, closed: 1, thrown: 11 })
  })
})

describe('events', () => {
  test('the event connect comes before the client does, and never for a connection that failed', async () => {
    const [pool] = start() as [TenantPool]
    const seen: unknown[] = []
    pool.on('connect', (client) => seen.push(client))
    const { release } = await connectBack(pool)
    // The event has the connection itself. The client of connect() works until its release only.
    expect(seen).toEqual([expect.any(pg.Client)])
    release()
    const failing = current().pool('elsewhere', () => Promise.reject(new Error('bad news')))
    failing.on('connect', (other) => seen.push(other))
    await expect(failing.connect()).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
    expect(seen).toHaveLength(1)
  })

  test('the events acquire and release come for each use of a client, queries included', async () => {
    const [pool] = start() as [TenantPool]
    const acquired: unknown[] = []
    const released: unknown[] = []
    pool.on('acquire', (client) => acquired.push(client))
    pool.on('release', (error, client) => released.push([error, client]))
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const client = await pool.connect()
        client.release()
        await pool.query('select now()')
      }),
    )
    expect([acquired.length, released.length]).toEqual([20, 20])
    expect(acquired.every((client) => client instanceof pg.Client)).toBe(true)
    expect(released.every((args) => (args as unknown[])[0] === undefined)).toBe(true)
  })

  test('the event release carries the error that a client was released with', async () => {
    const [pool] = start() as [TenantPool]
    const client = await pool.connect()
    const told = once(pool, 'release')
    const problem = new Error('problem')
    client.release(problem)
    expect(await told).toEqual([problem, client])
  })
})

describe('idle connections', () => {
  test('idle connections are closed, also when others break at the same time, and opened again', async () => {
    const [pool] = start({ idleTimeoutMs: 10 }) as [TenantPool]
    for (let round = 0; round < 3; round += 1) {
      const [a, b] = [await pool.connect(), await pool.connect()]
      a.release()
      b.release(new Error('no good'))
      await expect.poll(() => pool.totalCount).toBe(0)
    }
    expect(stats()).toMatchObject({ opened: 6, closed: 6 })
  })

  test('connections are not closed as idle while they are used', async () => {
    const [pool] = start({ idleTimeoutMs: 10 }) as [TenantPool]
    const client = await pool.connect()
    await sleep(60)
    expect((await client.query(name, ['x'])).rows).toEqual([{ name: 'x' }])
    client.release()
    expect(stats().opened).toBe(1)
  })

  test('idle connections keep a process alive until they are closed, and no longer', async () => {
    const program = `
      import { createConnectionScheduler } from ${JSON.stringify(new URL('../../dist/connections/scheduler.js', import.meta.url).href)}
      const target = JSON.parse(process.env.TARGET)
      const pool = createConnectionScheduler({ idleTimeoutMs: 100 }).pool('t', async () => target)
      pool.on('remove', () => console.log('removed'))
      await pool.query('select 1')
      console.log('answered')`
    expect(await runProgram(program)).toBe('answered\nremoved\n')
  })
})

describe('forms', () => {
  test('settings of pg reach the clients, and the caller’s options object is not changed', async () => {
    const options = { clientConfig: { application_name: 'bench of tests' } }
    const [pool] = start(options) as [TenantPool]
    const { rows } = await pool.query("select current_setting('application_name') as name")
    expect(rows).toEqual([{ name: 'bench of tests' }])
    expect(options).toEqual({ clientConfig: { application_name: 'bench of tests' } })
  })

  test('a failed connect calls back without a client, a failed query without a result', async () => {
    start()
    const closed = elsewhere({ port: 1 })
    expect(await connectBack(closed)).toMatchObject({ error: { code: 'TENANCY_DATABASE_UNAVAILABLE' } })
    expect(await queryBack(closed, name, ['x'])).toMatchObject({
      error: { code: 'TENANCY_DATABASE_UNAVAILABLE' },
      result: undefined,
    })
    expect(closed.totalCount).toBe(0)
  })

  test('a call with a callback makes no promise, and never calls back before it returns', async () => {
    const [pool] = start() as [TenantPool]
    await pool.query('select 1')
    for (const ask of [
      (done: () => void) => pool.query('select 1', done),
      (done: () => void) => pool.query(null as unknown as string, done),
      (done: () => void) =>
        pool.connect((_error, _client, release) => {
          release()
          done()
        }),
    ]) {
      let called = false
      await new Promise<void>((resolve) => {
        const returned: unknown = ask(() => {
          called = true
          resolve()
        })
        expect([called, returned]).toEqual([false, undefined])
      })
    }
  })

  test('thirty concurrent queries share the tenant’s connections', async () => {
    const [pool] = start({ maxConnectionsPerTenant: 3 }) as [TenantPool]
    const answers = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const client = await pool.connect()
        const answer = await client.query(name, ['hi'])
        client.release()
        return answer.rows
      }),
    )
    expect(answers).toEqual(Array.from({ length: 30 }, () => [{ name: 'hi' }]))
    expect(pool.totalCount).toBeLessThanOrEqual(3)
  })
})

async function runProgram(source: string): Promise<string> {
  const env = { ...process.env, TARGET: JSON.stringify(databases[0]?.target) }
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const [code] = (await once(child, 'close')) as [number]
  expect(code).toBe(0)
  return output
}
