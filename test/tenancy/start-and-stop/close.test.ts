import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findTenancyError, type Tenancy, type Tenant, type User } from '../../../src/index.js'
import { createTestAccount, type TestAccount } from '../../support/account.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { redisUrl } from '../../support/redis/redis.js'
import { testServer, withAdmin } from '../../support/server.js'
import { startTcpProxy, type TcpProxy } from '../../support/proxies/tcp-proxy.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

let account: TestAccount
let installation: Installation

beforeEach(async () => {
  account = await createTestAccount()
  const redis = redisUrl()
  installation = createInstallation({
    TENANT_DATABASE_URL: account.url,
    ...(redis === undefined ? {} : { TENANT_REDIS_URL: redis }),
  })
})
afterEach(async () => {
  await installation.drop()
  await account.disconnected()
  await account.drop()
})

async function openWithTenant(): Promise<{
  tenancy: Tenancy
  owner: User
  acme: Tenant
  app: FastifyInstance
  token: string
}> {
  const tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  const acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
  const app = await createNotesApp(tenancy)
  return { tenancy, owner, acme, app, token: (await tenancy.issueAccessToken({ user: owner.id })).token }
}

/** Returns the tenant databases on the server and those in the catalog: close must lose none. */
async function knownAndThere(): Promise<{ known: string[]; there: string[] }> {
  const known = await withAdmin(
    (admin) => admin.query<{ name: string }>('select name from tenant_databases order by 1'),
    installation.catalogName,
  )
  const { databases } = await installation.onServer()
  const isTenantDatabase = (name: string) => /^[0-9a-f]{32}$/.test(name.slice(installation.prefix.length))
  return { known: known.rows.map((row) => row.name), there: databases.filter(isTenantDatabase) }
}

test('close ends every connection, and closing again changes nothing', async () => {
  const { tenancy, acme, app } = await openWithTenant()
  await tenancy.getTenantPool(acme).query('select 1')
  expect(await account.connections()).toBeGreaterThan(0)
  await Promise.all([tenancy.close(), tenancy.close()])
  await tenancy.close()
  await account.disconnected()
  await app.close()
})

test('close lets running requests finish, and later requests get 503, cached or not', async () => {
  const { tenancy, app, token } = await openWithTenant()
  expect(outcome(await app.inject({ url: '/me/tenant', headers: bearer(token) }))).toBe('200')
  const running = ['/slow', '/slow', '/slow'].map((url) => app.inject({ url, headers: bearer(token) }))
  while (tenancy.stats().inUse < 3) await sleep(5)
  const closed = tenancy.close()
  const during = await app.inject({ url: '/notes', headers: bearer(token) })
  expect(during.statusCode).toBe(503)
  expect(during.headers['retry-after']).toMatch(/^[1-9]\d*$/)
  expect((await Promise.all(running)).map(outcome)).toEqual(['200', '200', '200'])
  await closed
  for (const url of ['/me/tenant', '/notes', '/me', '/tenants/acme/notes']) {
    const after = await app.inject({ url, headers: bearer(token) })
    expect([url, after.statusCode]).toEqual([url, 503])
    expect(after.headers['retry-after']).toMatch(/^[1-9]\d*$/)
  }
  await app.close()
  await account.disconnected()
})

test('after close every call is refused with a code, and no connection is opened again', async () => {
  const { tenancy, owner, acme, app } = await openWithTenant()
  await tenancy.close()
  const attempts: (() => Promise<unknown>)[] = [
    () => tenancy.createTenant({ name: 'Late', slug: 'late', owner: owner.id }),
    () => tenancy.getTenantPool(acme).query('select 1'),
    () => tenancy.getTenantPool(acme).connect(),
    () => tenancy.createTenantDatabase(),
    () => tenancy.runWithTenant({ tenant: 'acme' }, () => 1),
    () => tenancy.issueAccessToken({ user: owner.id }),
    () => tenancy.addMember({ tenant: 'acme', user: owner.id }),
    () => tenancy.initializeTenantSchema(acme.id),
  ]
  for (const attempt of attempts) {
    const error: unknown = await attempt().catch((problem: unknown) => problem)
    expect([attempt.toString(), findTenancyError(error)?.statusCode]).toEqual([attempt.toString(), 503])
  }
  await account.disconnected()
  await app.close()
})

