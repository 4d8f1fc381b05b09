import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { createRedisTier, type MemberTier } from '../../../src/cache/redis/redis.js'
import { asking, createRequestPath, listenTo, type RequestPath, silentLogger } from '../../http/fixture.js'
import { describeWithRedis } from '../../support/redis/redis.js'
import { testPrefix } from '../../support/server.js'

const secret = randomBytes(32)

describeWithRedis('members in the shared tier', (url) => {
  let path: RequestPath | undefined
  afterEach(async () => {
    await path?.close()
    path = undefined
  })

  test('a request that joins a read with cached epochs never gets an answer older than it allows', async () => {
    let letGo = () => {}
    let held: Promise<void> | undefined
    let isHeld = false
    let connections = 0
    let writes = 0
    const opened = await createRequestPath({
      maxStalenessMs: 1500,
      // Nobody listens any more once the first connection is gone.
      listen: (catalog) => ((connections += 1) === 1 ? listenTo(catalog) : Promise.reject(new Error('down'))),
      redis: async (installationId): Promise<MemberTier> => {
        const keyPrefix = `${testPrefix()}${randomUUID()}`
        const tier = await createRedisTier({
          url,
          ttlSeconds: 60,
          installationId,
          secret,
          logger: silentLogger,
          keyPrefix,
        })
        await vi.waitUntil(() => tier.isOpen, { timeout: 10_000, interval: 5 })
        return {
          get isOpen() {
            return tier.isOpen
          },
          async read(address) {
            isHeld = held !== undefined
            await held
            return tier.read(address)
          },
          write(record, epoch) {
            writes += 1
            tier.write(record, epoch)
          },
          stats: () => tier.stats(),
          close: () => tier.close(),
        }
      },
    })
    path = opened
    const tenant = await opened.addTenant('acme')
    const [one, two] = [await opened.addUser(), await opened.addUser()]
    await opened.addMember(one, tenant)
    await opened.addMember(two, tenant)
    await opened.heard()
    const ask = (user: string, tenantHeader: string) =>
      Promise.resolve(opened.pipeline.handle(asking(opened.tokenFor(user), { tenantHeader }))).then(
        () => 'ok',
        (error: { code: string }) => error.code,
      )
    expect([await ask(one, tenant), await ask(two, tenant)]).toEqual(['ok', 'ok'])
    // Two's record of after a change of the tenant is in Redis, and the epochs under which it is found are remembered.
    await opened.catalog.pool.query("update tenants set name = 'Other' where id = $1", [tenant])
    await opened.heard()
    const other = opened.anotherProcess()
    await other.pipeline.handle(asking(opened.tokenFor(two), { tenantHeader: tenant }))
    await expect.poll(() => writes).toBe(3)
    other.close()
    expect(await ask(one, tenant)).toBe('ok')
    const readAtMs = performance.now()
    await opened.catalog.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 't2f_listen' and datname = $1",
      [opened.catalog.databaseName],
    )
    await opened.catalog.pool.query('update user_tenants set is_active = false where user_id = $1', [two])
    held = new Promise((resolve) => {
      letGo = resolve
    })
    const early = ask(two, tenant)
    await expect.poll(() => isHeld).toBe(true)
    const rememberedAtMs = Math.max(readAtMs, opened.coherence.confirmedAtMs)
    await sleep(Math.max(0, rememberedAtMs + 1505 - performance.now()))
    const late = ask(two, tenant)
    await sleep(50)
    letGo()
    await early
    expect(await late).toBe('TENANCY_TENANT_FORBIDDEN')
  })
})
