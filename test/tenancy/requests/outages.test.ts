import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Tenancy, Tenant, User } from '../../../src/index.js'
import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { testServer, urlOf, withAdmin } from '../../support/server.js'
import { type ProxyMode, startTcpProxy, type TcpProxy } from '../../support/proxies/tcp-proxy.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

const maxStalenessMs = 2000

let installation: Installation
let proxy: TcpProxy
let tenancy: Tenancy
let app: FastifyInstance
let owner: User
let acme: Tenant

const get = (url: string, token: string, tenant?: string) => app.inject({ url, headers: bearer(token, tenant) })
const freshToken = async () => (await tenancy.issueAccessToken({ user: owner.id })).token

beforeAll(async () => {
  proxy = await startTcpProxy(await testServer())
  const url = new URL(urlOf('postgres'))
  url.port = String(proxy.port)
  installation = createInstallation({
    TENANT_DATABASE_URL: url.href,
    TENANT_MAX_STALENESS_MS: String(maxStalenessMs),
  })
  tenancy = await installation.open()
  owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
  app = await createNotesApp(tenancy)
})
afterAll(async () => {
  await app?.close()
  await tenancy?.close()
  await proxy?.close()
  await installation.drop()
})
beforeEach(async () => {
  await proxy.set('pass')
  await recovered(await freshToken())
})

/** Waits until the tenant's notes are served again. It only sends requests. */
async function recovered(token: string): Promise<void> {
  for (;;) {
    const answer = await get('/notes', token, 'acme')
    if (answer.statusCode === 200) return
    expect(answer.statusCode).toBe(503)
    await sleep(50)
  }
}

describe.each<ProxyMode>(['refuse', 'reset', 'silence'])('server outage: %s', { timeout: 120_000 }, (mode) => {
  test('while the server is unavailable, warm requests are served within maxStalenessMs; everything else gets 503 until it is back', async () => {
    const warm = await freshToken()
    const cold = [await freshToken(), await freshToken(), await freshToken()] as const
    const stranger = await tenancy.createUser({ email: `${mode}@example.com`, emailVerified: true })
    const { token: strangers } = await tenancy.issueAccessToken({ user: stranger.id })
    expect(outcome(await get('/me/tenant', warm, 'acme'))).toBe('200')

    const awaySinceMs = performance.now()
    await proxy.set(mode)
    expect(outcome(await get('/me/tenant', warm, 'acme'))).toBe('200')
    for (;;) {
      const startedAtMs = performance.now()
      const answer = await get('/me/tenant', warm, 'acme')
      if (answer.statusCode !== 200) {
        expect(outcome(answer)).toBe('503 TENANCY_CATALOG_UNAVAILABLE')
        break
      }
      expect(startedAtMs - awaySinceMs).toBeLessThanOrEqual(maxStalenessMs)
      await sleep(20)
    }

    // New tokens and changes run in parallel: with a silent server, all of them wait no longer than one.
    const refused = { code: 'TENANCY_CATALOG_UNAVAILABLE' }
    const changes = [
      expect(tenancy.issueAccessToken({ user: owner.id })).rejects.toMatchObject(refused),
      expect(tenancy.suspendTenant({ tenant: 'acme' })).rejects.toMatchObject(refused),
      expect(tenancy.findUserByEmail('owner@example.com')).rejects.toMatchObject(refused),
      expect(tenancy.createUser({ email: 'x@example.com' })).rejects.toMatchObject(refused),
      expect(tenancy.findTenant('acme')).rejects.toMatchObject(refused),
    ]
    const requests = [
      get('/me/tenant', warm, 'acme'),
      ...cold.map((each) => get('/notes', each, 'acme')),
      get('/notes', warm, 'no-such-tenant'),
      get('/tenants/acme/notes', warm),
      get('/me', strangers),
      get('/me/tenant', strangers),
    ]
    const [answers] = await Promise.all([Promise.all(requests), ...changes])
    for (const answer of answers) {
      expect(outcome(answer)).toBe('503 TENANCY_CATALOG_UNAVAILABLE')
      expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/)
      expect(answer.headers['content-type']).toMatch('application/problem+json')
      expect(answer.body).not.toMatch(/127\.0\.0\.1|ECONN|postgres|timeout/i)
    }
    // Requests that need no catalog are answered as usual.
    expect(outcome(await get('/notes', 'x.y.z'))).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
    expect(outcome(await app.inject('/notes'))).toBe('401 TENANCY_AUTH_REQUIRED')
    expect(outcome(await app.inject('/health'))).toBe('200')

    await proxy.set('pass')
    await recovered(warm)
    expect(outcome(await get('/me', strangers))).toBe('200')
    expect(outcome(await get('/me/tenant', strangers))).toBe('403 TENANCY_TENANT_NONE')
    expect((await tenancy.getTenant('acme')).status).toBe('active')
  })

  test('a query that runs when the server stops fails, and the next one gets 503', async () => {
    const token = await freshToken()
    const running = get('/slow', token, 'acme')
    await sleep(100)
    await proxy.set(mode)
    if (mode !== 'silence') {
      const answer = await running
      expect(answer.statusCode).toBeGreaterThanOrEqual(500)
    }
    const next = await get('/slow', token, 'acme')
    expect(next.statusCode).toBe(503)
    await proxy.set('pass')
    await recovered(token)
    await running
  })
})

