import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { createCoherence } from '../../src/cache/changes/coherence.js'
import { createChangeLog } from '../../src/catalog/change-log.js'
import { asking, createRequestPath, listenTo, type RequestPath, silentLogger } from '../http/fixture.js'
import { describeWithPgBouncer, startPgBouncer } from '../pgbouncer/pgbouncer.js'
import { createTestCatalog } from '../support/catalog.js'

let path: RequestPath | undefined
afterEach(async () => {
  await path?.close()
  path = undefined
})

async function setUp(maxStalenessMs: number) {
  const opened = await createRequestPath({
    maxStalenessMs,
    changesBy: 'poll',
    listen: () => Promise.reject(new Error()),
  })
  path = opened
  const user = await opened.addUser()
  const tenant = await opened.addTenant('acme')
  await opened.addMember(user, tenant)
  const facts = asking(opened.tokenFor(user), { tenantHeader: 'acme' })
  const ask = async () => {
    try {
      await opened.pipeline.handle(facts)
      return 'ok'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  return { opened, user, tenant, ask }
}

test('polling reports a revocation, and a member without changes costs no query', async () => {
  const { opened, user, ask } = await setUp(2000)
  const setUpAtMs = performance.now()
  await expect.poll(() => opened.coherence.confirmedAtMs).toBeGreaterThan(setUpAtMs)
  expect(await ask()).toBe('ok')
  const before = opened.queries()
  expect(await ask()).toBe('ok')
  expect(opened.queries()).toBe(before)
  await opened.catalog.pool.query('delete from user_tenants where user_id = $1', [user])
  const revokedAtMs = performance.now()
  await expect.poll(() => opened.coherence.confirmedAtMs).toBeGreaterThan(revokedAtMs)
  expect(await ask()).toBe('TENANCY_TENANT_FORBIDDEN')
})

test('failed polls confirm nothing, and everything is invalidated when polling resumes', async () => {
  const catalog = await createTestCatalog()
  const real = createChangeLog(catalog.pool)
  let isDown = false
  let doubts = 0
  const coherence = createCoherence({
    connect: () => Promise.reject(new Error('nobody listens')),
    changes: { readChanges: (at) => (isDown ? Promise.reject(new Error('down')) : real.readChanges(at)) },
    changesBy: 'poll',
    maxStalenessMs: 100,
    logger: silentLogger,
  })
  coherence.subscribe({ all: () => (doubts += 1) })
  await expect.poll(() => coherence.confirmedAtMs).toBeGreaterThan(0)
  isDown = true
  await sleep(200)
  const confirmedAtMs = coherence.confirmedAtMs
  await sleep(200)
  expect([coherence.confirmedAtMs, doubts]).toEqual([confirmedAtMs, 1])
  isDown = false
  await expect.poll(() => coherence.confirmedAtMs).toBeGreaterThan(confirmedAtMs)
  expect(doubts).toBe(2)
  await coherence.close()
  await catalog.drop()
})

describeWithPgBouncer('a pooler before the catalog', () => {
  test.each(['transaction', 'session'])('in %s mode is noticed at login, and changes are polled', async (mode) => {
    const catalog = await createTestCatalog()
    const pgbouncer = await startPgBouncer({ pool_mode: mode, auth_type: 'trust' })
    const { username, password } = new URL(catalog.url)
    const url = new URL(`/${catalog.databaseName}`, pgbouncer.url)
    url.username = username
    url.password = password
    const pooled = await listenTo(url.href)
    const heard: string[] = []
    const coherence = createCoherence({
      connect: () => listenTo(url.href),
      changes: createChangeLog({
        query: (text, values) => pooled.query(text, values),
        connect: () => Promise.reject(new Error('not needed')),
      }),
      maxStalenessMs: 200,
      logger: silentLogger,
    })
    coherence.subscribe({ user: (id, epoch) => heard.push(`${id} ${epoch}`) })
    await expect.poll(() => coherence.confirmedAtMs).toBeGreaterThan(0)
    expect(coherence.changesBy).toBe('poll')
    const { rows } = await catalog.pool.query<{ id: string }>(
      "insert into users (email) values ('a@example.com') returning id",
    )
    const updated = await catalog.pool.query<{ epoch: string }>(
      "update users set name = 'New' returning access_epoch::text as epoch",
    )
    await expect.poll(() => heard).toEqual([`${rows[0]!.id} ${updated.rows[0]!.epoch}`])
    await coherence.close()
    await pooled.end()
    await pgbouncer.stop()
    await catalog.drop()
  })
})
