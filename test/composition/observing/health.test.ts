import Fastify from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import { createHealth, type HealthParts } from '../../../src/composition/observing/health.js'
import { tenancyPlugin } from '../../../src/adapters/fastify/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { describeWithRedis } from '../../support/redis/redis.js'
import { startTcpProxy, type TcpProxy } from '../../support/proxies/tcp-proxy.js'
import { urlOf } from '../../support/server.js'

const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of cleanUp.splice(0).toReversed()) await step()
})

/** An installation whose connections to the server can be cut. */
async function behindProxy(settings: Readonly<Record<string, string>> = {}): Promise<[Installation, TcpProxy]> {
  const url = new URL(urlOf('postgres'))
  const proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port || 5432) })
  cleanUp.push(() => proxy.close())
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  const installation = createInstallation({ TENANT_DATABASE_URL: url.href, ...settings })
  cleanUp.push(async () => {
    await proxy.set('pass')
    await installation.drop()
  })
  return [installation, proxy]
}

const parts: HealthParts = {
  catalog: { query: async () => ({ rows: [], rowCount: 0 }) },
  pingServer: async () => {},
  pooler: undefined,
  redis: undefined,
  coherence: { maxStalenessMs: 0, confirmedAtMs: 0 },
  readyTarget: 0,
}

describe('health of a process', () => {
  test('A process that has all it needs is live and ready, and says so over HTTP', async () => {
    const [installation] = await behindProxy({ TENANT_READY_DATABASES: '1' })
    const tenancy = await installation.open()
    await tenancy.fillStock()
    await expect.poll(async () => (await tenancy.health()).checks.coherence.status).toBe('ok')
    await expect.poll(async () => (await tenancy.health()).checks.stock.status).toBe('ok')
    const app = Fastify()
    await app.register(tenancyPlugin, { tenancy })
    app.get('/livez', { config: { tenancy: 'none' } }, async (_request, reply) => {
      const { live } = await tenancy.health()
      return reply.code(live ? 200 : 503).send({ live })
    })
    app.get('/readyz', { config: { tenancy: 'none' } }, async (_request, reply) => {
      const health = await tenancy.health()
      return reply.code(health.ready ? 200 : 503).send(health)
    })
    const ready = await app.inject('/readyz')
    expect([ready.statusCode, ready.json()]).toEqual([
      200,
      {
        live: true,
        ready: true,
        checks: {
          catalog: { status: 'ok', latencyMs: expect.any(Number) },
          servers: { default: { status: 'ok', latencyMs: expect.any(Number) } },
          stock: { status: 'ok', latencyMs: expect.any(Number) },
          coherence: { status: 'ok', latencyMs: expect.any(Number) },
        },
      },
    ])
    expect((await app.inject('/livez')).json()).toEqual({ live: true })
    await app.close()
    await tenancy.close()
    expect(await tenancy.health()).toMatchObject({ live: false, ready: false })
  })

  test.each(['refuse', 'silence'] as const)(
    'A process is live and not ready while its server is away (%s), and becomes ready again',
    async (how) => {
      const [installation, proxy] = await behindProxy()
      const tenancy = await installation.open()
      expect(await tenancy.health()).toMatchObject({ live: true, ready: true })
      await proxy.set(how)
      await expect
        .poll(() => tenancy.health())
        .toMatchObject({
          live: true,
          ready: false,
          checks: { catalog: { status: 'down' }, servers: { default: { status: 'down' } } },
        })
      const told = JSON.stringify(await tenancy.health())
      for (const secret of [installation.catalogName, '127.0.0.1', String(proxy.port), 'postgres']) {
        expect(told).not.toContain(secret)
      }
      await proxy.set('reset')
      await proxy.set('pass')
      await expect.poll(() => tenancy.health(), { timeout: 60_000 }).toMatchObject({ live: true, ready: true })
    },
    120_000,
  )

  test('A process is not ready from the call of close on, and live until close has finished', async () => {
    const [installation] = await behindProxy()
    const tenancy = await installation.open()
    expect(await tenancy.health()).toMatchObject({ live: true, ready: true })
    const closed = tenancy.close()
    expect(await tenancy.health()).toMatchObject({ live: true, ready: false })
    await closed
    expect(await tenancy.health()).toMatchObject({ live: false, ready: false })
    const other = await installation.open()
    const closing = other.close()
    // Nothing is checked any more, although nobody has asked before.
    expect(await other.health()).toMatchObject({ ready: false, checks: { catalog: { detail: 'closing' } } })
    await closing
  })

  test('A process without a database in stock is degraded and ready', async () => {
    const health = createHealth({ ...parts, readyTarget: 3 })
    expect(await health.read()).toMatchObject({
      ready: true,
      checks: { stock: { status: 'degraded', detail: /none of 3/ } },
    })
  })

  test('A process that does not hear of changes is degraded and ready', async () => {
    const coherence = { maxStalenessMs: 300, confirmedAtMs: performance.now() - 1000 }
    const health = createHealth({ ...parts, coherence })
    expect(await health.read()).toMatchObject({ ready: true, checks: { coherence: { status: 'degraded' } } })
  })

  test('A process whose pooler is away is not ready', async () => {
    const gone = await startTcpProxy({ host: '127.0.0.1', port: 1 })
    const { port } = gone
    await gone.close()
    const health = createHealth({ ...parts, pooler: { host: '127.0.0.1', port } })
    expect(await health.read()).toMatchObject({
      ready: false,
      checks: { catalog: { status: 'ok' }, servers: { default: { status: 'down', detail: 'ECONNREFUSED' } } },
    })
  })
})

