import { getEventListeners } from 'node:events'
import { createServer, connect as tcpConnect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { type Coherence, createCoherence } from '../../../src/cache/changes/coherence.js'
import type { ListenClient } from '../../../src/cache/changes/follow-notifications.js'
import { createChangeLog } from '../../../src/catalog/change-log.js'
import { listenTo, silentLogger } from '../../http/fixture.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'
import { testServer } from '../../support/server.js'

let catalog: TestDatabase
let coherence: Coherence | undefined

beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterEach(async () => {
  await coherence?.close()
  coherence = undefined
})
afterAll(() => catalog.drop())

function follow(connect: () => Promise<ListenClient> = () => listenTo(catalog.url), maxStalenessMs = 200) {
  const heard: string[] = []
  coherence = createCoherence({ connect, changes: createChangeLog(catalog.pool), maxStalenessMs, logger: silentLogger })
  coherence.subscribe({
    user: (id, epoch) => heard.push(`u ${id} ${epoch}`),
    tenant: (id, epoch) => heard.push(`t ${id} ${epoch}`),
    rules: (epoch) => heard.push(`r ${epoch}`),
    all: () => heard.push('all'),
  })
  return heard
}
const confirmedSince = (ms: number) =>
  vi.waitUntil(() => coherence!.confirmedAtMs > ms, { timeout: 20_000, interval: 5 })

async function addUser(): Promise<string> {
  const { rows } = await catalog.pool.query<{ id: string }>(
    "insert into users (email, access_epoch) values (gen_random_uuid() || '@example.com', 1) returning id",
  )
  return rows[0]!.id
}

test('changes of users, tenants and rules are reported, heartbeats of other processes and garbage are not', async () => {
  const heard = follow()
  await confirmedSince(0)
  const id = await addUser()
  await catalog.pool.query('update users set disabled_at = now() where id = $1', [id])
  for (const payload of [
    '',
    'x',
    'u:1:1',
    'h:other:1',
    'u:',
    `u:${id}:9x`,
    `u:${id}:9:${id}:x`,
    'r:',
    "'; drop table users",
  ]) {
    await catalog.pool.query("select pg_notify('tenants2fast_epochs', $1)", [payload])
  }
  await catalog.pool.query('select bump_rules_epoch()')
  await vi.waitUntil(() => heard.some((item) => item.startsWith('r ')))
  expect(heard).toEqual(['all', `u ${id} 2`, expect.stringMatching(/^r \d+$/)])
})

test('every change committed before the confirmed moment has been reported', async () => {
  const heard = follow()
  await confirmedSince(0)
  const id = await addUser()
  for (let epoch = 2; epoch < 12; epoch += 1) {
    await catalog.pool.query('update users set token_epoch = token_epoch + 1 where id = $1', [id])
    await confirmedSince(performance.now())
    expect(heard.at(-1)).toBe(`u ${id} ${epoch}`)
  }
})

test('a killed connection is opened again, and everything is invalidated before it counts as confirmed', async () => {
  const heard = follow()
  await confirmedSince(0)
  for (let round = 0; round < 3; round += 1) {
    heard.length = 0
    await catalog.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 't2f_listen' and datname = $1",
      [catalog.databaseName],
    )
    await vi.waitUntil(() => heard.includes('all'), { timeout: 20_000, interval: 1 })
    await confirmedSince(performance.now())
    expect(heard[0]).toBe('all')
  }
})

test('nothing is confirmed while the catalog cannot be reached, and following resumes by itself', async () => {
  let isDown = true
  const heard = follow(() => (isDown ? Promise.reject(new Error('down')) : listenTo(catalog.url)))
  await sleep(100)
  expect([coherence!.confirmedAtMs, heard]).toEqual([Number.NEGATIVE_INFINITY, []])
  isDown = false
  await confirmedSince(0)
  expect(heard).toEqual(['all'])
})

test('a connection that goes silent without closing stops confirming and is replaced', async () => {
  const server = await testServer()
  const sockets: Socket[] = []
  let isSilent = false
  const proxy = createServer((socket) => {
    const upstream = tcpConnect(server.port, server.host)
    const isMuted = sockets.length === 0
    sockets.push(socket, upstream)
    socket.on('data', (data) => void (isSilent && isMuted ? undefined : upstream.write(data)))
    upstream.on('data', (data) => void (isSilent && isMuted ? undefined : socket.write(data)))
    for (const end of [socket, upstream])
      end.on('error', () => {}).on('close', () => (socket.destroy(), upstream.destroy()))
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const port = (proxy.address() as { port: number }).port
  const url = new URL(catalog.url)
  url.host = `127.0.0.1:${port}`
  const heard = follow(() => listenTo(url.href))
  await confirmedSince(0)
  isSilent = true
  await confirmedSince(performance.now() + 200)
  expect(heard).toEqual(['all', 'all'])
  await coherence!.close()
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => proxy.close(resolve))
})

test('a strict installation opens no connection and confirms nothing', async () => {
  const connect = vi.fn<() => Promise<ListenClient>>()
  follow(connect, 0)
  await sleep(20)
  expect([connect.mock.calls.length, coherence!.confirmedAtMs]).toEqual([0, Number.NEGATIVE_INFINITY])
})

test('close() ends the connection, also while it is being opened, and may be called twice', async () => {
  for (const waitMs of [0, 1, 5, 30]) {
    follow()
    await sleep(waitMs)
    await coherence!.close()
    await coherence!.close()
  }
  const client = new pg.Client({ connectionString: catalog.url })
  await client.connect()
  await vi.waitUntil(
    async () =>
      (
        await client.query("select from pg_stat_activity where application_name = 't2f_listen' and datname = $1", [
          catalog.databaseName,
        ])
      ).rowCount === 0,
  )
  await client.end()
})

test('connections that are lost and opened again leave no listener behind', async () => {
  const clients: ListenClient[] = []
  const signals = new Set<EventTarget>()
  // oxlint-disable-next-line typescript/unbound-method
  const { addEventListener } = EventTarget.prototype
  EventTarget.prototype.addEventListener = function add(
    this: EventTarget,
    ...args: Parameters<typeof addEventListener>
  ) {
    if (this instanceof AbortSignal) signals.add(this)
    return addEventListener.apply(this, args)
  }
  try {
    follow(async () => {
      const client = await listenTo(catalog.url)
      clients.push(client)
      return client
    }, 1000)
    for (let round = 1; round <= 5; round += 1) {
      await expect.poll(() => clients.length, { timeout: 20_000 }).toBe(round)
      await confirmedSince(performance.now())
      await (clients.at(-1) as pg.Client).end()
    }
    for (const signal of signals) expect(getEventListeners(signal, 'abort').length).toBeLessThanOrEqual(2)
    expect(signals.size).toBeGreaterThan(0)
  } finally {
    EventTarget.prototype.addEventListener = addEventListener
  }
}, 60_000)

test('close() does not wait for a connection that is being opened, and ends it once it is open', async () => {
  let letGo = (_client: ListenClient) => {}
  let ended = 0
  const made = new Promise<ListenClient>((resolve) => {
    letGo = resolve
  })
  follow(() => made)
  await coherence?.close()
  coherence = undefined
  letGo({
    query: () => Promise.resolve({ rows: [] }),
    on: () => undefined,
    async end() {
      ended += 1
    },
  })
  await expect.poll(() => ended).toBe(1)
})
