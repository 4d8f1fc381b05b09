import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { isFullForAll } from '../../src/connections/connection-errors.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { testServer, withAdmin } from '../support/server.js'
import { useScheduler } from './fixture.js'

const { start, stats, current, databases } = useScheduler(2)

const held: pg.Client[] = []
const free = async (): Promise<void> => {
  await Promise.all(held.splice(0).map((client) => client.end()))
}
afterEach(async () => {
  await free()
  await limit('role', -1)
  await limit('database', -1)
})

async function limit(kind: 'role' | 'database', connections: number): Promise<void> {
  await withAdmin((admin) => admin.query(`alter ${kind} "${databases[0]?.key ?? ''}" connection limit ${connections}`))
}

/** Takes the only connection that the first tenant's role, or its database, may have. */
async function takeThePlace(kind: 'role' | 'database'): Promise<void> {
  await limit(kind, 1)
  const { host, port, user, password, database } = databases[0]?.target.account ?? {}
  const client = new pg.Client({ host, port, user, password, database })
  await client.connect()
  held.push(client)
}

for (const kind of ['role', 'database'] as const) {
  test(`a tenant without connections waits for a full ${kind}, and others are served meanwhile`, async () => {
    const [full, other] = start({ maxConcurrentConnects: 1, acquireTimeoutMs: 25_000 }) as [TenantPool, TenantPool]
    await takeThePlace(kind)
    const answers = Promise.all(Array.from({ length: 3 }, () => full.query<{ n: number }>('select 1 as n')))
    await expect.poll(() => stats().connectFailures, { timeout: 20_000 }).toBeGreaterThan(2)
    expect(stats().rejected).toBe(0)
    expect((await other.query('select 2 as n')).rows).toEqual([{ n: 2 }])
    await free()
    for (const { rows } of await answers) expect(rows).toEqual([{ n: 1 }])
  })
}

test('a caller that waits until its deadline is told that the server had no room', async () => {
  const [pool] = start({ acquireTimeoutMs: 2000 }) as [TenantPool]
  await takeThePlace('role')
  const failure = { code: 'TENANCY_CONNECTION_TIMEOUT', message: expect.stringContaining('53300'), statusCode: 503 }
  await Promise.all([
    expect(pool.query('select 1')).rejects.toMatchObject(failure),
    expect(pool.connect()).rejects.toMatchObject(failure),
  ])
  await free()
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
})

test('a tenant with a connection is served by it while the server has no room for another one', async () => {
  const [pool] = start({ acquireTimeoutMs: 25_000 }) as [TenantPool]
  await limit('role', 1)
  const answers = Array.from({ length: 10 }, (_, n) => pool.query('select $1::int as n', [n]))
  expect((await Promise.all(answers)).map(({ rows }) => rows[0].n as number)).toEqual(answers.map((_, n) => n))
  expect(stats()).toMatchObject({ opened: 1, rejected: 0 })
})

/** The answer of PostgreSQL 15 to 18 when max_connections is reached. */
const noPlace = ['SFATAL', 'VFATAL', 'C53300', 'Msorry, too many clients already', 'RProcArrayAdd'].join('\0') + '\0\0'

test('a full server is asked again by few, and serves all callers once it has room', async () => {
  const [first, second] = databases
  let isFull = true
  let asked = 0
  const { host, port } = await testServer()
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (!isFull) {
      const upstream = connect(port, host).on('error', () => socket.destroy())
      socket.pipe(upstream).pipe(socket)
      return
    }
    asked += 1
    const message = Buffer.concat([Buffer.from('E'), Buffer.alloc(4), Buffer.from(noPlace)])
    message.writeInt32BE(message.length - 1, 1)
    socket.once('data', () => socket.end(message))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  try {
    start({ acquireTimeoutMs: 25_000 })
    const pools = [first, second].flatMap((database) => {
      if (database === undefined) return []
      const account = { ...database.target.account, ...address }
      return [current().pool(database.key, () => Promise.resolve({ ...database.target, account }))]
    })
    const answers = pools.flatMap((pool) => Array.from({ length: 20 }, () => pool.query('select 1 as n')))
    await expect.poll(() => asked, { timeout: 20_000 }).toBeGreaterThan(10)
    // At most six try at a time, with waits that double: not each of the forty by itself.
    expect(asked).toBeLessThan(40)
    isFull = false
    for (const { rows } of await Promise.all(answers)) expect(rows).toEqual([{ n: 1 }])
    expect(stats().rejected).toBe(0)
  } finally {
    await current().close()
    server.close()
  }
})

test('limits of one tenant are told apart from those of the server by the function that reports them', () => {
  const error = (routine?: string) => Object.assign(new Error('full'), { code: '53300', severity: 'FATAL', routine })
  const routines = [
    'InitializeSessionUserId',
    'CheckMyDatabase',
    undefined,
    'InitProcess',
    'InitPostgres',
    'ProcArrayAdd',
  ]
  expect(routines.map((routine) => isFullForAll(error(routine)))).toEqual([false, false, false, true, true, true])
})
