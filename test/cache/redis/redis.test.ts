import { randomBytes, randomUUID } from 'node:crypto'
import { createServer, connect as tcpConnect, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createRedisTier, type MemberTier } from '../../../src/cache/redis/redis.js'
import { asking, createRequestPath, type RequestPath, silentLogger } from '../../http/fixture.js'
import { describeWithRedis } from '../../support/redis/redis.js'
import { redisServer, startRedisProcess } from '../../support/redis/redis-process.js'
import { testWith } from '../../support/requirements.js'
import { testPrefix } from '../../support/server.js'
import { memberRecord } from '../member-record.js'

const secret = randomBytes(32)
describeWithRedis('the Redis tier', (redisUrl) => {
  let tier: MemberTier | undefined
  let keyPrefix = ''
  afterEach(async () => {
    await tier?.close()
    tier = undefined
    await withRedis(redisUrl, async (client) => {
      for await (const keys of client.scanIterator({ MATCH: `${keyPrefix}:*` }))
        if (keys.length > 0) await client.del(keys)
    })
  })

  async function open(url = redisUrl, installationId = 'one') {
    keyPrefix ||= `${testPrefix()}${randomUUID()}`
    const opened = await createRedisTier({
      url,
      ttlSeconds: 60,
      installationId,
      secret,
      logger: silentLogger,
      keyPrefix,
    })
    await vi.waitUntil(() => opened.isOpen, { timeout: 10_000, interval: 5 })
    tier ??= opened
    return opened
  }
  const keys = () =>
    withRedis(redisUrl, async (client) => {
      const found: string[] = []
      for await (const batch of client.scanIterator({ MATCH: `${keyPrefix}:*` })) found.push(...batch)
      return found
    })

  test('returns what was written, at the same epochs only, for a limited time, without a secret', async () => {
    const opened = await open()
    const [userId, tenantId] = [randomUUID(), randomUUID()]
    const record = memberRecord(userId, tenantId)
    opened.write(record, 3)
    const address = { userId, tenantId, user: 3, tenant: 4, rules: 7 }
    await vi.waitFor(async () => expect(await opened.read(address)).toEqual(record))
    for (const other of [
      { userId: randomUUID() },
      { tenantId: randomUUID() },
      { user: 4 },
      { tenant: 5 },
      { rules: 8 },
    ]) {
      expect(await opened.read({ ...address, ...other })).toBeUndefined()
    }
    const [key] = await keys()
    const [ttl, value] = await withRedis(redisUrl, async (client) => [await client.ttl(key!), await client.get(key!)])
    expect(ttl).toBeGreaterThan(0)
    expect(value).not.toMatch(/secret|password|token/i)
  })

  test('installations that share a Redis do not see each other', async () => {
    const [one, two] = [await open(redisUrl, 'one'), await open(redisUrl, 'two')]
    const record = memberRecord(randomUUID(), randomUUID())
    one.write(record, 3)
    const address = { ...record.membership, user: 3, tenant: 4, rules: 7 }
    await vi.waitFor(async () => expect(await one.read(address)).toBeDefined())
    expect(await two.read(address)).toBeUndefined()
    await two.close()
  })

  test('an unreachable Redis is no error at the start', async () => {
    const nowhere = await createRedisTier({
      url: 'redis://127.0.0.1:1',
      ttlSeconds: 60,
      installationId: 'one',
      secret,
      logger: silentLogger,
    })
    await sleep(50)
    expect(nowhere.isOpen).toBe(false)
    expect(await nowhere.read({ userId: 'u', tenantId: 't', user: 1, tenant: 1, rules: 1 })).toBeUndefined()
    nowhere.write(memberRecord('u', 't'), 1)
    await nowhere.close()
  })

  describe('under the directory cache', () => {
    let path: RequestPath
    let between: Between | undefined
    afterEach(async () => {
      await path.close()
      await between?.close()
      between = undefined
    })

    async function setUp(url: string, maxEntries = 1, timeoutMs = 5000) {
      keyPrefix ||= `${testPrefix()}${randomUUID()}`
      path = await createRequestPath({
        redis: async (installationId) => {
          const opened = await createRedisTier({
            url,
            ttlSeconds: 60,
            installationId,
            secret,
            logger: silentLogger,
            keyPrefix,
            timeoutMs,
          })
          await vi.waitUntil(() => opened.isOpen, { timeout: 10_000, interval: 5 })
          return opened
        },
        maxEntries,
      })
      const tenant = await path.addTenant('acme')
      const [one, two] = [await path.addUser(), await path.addUser()]
      await path.addMember(one, tenant)
      await path.addMember(two, tenant)
      await path.heard()
      const statements: string[] = []
      path.before = (text) => void statements.push(text)
      const ask = (user: string) => path.pipeline.handle(asking(path.tokenFor(user), { tenantHeader: tenant }))
      return { tenant, one, two, ask, statements }
    }
    const memberReads = (statements: string[]) => statements.filter((text) => text.includes('permission_ids')).length

    test('a member that another process cached costs no read, and a changed one is read from the catalog', async () => {
      const { one, two, ask, statements } = await setUp(redisUrl)
      await ask(one)
      await vi.waitFor(async () => expect(await keys()).toHaveLength(1))
      await ask(two)
      statements.length = 0
      expect((await ask(one)).tenant?.slug).toBe('acme')
      expect(memberReads(statements)).toBe(0)
      await path.catalog.pool.query('delete from user_tenants where user_id = $1', [one])
      await path.heard()
      await expect(ask(one)).rejects.toMatchObject({ code: 'TENANCY_TENANT_FORBIDDEN' })
    })

    test('first requests of many members in a new process cost one read of the users and one of the epochs', async () => {
      const { tenant, statements } = await setUp(redisUrl, 1000)
      const users: string[] = []
      for (let index = 0; index < 50; index += 1) {
        const user = await path.addUser()
        await path.addMember(user, tenant)
        users.push(user)
      }
      await path.heard()
      const tokens = users.map((user) => path.tokenFor(user))
      const warm = path.anotherProcess()
      for (const [index, token] of tokens.entries()) {
        await warm.pipeline.handle(asking(token, index % 2 === 0 ? { tenantHeader: tenant } : {}))
      }
      await vi.waitFor(async () => expect(await keys()).toHaveLength(50))
      const cold = path.anotherProcess()
      statements.length = 0
      await Promise.all(
        tokens.map(async (token, index) =>
          cold.pipeline.handle(asking(token, index % 3 === 0 ? {} : { tenantHeader: 'acme' })),
        ),
      )
      expect(statements).toEqual([expect.stringContaining('from users'), expect.stringContaining('unnest')])
      warm.close()
      cold.close()
    })

    test('after a change of a tenant, one query of its epochs serves all of its members', async () => {
      const { tenant, one, two, ask, statements } = await setUp(redisUrl, 10)
      await ask(one)
      await ask(two)
      await path.catalog.pool.query("update tenants set name = 'Other' where id = $1", [tenant])
      await path.heard()
      const other = path.anotherProcess()
      for (const user of [one, two]) await other.pipeline.handle(asking(path.tokenFor(user), { tenantHeader: tenant }))
      await vi.waitFor(async () => expect(await keys()).toHaveLength(4))
      other.close()
      statements.length = 0
      // Invalidated: one query each says that the entry is out of date. Then epochs once, members never.
      expect([(await ask(one)).tenant?.name, (await ask(two)).tenant?.name]).toEqual(['Other', 'Other'])
      expect(memberReads(statements)).toBe(0)
      await path.catalog.pool.query("update tenants set status = 'suspended' where id = $1", [tenant])
      await path.heard()
      await expect(ask(two)).rejects.toMatchObject({ code: 'TENANCY_TENANT_SUSPENDED' })
    })

    test('every request is answered from the catalog while Redis is slow, gone and back', async () => {
      between = await putBetween(redisUrl)
      const { one, two, ask } = await setUp(between.url, 1, 50)
      for (const state of ['open', 'slow', 'open', 'gone', 'open'] as const) {
        between.set(state)
        for (let round = 0; round < 8; round += 1) {
          expect((await ask(round % 2 === 0 ? one : two)).tenant?.slug).toBe('acme')
        }
      }
    })
  })

  test('many late answers at one moment count as one failure and do not pause Redis', async () => {
    const between = await putBetween(redisUrl)
    const opened = await open(between.url)
    between.set('slow')
    const readOne = () => opened.read({ userId: randomUUID(), tenantId: randomUUID(), user: 1, tenant: 1, rules: 1 })
    await Promise.all(Array.from({ length: 50 }, readOne))
    expect(opened.isOpen).toBe(true)
    await between.close()
  })

  test('Redis is paused for a while after a few late answers in a row', async () => {
    const between = await putBetween(redisUrl)
    const opened = await open(between.url)
    between.set('slow')
    const address = { userId: randomUUID(), tenantId: randomUUID(), user: 1, tenant: 1, rules: 1 }
    // Five in a row; on a machine that is busy one may come in time after all.
    await vi.waitUntil(async () => (await opened.read(address)) === undefined && !opened.isOpen, {
      timeout: 20_000,
      interval: 1,
    })
    expect(opened.stats().failures).toBeGreaterThanOrEqual(5)
    between.set('open')
    await vi.waitUntil(() => opened.isOpen, { timeout: 20_000, interval: 20 })
    await between.close()
  })

  testWith(redisServer, 'a killed Redis fails no request', async () => {
    const server = await startRedisProcess()
    const opened = await open(server.url)
    const record = memberRecord(randomUUID(), randomUUID())
    const address = { ...record.membership, user: 3, tenant: 4, rules: 7 }
    // Again each time: the first may have found an answer too late, and its connection left alone for a while.
    await expect
      .poll(async () => {
        opened.write(record, 3)
        return opened.read(address)
      })
      .toEqual(record)
    await server.kill()
    for (let round = 0; round < 10; round += 1) expect(await opened.read(address)).toBeUndefined()
    opened.write(record, 3)
    await server.close()
  })
})

