import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { redisUrl } from '../../support/redis/redis.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

let installation: Installation
let single: User
let several: User
const apps: FastifyInstance[] = []

beforeAll(async () => {
  const redis = redisUrl()
  installation = createInstallation({
    TENANT_BASE_DOMAIN: 'app.example',
    ...(redis === undefined ? {} : { TENANT_REDIS_URL: redis }),
  })
  const tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  single = await tenancy.createUser({ email: 'single@example.com', emailVerified: true })
  several = await tenancy.createUser({ email: 'several@example.com', emailVerified: true })
  for (const slug of ['acme', 'globex']) await tenancy.createTenant({ name: slug, slug, owner: owner.id })
  await tenancy.addMember({ tenant: 'acme', user: single.id })
  await tenancy.addMember({ tenant: 'acme', user: several.id })
  await tenancy.addMember({ tenant: 'globex', user: several.id })
  await tenancy.setDefaultTenant({ tenant: 'globex', user: several.id })
  await tenancy.close()
})
afterAll(async () => {
  for (const app of apps) await app.close()
  await installation.drop()
})

async function open(options: Parameters<Installation['open']>[0]) {
  const tenancy = await installation.open(options)
  const app = await createNotesApp(tenancy)
  apps.push(app)
  const ask = async (user: User, headers: Record<string, string> = {}, tenant?: string) => {
    const { token } = await tenancy.issueAccessToken({ user: user.id, tenant })
    const response = await app.inject({ url: '/me/tenant', headers: { ...bearer(token), ...headers } })
    return response.statusCode === 200 ? response.json<{ slug: string }>().slug : outcome(response)
  }
  return { tenancy, app, ask }
}
type Ask = (user: User, headers?: Record<string, string>, tenant?: string) => Promise<string>

async function expectNamed(ask: Ask): Promise<void> {
  expect(await ask(several)).toBe('403 TENANCY_TENANT_REQUIRED')
  expect(await ask(single)).toBe('acme')
  expect(await ask(several, { 'x-tenant-id': 'acme' })).toBe('acme')
  expect(await ask(several, { host: 'globex.app.example' })).toBe('globex')
  expect(await ask(several, {}, 'acme')).toBe('acme')
}

describe('requireNamedTenant', () => {
  test('requireNamedTenant is off by default, and the default tenant is used', async () => {
    const { tenancy, ask } = await open({})
    expect(tenancy.config.requireNamedTenant).toBe(false)
    expect([await ask(several), await ask(single)]).toEqual(['globex', 'acme'])
  })

  test('with requireNamedTenant as a setting or option, a member of several tenants must name one, and a member of one need not', async () => {
    await expectNamed((await open({ env: { TENANT_REQUIRE_NAMED_TENANT: 'true' } })).ask)
    await expectNamed((await open({ requireNamedTenant: true })).ask)
    const { ask } = await open({ requireNamedTenant: false, env: { TENANT_REQUIRE_NAMED_TENANT: 'true' } })
    expect(await ask(several)).toBe('globex')
  })

  test('the error of requireNamedTenant says how to name a tenant, and does not suggest choosing a default', async () => {
    const { tenancy, app } = await open({ requireNamedTenant: true })
    const { token } = await tenancy.issueAccessToken({ user: several.id })
    const problem = (await app.inject({ url: '/me/tenant', headers: bearer(token) })).json<{ detail: string }>()
    expect(problem.detail).toContain('send the header X-Tenant-Id')
    expect(problem.detail).not.toContain('default')
  })

  test('requireNamedTenant applies when a user gets a second membership, and no longer when they lose it', async () => {
    const { tenancy, ask } = await open({ requireNamedTenant: true })
    expect(await ask(single)).toBe('acme')
    await tenancy.addMember({ tenant: 'globex', user: single.id })
    expect(await ask(single)).toBe('403 TENANCY_TENANT_REQUIRED')
    await tenancy.setDefaultTenant({ tenant: 'globex', user: single.id })
    expect(await ask(single)).toBe('403 TENANCY_TENANT_REQUIRED')
    await tenancy.removeMember({ tenant: 'globex', user: single.id })
    expect(await ask(single)).toBe('acme')
  })

  test('a deleted tenant does not count for requireNamedTenant until it is restored', async () => {
    const { tenancy, ask } = await open({ requireNamedTenant: true })
    const leaver = await tenancy.createUser({ email: 'leaver@example.com', emailVerified: true })
    await tenancy.createTenant({ name: 'Gone', slug: 'gone', owner: single.id })
    await tenancy.addMember({ tenant: 'acme', user: leaver.id })
    await tenancy.addMember({ tenant: 'gone', user: leaver.id })
    expect(await ask(leaver)).toBe('403 TENANCY_TENANT_REQUIRED')
    await tenancy.deleteTenant({ tenant: 'gone' })
    expect(await ask(leaver)).toBe('acme')
    await tenancy.undeleteTenant({ tenant: 'gone' })
    expect(await ask(leaver)).toBe('403 TENANCY_TENANT_REQUIRED')
  })

  test('a value of requireNamedTenant that is neither yes nor no fails the start', async () => {
    await expect(installation.open({ env: { TENANT_REQUIRE_NAMED_TENANT: 'perhaps' } })).rejects.toMatchObject({
      code: 'TENANCY_CONFIG_INVALID',
    })
  })
})
