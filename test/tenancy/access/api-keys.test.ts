import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { getCurrentActor, getCurrentMember, getCurrentUser, type Tenancy, type User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { testServer, urlOf } from '../../support/server.js'
import { startTcpProxy, type TcpProxy } from '../../support/proxies/tcp-proxy.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

// API keys on the routes of an application, in two processes.

const maxStalenessMs = 2000
let installation: Installation
let proxy: TcpProxy
let tenancy: Tenancy
/** Another process of the installation. */
let other: Tenancy
let app: FastifyInstance
let owner: User
let serviceAccount: string

beforeAll(async () => {
  proxy = await startTcpProxy(await testServer())
  const url = new URL(urlOf('postgres'))
  url.port = String(proxy.port)
  installation = createInstallation({
    ...{ TENANT_DATABASE_URL: url.href, TENANT_MAX_STALENESS_MS: String(maxStalenessMs) },
  })
  tenancy = await installation.open()
  other = await installation.open()
  owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
  serviceAccount = (await tenancy.createServiceAccount({ tenant: 'acme', name: 'Importer', actor: owner.id })).id
  app = await createNotesApp(tenancy)
  app.get('/who', async () => getCurrentActor())
  app.get('/person', async () => getCurrentUser())
  app.get('/decorated', async (request) => request.user.email)
  app.get('/member', async () => getCurrentMember())
  app.get('/may', async () => ({
    reports: tenancy.can(getCurrentActor(), 'reports:read'),
    all: tenancy.permissionsOf(getCurrentActor()),
  }))
})
afterAll(async () => {
  await app?.close()
  await tenancy?.close()
  await other?.close()
  await proxy?.close()
  await installation.drop()
})

async function newKey(permissions: readonly string[], given: { readonly actor?: string | null } = {}) {
  const actor = given.actor === undefined ? owner.id : given.actor
  const { apiKey, key } = await tenancy.createApiKey({
    ...{ tenant: 'acme', serviceAccount, name: 'Key', permissions, actor },
  })
  return { id: apiKey.id, key }
}

const get = async (url: string, key: string, tenant?: string) =>
  outcome(await app.inject({ url, headers: bearer(key, tenant) }))
const ask = (of: Tenancy, key: string) =>
  (async () =>
    of.pipeline.handle({
      ...{ authorization: `Bearer ${key}`, tenantHeader: undefined, host: undefined, pathTenant: undefined },
      needs: 'tenant',
    }))().then(
    () => 'admitted',
    (error: { readonly code: string }) => error.code,
  )

test('A key opens guarded routes by permission, rule and path, with the pool of its tenant, and none by role', async () => {
  const { key } = await newKey(['notes:read'])
  expect(await get('/notes', key)).toBe('200')
  expect(await get('/tenants/acme/notes', key)).toBe('200')
  expect(await get('/notes', key, 'acme')).toBe('200')
  expect(await get('/reports', key)).toBe('403 TENANCY_ACCESS_DENIED')
  expect(await get('/owners', key)).toBe('403 TENANCY_ACCESS_DENIED')
  expect(await get('/notes', key, 'elsewhere')).toBe('403 TENANCY_TENANT_FORBIDDEN')
  expect(await get('/tenants/elsewhere/notes', key)).toBe('403 TENANCY_TENANT_FORBIDDEN')
  expect(await get('/me', key)).toBe('403 TENANCY_AUTH_PERSON_REQUIRED')
  expect(await get('/health', key)).toBe('200')
})

test('The actor of a request is the service account; there is no user and no member', async () => {
  const { id, key } = await newKey(['reports:read'])
  const who = await app.inject({ url: '/who', headers: bearer(key) })
  expect(who.json()).toMatchObject({
    kind: 'serviceAccount',
    serviceAccount: { id: serviceAccount, name: 'Importer', apiKey: { id, name: 'Key', prefix: key.slice(0, 12) } },
  })
  expect(who.body).not.toContain(key.slice(13))
  for (const url of ['/person', '/member', '/decorated']) {
    expect(await get(url, key)).toBe('403 TENANCY_AUTH_PERSON_REQUIRED')
  }
  const may = await app.inject({ url: '/may', headers: bearer(key) })
  expect(may.json()).toEqual({ reports: true, all: ['reports:read'] })
  const { token } = await tenancy.issueAccessToken({ user: owner.id })
  expect((await app.inject({ url: '/who', headers: bearer(token) })).json()).toMatchObject({
    ...{ kind: 'user', user: { id: owner.id } },
  })
})

test('A deactivated permission is lost by keys as well, and a deactivated user’s keys keep what the membership holds', async () => {
  const { key } = await newKey(['reports:read'])
  await tenancy.access.setPermissionActive({ permission: 'reports:read', isActive: false })
  expect(await get('/reports', key)).toBe('403 TENANCY_ACCESS_DENIED')
  await tenancy.access.setPermissionActive({ permission: 'reports:read', isActive: true })
  expect(await get('/notes', key)).toBe('403 TENANCY_ACCESS_DENIED')
  const admin = await tenancy.createUser({ email: 'admin@example.com', emailVerified: true })
  await tenancy.addMember({ tenant: 'acme', user: admin.id, roles: ['Admin'] })
  const theirs = await newKey(['notes:read'], { actor: admin.id })
  await tenancy.disableUser({ user: admin.id })
  expect(await get('/notes', theirs.key)).toBe('200')
  await tenancy.access.unassignRole({ tenant: 'acme', user: admin.id, role: 'Admin' })
  expect(await get('/notes', theirs.key)).toBe('403 TENANCY_ACCESS_DENIED')
})

test('What was held for a while ends in the key, too', async () => {
  const helper = await tenancy.createUser({ email: 'helper@example.com', emailVerified: true })
  await tenancy.addMember({ tenant: 'acme', user: helper.id, roles: ['Member'] })
  const { key } = await newKey(['notes:read'], { actor: helper.id })
  const override = { tenant: 'acme', user: helper.id, permission: 'notes:read' }
  await tenancy.access.unassignRole({ tenant: 'acme', user: helper.id, role: 'Member' })
  await tenancy.access.setOverride({ ...override, effect: 'allow', expiresAt: new Date(Date.now() + 700) })
  expect(await get('/notes', key)).toBe('200')
  await expect.poll(() => get('/notes', key)).toBe('403 TENANCY_ACCESS_DENIED')
})

test('Another process refuses a revoked key, and a rotated secret, within the staleness bound', async () => {
  const { id, key } = await newKey(['notes:read'])
  expect(await ask(other, key)).toBe('admitted')
  const next = await tenancy.rotateApiKey({ tenant: 'acme', apiKey: id, overlapSeconds: 0, actor: owner.id })
  await expect.poll(() => ask(other, key), { timeout: maxStalenessMs }).toBe('TENANCY_AUTH_TOKEN_INVALID')
  expect(await ask(other, next.key)).toBe('admitted')
  await tenancy.revokeApiKey({ tenant: 'acme', apiKey: id, actor: owner.id })
  await expect.poll(() => ask(other, next.key), { timeout: maxStalenessMs }).toBe('TENANCY_AUTH_TOKEN_INVALID')
})

test('Whoever asks after a revocation has succeeded is refused, and no request meanwhile fails otherwise', async () => {
  for (let round = 0; round < 20; round += 1) {
    const { id, key } = await newKey(['notes:read'])
    const asked = Array.from({ length: 20 }, () => ask(tenancy, key))
    const revoked = tenancy
      .revokeApiKey({ tenant: 'acme', apiKey: id, actor: owner.id })
      .then(() => Promise.all([ask(tenancy, key), ask(tenancy, key)]))
    const between = Array.from({ length: 20 }, () => ask(tenancy, key))
    for (const answer of await Promise.all([...asked, ...between])) {
      expect(['admitted', 'TENANCY_AUTH_TOKEN_INVALID']).toContain(answer)
    }
    expect(await revoked).toEqual(['TENANCY_AUTH_TOKEN_INVALID', 'TENANCY_AUTH_TOKEN_INVALID'])
  }
})

test('Without the catalog a key is never taken for a bad one', async () => {
  const { key } = await newKey(['notes:read'])
  await proxy.set('refuse')
  try {
    expect(await ask(tenancy, key)).toBe('TENANCY_CATALOG_UNAVAILABLE')
  } finally {
    await proxy.set('pass')
  }
  await expect.poll(() => ask(tenancy, key), { timeout: 10_000 }).toBe('admitted')
})

test('No key is in a log or in the catalog', async () => {
  const { key } = await newKey(['notes:read'])
  await get('/notes', key)
  await get('/notes', `${key.slice(0, -1)}-`)
  expect(JSON.stringify(installation.log)).not.toContain(key.slice(13, 60))
  const keys = await tenancy.listApiKeys({ tenant: 'acme', limit: 1000 })
  const entries = await tenancy.audit.list({ tenant: 'acme', limit: 1000 })
  expect(JSON.stringify([keys, entries])).not.toContain(key.slice(13, 60))
})