test('Concurrent callers of health share one answer, and a part that hangs is asked once and delays nobody', async () => {
  let asked = 0
  let release = (): void => {}
  const hangs = new Promise<void>((resolve) => {
    release = resolve
  })
  const pingServer = async () => {
    asked += 1
    await hangs
  }
  const health = createHealth({ ...parts, pingServer, timeoutMs: 50, rememberMs: 0 })
  const answers = await Promise.all(Array.from({ length: 20 }, () => health.read()))
  expect(new Set(answers.map(({ checks }) => checks)).size).toBe(1)
  for (let round = 0; round < 5; round += 1) {
    expect(await health.read()).toMatchObject({
      live: true,
      ready: false,
      checks: { servers: { default: { status: 'down', detail: 'no answer within 50 ms' } } },
    })
  }
  expect(asked).toBe(1)
  release()
  await expect.poll(async () => (await health.read()).ready).toBe(true)
})

test('An answer of health is reused for a while', async () => {
  let asked = 0
  const pingServer = async () => void (asked += 1)
  const health = createHealth({ ...parts, pingServer, rememberMs: 60_000 })
  for (let round = 0; round < 10; round += 1) await health.read()
  expect(asked).toBe(1)
})

test('Health throws nothing and passes on no error message, whatever fails', async () => {
  const fail = async (): Promise<never> => {
    throw Object.assign(new Error('password authentication failed for user "admin" on 10.0.0.1'), { code: '28P01' })
  }
  const health = createHealth({
    ...parts,
    catalog: { query: fail },
    pingServer: fail,
    redis: { isOpen: true, ping: fail },
  })
  const answer = await health.read()
  expect(answer).toMatchObject({
    live: true,
    ready: false,
    checks: { catalog: { status: 'down', detail: '28P01' }, redis: { status: 'degraded', detail: '28P01' } },
  })
  expect(JSON.stringify(answer)).not.toContain('admin')
})

describeWithRedis('with Redis', (redisUrl) => {
  test('A process whose Redis is away is degraded and ready', async () => {
    const url = new URL(redisUrl)
    const proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port || 6379) })
    cleanUp.push(() => proxy.close())
    const installation = createInstallation({ TENANT_REDIS_URL: `redis://127.0.0.1:${proxy.port}${url.pathname}` })
    cleanUp.push(() => installation.drop())
    const tenancy = await installation.open()
    await expect.poll(async () => (await tenancy.health()).checks.redis?.status).toBe('ok')
    await proxy.set('refuse')
    await expect.poll(() => tenancy.health()).toMatchObject({ ready: true, checks: { redis: { status: 'degraded' } } })
    await proxy.set('pass')
    await expect.poll(async () => (await tenancy.health()).checks.redis?.status).toBe('ok')
  })
})