test('a close while the stock is built waits for the running builds and loses no database', async () => {
  const tenancy = await installation.open({ env: { TENANT_READY_DATABASES: '6' } })
  while ((await knownAndThere()).known.length === 0) await sleep(5)
  await tenancy.close()
  await account.disconnected()
  const { known, there } = await knownAndThere()
  expect(there).toEqual(known)
  expect(installation.log.filter((line) => line.level === 'error')).toEqual([])
  // The next start completes the stock.
  const again = await installation.open({ env: { TENANT_READY_DATABASES: '6' } })
  await again.fillStock()
  await again.close()
  expect((await knownAndThere()).there).toHaveLength(6)
})

test('a close right after the start, before any database is built, works as well', async () => {
  const tenancy = await installation.open({ env: { TENANT_READY_DATABASES: '6' } })
  await tenancy.close()
  await account.disconnected()
  const { known, there } = await knownAndThere()
  expect(there).toEqual(known)
})

test('a close while tenants are created leaves each tenant complete or absent', async () => {
  const tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  const slugs = Array.from({ length: 6 }, (_, index) => `tenant-${index}`)
  const creations = slugs.map((slug) => tenancy.createTenant({ name: slug, slug, owner: owner.id }))
  const settled = Promise.allSettled(creations)
  await sleep(60)
  await tenancy.close()
  const results = await settled
  await account.disconnected()
  for (const result of results) {
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ statusCode: 503 })
  }
  const { known, there } = await knownAndThere()
  expect(there).toEqual(known)
  const again = await installation.open()
  for (const [index, slug] of slugs.entries()) {
    const tenant = await again.findTenant(slug)
    expect(tenant !== undefined).toBe(results[index]?.status === 'fulfilled')
    if (tenant) expect((await again.getTenantPool(tenant).query('select 1 as one')).rows).toEqual([{ one: 1 }])
  }
  await again.close()
})

test('closing one of two tenancies of an installation in a process leaves the other working', async () => {
  const [one, other] = await Promise.all([installation.open(), installation.open()])
  const owner = await one.createUser({ email: 'owner@example.com', emailVerified: true })
  const acme = await other.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
  await one.getTenantPool(acme).query('select 1')
  await one.close()
  expect((await other.getTenantPool(acme).query('select 1 as one')).rows).toEqual([{ one: 1 }])
  const globex = await other.createTenant({ name: 'Globex', slug: 'globex', owner: owner.id })
  expect(globex.databaseId).not.toBe(acme.databaseId)
  await other.close()
})

describe('a server that stops answering', { timeout: 90_000 }, () => {
  test('a server that stops answering does not delay close', async () => {
    const { proxy, tenancy } = await openBehindProxy('0')
    const owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
    const acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
    await tenancy.getTenantPool(acme).query('select 1')
    await proxy.set('silence')
    await expect(tenancy.close()).resolves.toBeUndefined()
    await proxy.close()
  })

  test('a server that stops answering during builds delays close only briefly, and the next start removes the databases', async () => {
    const { proxy, tenancy } = await openBehindProxy('4')
    while ((await knownAndThere()).known.length === 0) await sleep(2)
    await proxy.set('silence')
    await tenancy.close()
    await proxy.close()
    await account.disconnected()
    // Lets the leases of the running builds expire, as time would.
    await withAdmin(
      (admin) => admin.query("update tenant_databases set lease_expires_at = now() where state = 'building'"),
      installation.catalogName,
    )
    const again = await installation.open({ env: { TENANT_READY_DATABASES: '4' } })
    await again.reconcile()
    await again.fillStock()
    await again.close()
    const { known, there } = await knownAndThere()
    expect(there).toEqual(known)
    expect(known).toHaveLength(4)
  })

  async function openBehindProxy(readyDatabases: string): Promise<{ proxy: TcpProxy; tenancy: Tenancy }> {
    const proxy = await startTcpProxy(await testServer())
    const url = new URL(account.url)
    url.port = String(proxy.port)
    const env = { TENANT_DATABASE_URL: url.href, TENANT_READY_DATABASES: readyDatabases }
    return { proxy, tenancy: await installation.open({ env }) }
  }
})