const clientOf = (url: string) => createClient({ url })

async function withRedis<Result>(url: string, work: (client: ReturnType<typeof clientOf>) => Promise<Result>) {
  const client = clientOf(url)
  await client.connect()
  try {
    return await work(client)
  } finally {
    client.destroy()
  }
}

/** A proxy before Redis that can fall silent or drop everybody. */
interface Between {
  readonly url: string
  set(state: 'open' | 'slow' | 'gone'): void
  close(): Promise<void>
}

async function putBetween(redisUrl: string): Promise<Between> {
  const target = new URL(redisUrl)
  const sockets = new Set<Socket>()
  let state: 'open' | 'slow' | 'gone' = 'open'
  const server: Server = createServer((socket) => {
    if (state === 'gone') return void socket.destroy()
    const upstream = tcpConnect(Number(target.port || 6379), target.hostname)
    for (const end of [socket, upstream]) {
      sockets.add(end)
      end
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(end)
          socket.destroy()
          upstream.destroy()
        })
    }
    socket.on('data', (data) => void upstream.write(data))
    upstream.on(
      'data',
      (data) => void (state === 'slow' ? setTimeout(() => socket.write(data), 200) : socket.write(data)),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(redisUrl)
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: url.href,
    set(next) {
      state = next
      if (next === 'gone') for (const socket of sockets) socket.destroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
