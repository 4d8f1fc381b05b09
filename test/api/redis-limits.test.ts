import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/index.js'
import type { Tenancy, Tenant } from '../../src/index.js'
import { startTcpProxy, type TcpProxy } from '../support/proxies/tcp-proxy.js'
import { openRedisIntruder, type RedisIntruder } from '../support/redis/redis-intruder.js'
import { describeWithRedis } from '../support/redis/redis.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

const limits = { changesPerUser: 5, changesPerTenant: 8, readsPerUser: 100_000, strangersPerAddress: 100_000 }

describeWithRedis('Limits that are counted in Redis', (url) => {
  let api: ApiApp
  let proxy: TcpProxy
  let intruder: RedisIntruder
  let owner: Caller
  let tenant: Tenant
  /** Two processes of the installation: each has its own connection to Redis, and remembers refusals by itself. */
  let first: Api
  let second: Api
  beforeEach(async () => {
    const { hostname: host, port } = new URL(url)
    proxy = await startTcpProxy({ host, port: Number(port || 6379) })
    const throughProxy = Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(proxy.port) })
    const env = { TENANT_REDIS_URL: throughProxy.href }
    api = await createApiApp(undefined, {}, { env })
    first = createApi({ tenancy: api.tenancy, limits })
    const another = await api.openAnother({ env })
    second = createApi({ tenancy: another, limits })
    intruder = await openRedisIntruder(url)
    owner = await api.createUser()
    tenant = await api.createTenant(owner)
    await redisCounts(api.tenancy)
    await redisCounts(another)
  })
  afterEach(async () => {
    intruder.close()
    await api.close()
    await proxy.close()
  })

  const redisCounts = (tenancy: Tenancy) =>
    expect
      .poll(() => tenancy.accountsHost().volatileCounts?.count([{ key: 'probe', points: 9, windowSeconds: 1 }]), {
        timeout: 20_000,
      })
      .toHaveLength(1)
  const change = async (served: Api, as = owner) => {
    const answer = await served.handle(
      new Request(`http://localhost/tenants/${tenant.id}`, {
        method: 'PATCH',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${as.token}` },
        body: JSON.stringify({ name: 'Acme' }),
      }),
      { remoteAddress: '127.0.0.1' },
    )
    return answer
  }
  const statuses = async (served: readonly Api[], as = owner) => {
    const found: number[] = []
    for (const each of served) found.push((await change(each, as)).status)
    return found
  }
  const inCatalog = async () => {
    const { rows } = await api.tenancy
      .accountsHost()
      .catalog.query<{ key: string }>("select key from limited_requests where key like 'user:%' or key like 'tenant:%'")
    return rows.map(({ key }) => key)
  }
  const keyOf = async (user: Caller) => (await keysOfCounts()).find((key) => key.endsWith(`:user:${user.id}`)) ?? ''
  const keysOfCounts = async () => {
    const keys = await intruder.keys('tenants2fast:1:count:')
    return keys.filter((key) => key.includes(owner.id) || key.includes(tenant.id))
  }

  test('Two processes share them, with a window and the time to wait, and the catalog has none', async () => {
    expect(await statuses([first, second, first, second, first, second, first])).toEqual([
      ...[200, 200, 200, 200, 200, 429, 429],
    ])
    const refused = await change(second)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60)
    expect(await inCatalog()).toEqual([])
    expect(await keysOfCounts()).toHaveLength(2)
    for (const key of await keysOfCounts()) {
      expect(Number(await intruder.send('PTTL', key))).toBeGreaterThan(0)
      expect(Number(await intruder.send('PTTL', key))).toBeLessThanOrEqual(60_000)
    }
    // The tenant's own limit, with another member: what the first one was refused does not count.
    const other = await api.join(tenant, ['Owner'])
    expect(await statuses([first, second, first, second], other)).toEqual([200, 200, 200, 429])
  })

  test('50 changes at once in two processes: no more are done than the limits of Redis and catalog say', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => change(index % 2 ? first : second)))
    const done = answers.filter(({ status }) => status === 200).length
    // Where the machine is so busy that an answer of Redis comes too late, the catalog counts that change.
    expect(done).toBeGreaterThanOrEqual(5)
    expect(done).toBeLessThanOrEqual(10)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(50 - done)
  })

  test.each(['refuse', 'silence'] as const)(
    'While Redis is away (%s) the catalog counts: nobody is unlimited, and nothing fails',
    async (mode) => {
      expect(await statuses([first, second, first])).toEqual([200, 200, 200])
      await proxy.set(mode)
      // The limit of the tenant as well: it begins again in the catalog.
      expect(await statuses([first, second, first, second, first, second, first])).toEqual([
        ...[200, 200, 200, 200, 200, 429, 429],
      ])
      expect(await inCatalog()).toHaveLength(2)
      await proxy.set('pass')
      await redisCounts(api.tenancy)
      // What Redis knew still counts: 3 of 5, and what reached it late.
      const third = createApi({ tenancy: api.tenancy, limits })
      const after = await statuses([third, third, third])
      if (mode === 'refuse') expect(after).toEqual([200, 200, 429])
      else expect(after.at(-1)).toBe(429)
    },
  )

  test('Redis that was emptied begins a new window, as a new minute would', async () => {
    expect(await statuses([first, first, first, first, first])).toEqual([200, 200, 200, 200, 200])
    for (const key of await keysOfCounts()) await intruder.send('DEL', key)
    expect(await statuses([second, second])).toEqual([200, 200])
  })

  test('Who writes to Redis can refuse requests for one window, and lets nobody in', async () => {
    expect(await statuses([first])).toEqual([200])
    const key = await keyOf(owner)
    await intruder.send('SET', key, '999999')
    const refused = await change(second)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60)
    expect(Number(await intruder.send('PTTL', key))).toBeLessThanOrEqual(60_000)
    // Whatever is there, who may do something is decided elsewhere.
    const stranger = await api.createUser()
    await intruder.send('SET', key.replace(owner.id, stranger.id), '-1')
    expect((await change(first, stranger)).status).toBe(403)
    const anonymous = await first.handle(new Request(`http://localhost/tenants/${tenant.id}`), { remoteAddress: '::1' })
    expect(anonymous.status).toBe(401)
  })

  test.each([
    ['text', ['SET', 'not a number']],
    ['a number below zero', ['SET', '-1000000']],
    ['a fraction', ['SET', '1.5']],
    ['a very long number', ['SET', '9'.repeat(400)]],
    ['another type', ['RPUSH', 'x']],
  ] as const)('For %s in Redis the catalog counts', async (_, [command, value]) => {
    expect(await statuses([first])).toEqual([200])
    const key = await keyOf(owner)
    await intruder.send('DEL', key)
    await intruder.send(command, key, value)
    expect(await statuses([second, second, second, second, second, second])).toEqual([200, 200, 200, 200, 200, 429])
    expect((await inCatalog()).length).toBeGreaterThan(0)
    // Members are still read from Redis: it is not paused for that.
    expect((await api.tenancy.health()).checks.redis?.status).toBe('ok')
  })
})
