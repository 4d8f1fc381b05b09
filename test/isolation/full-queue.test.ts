import type pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Coherence, createCoherence } from '../../src/cache/changes/coherence.js'
import { type CatalogPool, createCatalogPool } from '../../src/catalog/catalog-pool.js'
import { createChangeLog } from '../../src/catalog/change-log.js'
import { asOutage } from '../../src/postgres/outages/outage.js'
import { createTenancy, loadConfig, type Tenancy, type User } from '../../src/index.js'
import { silentLogger } from '../http/fixture.js'
import { type PrivateServer, startPrivateServer } from '../support/servers/private-server.js'

let server: PrivateServer
let tenancy: Tenancy
let catalog: CatalogPool
let user: User
let listener: pg.Client
let coherence: Coherence | undefined

// No watcher runs here: these tests show what holds until the session that fills the queue is ended.
const open = () =>
  createTenancy({
    logger: silentLogger,
    config: loadConfig({
      TENANT_DATABASE_URL: server.url(),
      TENANT_SECRET: 'a'.repeat(64),
      TENANT_READY_DATABASES: '0',
      TENANT_MAX_CONNECTIONS: '6',
      TENANT_WATCH_INTERVAL_MS: '0',
    }),
  })

beforeAll(async () => {
  server = await startPrivateServer({ settings: { max_notify_queue_pages: '64' } })
  tenancy = await open()
  user = await tenancy.createUser({ email: 'o@example.com', name: 'O', emailVerified: true })
  await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: user.id })
  catalog = createCatalogPool({ ...server.account, database: 'tenants2fast' })
})
afterEach(async () => {
  await coherence?.close()
  await listener.end()
})
afterAll(async () => {
  await tenancy.close()
  await catalog.end()
  await server.stop()
})

/** A session in another database listens inside of a transaction, and the queue is filled to its last page. */
async function fillQueue(): Promise<unknown> {
  listener = await server.connect()
  await listener.query('listen flood')
  await listener.query('begin')
  const notifier = await server.connect()
  const flood = "select count(pg_notify('flood', repeat('x', 7900) || n)::text) from generate_series(1, $1) as n"
  let failure: unknown
  for (const count of [100, 10, 1]) {
    while (true) {
      failure = await notifier.query(flood, [count]).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failure !== undefined) break
    }
  }
  return failure
}

function follow(): string[] {
  const heard: string[] = []
  coherence = createCoherence({
    connect: () => catalog.connectAlone(),
    changes: createChangeLog(catalog),
    maxStalenessMs: 200,
    logger: silentLogger,
  })
  coherence.subscribe({ user: (id, epoch) => heard.push(`${id} ${epoch}`) })
  return heard
}
const confirmedSince = (ms: number) => expect.poll(() => coherence!.confirmedAtMs).toBeGreaterThan(ms)
const raiseEpoch = 'update users set token_epoch = token_epoch + 1 where id = $1 returning access_epoch'

test('A full NOTIFY queue fails sessions that notify, and neither changes of the catalog nor a start', async () => {
  expect(asOutage(await fillQueue())).toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE', statusCode: 503 })
  await tenancy.suspendTenant({ tenant: 'acme' })
  await tenancy.reactivateTenant({ tenant: 'acme' })
  await tenancy.disableUser({ user: user.id })
  await tenancy.enableUser({ user: user.id })
  const second = await open()
  await second.suspendTenant({ tenant: 'acme' })
  await second.reactivateTenant({ tenant: 'acme' })
  await second.close()
})

test('While the NOTIFY queue is full, changes arrive within the bound and are counted', async () => {
  await fillQueue()
  const heard = follow()
  for (let round = 0; round < 5; round += 1) {
    await confirmedSince(performance.now())
    const { rows } = await catalog.query<{ access_epoch: string }>(raiseEpoch, [user.id])
    const changedAtMs = performance.now()
    await confirmedSince(changedAtMs)
    expect(heard).toContain(`${user.id} ${rows[0]!.access_epoch}`)
  }
  expect(coherence!.changesBy).toBe('listen')
})

test('A change without a notification reaches the processes that have been notified again since', async () => {
  await fillQueue()
  const heard = follow()
  await confirmedSince(performance.now())
  const late = await catalog.connect()
  await late.query('begin')
  const { rows } = await late.query<{ access_epoch: string }>(raiseEpoch, [user.id])
  // The queue is emptied, and heartbeats travel through it, before the change is committed.
  await listener.query('rollback')
  await listener.query('unlisten *')
  await expect
    .poll(
      async () =>
        (await catalog.query<{ usage: number }>('select pg_notification_queue_usage() as usage')).rows[0]!.usage,
    )
    .toBeLessThan(0.1)
  await confirmedSince(performance.now())
  expect(heard).toEqual([])
  await late.query('commit')
  late.release()
  await confirmedSince(performance.now())
  expect(heard).toEqual([`${user.id} ${rows[0]!.access_epoch}`])
})