describe('one tenant’s database is unavailable', () => {
  const admin = (text: string) => withAdmin((client) => client.query(text))

  /** Ends the tenant's connections and waits until this process has noticed. */
  async function cutOff(tenant: Tenant, database: string): Promise<void> {
    await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}'`)
    while (tenancy.getTenantPool(tenant).totalCount > 0) await sleep(5)
  }

  test('while one tenant’s database is unavailable, its members get 503 and others are served, and it recovers by itself', async () => {
    await tenancy.createTenant({ name: 'Globex', slug: 'globex', owner: owner.id })
    const token = await freshToken()
    const { database } = (await get('/session', token, 'acme')).json<{ database: string }>()
    await admin(`alter database ${quoteIdentifier(database)} allow_connections false`)
    await cutOff(acme, database)
    const answer = await get('/notes', token, 'acme')
    expect(outcome(answer)).toBe('503 TENANCY_DATABASE_UNAVAILABLE')
    expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/)
    expect(answer.body).not.toContain(database)
    expect(outcome(await get('/notes', token, 'globex'))).toBe('200')
    await admin(`alter database ${quoteIdentifier(database)} allow_connections true`)
    await recovered(token)
  })

  test('a backend that is ended during a query fails that query but not the next one', async () => {
    const token = await freshToken()
    const running = get('/slow', token, 'acme')
    const { database } = (await get('/session', token, 'acme')).json<{ database: string }>()
    await sleep(100)
    await admin(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}' and query ~ 'pg_sleep'`,
    )
    expect((await running).statusCode).toBeGreaterThanOrEqual(500)
    expect(outcome(await get('/notes', token, 'acme'))).toBe('200')
    // A response is sent before its connection is clean again.
    await expect.poll(() => tenancy.stats().inUse).toBe(0)
  })

  test('a database that does not belong to the tenant is not used', async () => {
    const token = await freshToken()
    const { database } = (await get('/session', token, 'acme')).json<{ database: string }>()
    const setEpoch = (change: string) =>
      withAdmin((client) => client.query(`update tenants2fast.identity set epoch = epoch ${change}`), database)
    await setEpoch('+ 1')
    await cutOff(acme, database)
    expect(outcome(await get('/notes', token, acme.id))).toBe('503 TENANCY_DATABASE_IDENTITY_MISMATCH')
    await setEpoch('- 1')
    expect(outcome(await get('/notes', token, acme.id))).toBe('200')
  })
})
