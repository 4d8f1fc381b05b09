import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createApi } from '../../src/api/index.js'
import type { Tenancy, Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

// GET /me/permissions is answered from memory. Whatever it says changes in one process, and is asked of another.

let api: ApiApp
/** Another process, which answers. */
let other: Tenancy
let app: FastifyInstance
let owner: Caller
let tenant: Tenant
let member: Caller

beforeAll(async () => {
  api = await createApiApp()
  other = await api.openAnother({})
  app = Fastify()
  await app.register(tenancyPlugin, { tenancy: other, api: createApi({ tenancy: other, platform: true }) })
  await app.ready()
})
afterAll(async () => {
  await app?.close()
  await other?.close()
  await api?.close()
})
beforeEach(async () => {
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
  member = await api.join(tenant, ['Member'])
})

interface Answer {
  readonly status: number
  readonly json: {
    readonly code?: string
    readonly tenant: { readonly slug: string }
    readonly roles: readonly string[]
    readonly permissions: readonly string[]
  }
}
const ask = async (token = member.token, of?: string, method: 'GET' | 'HEAD' = 'GET'): Promise<Answer> => {
  const headers = { authorization: `Bearer ${token}`, ...(of === undefined ? {} : { 'x-tenant-id': of }) }
  const { statusCode, payload } = await app.inject({ method, url: '/me/permissions', headers })
  return { status: statusCode, json: payload === '' ? undefined : JSON.parse(payload) }
}
/** Whether the answer is one that is asked for, as it was not before the change, when it was in memory. */
const follows = async (change: () => Promise<unknown>, is: (answer: Answer) => unknown): Promise<boolean> => {
  expect([(await ask()).status, (await ask()).status]).toEqual([200, 200])
  expect(is(await ask())).toBeFalsy()
  await change()
  await expect.poll(async () => is(await ask()), { timeout: 10_000 }).toBeTruthy()
  return true
}

test('It says what the member may after a change of roles, of a role, of overrides and of a permission', async () => {
  expect(
    await follows(
      () => api.tenancy.access.setMemberRoles({ tenant: tenant.id, user: member.id, roles: ['Admin'] }),
      ({ json }) => json.roles.includes('Admin') && json.permissions.includes('roles:read'),
    ),
  ).toBe(true)
  expect(
    await follows(
      () =>
        api.tenancy.access.setOverride({
          ...{ tenant: tenant.id, user: member.id, permission: 'roles:read', effect: 'deny' },
        }),
      ({ json }) => !json.permissions.includes('roles:read'),
    ),
  ).toBe(true)
  await api.tenancy.access.createPermission({ name: 'kept:it' })
  await api.tenancy.access.createRole({ tenant: tenant.id, name: 'Own' })
  await api.tenancy.access.assignRole({ tenant: tenant.id, user: member.id, role: 'Own' })
  expect(
    await follows(
      () => api.tenancy.access.grantPermission({ tenant: tenant.id, role: 'Own', permission: 'kept:it' }),
      ({ json }) => json.permissions.includes('kept:it'),
    ),
  ).toBe(true)
  expect(
    await follows(
      () => api.tenancy.access.setPermissionActive({ permission: 'kept:it', isActive: false }),
      ({ json }) => !json.permissions.includes('kept:it'),
    ),
  ).toBe(true)
})

test('A right that ends is not in it any more, without a change that says so', async () => {
  const override = { tenant: tenant.id, user: member.id, permission: 'audit:read', effect: 'allow' } as const
  await api.tenancy.access.setOverride({ ...override, expiresAt: new Date(Date.now() + 2000) })
  await expect.poll(async () => (await ask()).json.permissions.includes('audit:read')).toBe(true)
  await expect.poll(async () => (await ask()).json.permissions.includes('audit:read'), { timeout: 10_000 }).toBe(false)
})

test('It has the tenant’s slug after it was renamed', async () => {
  const slug = `${tenant.slug}-x`
  expect(
    await follows(
      () => api.tenancy.renameTenant({ tenant: tenant.id, slug }),
      ({ json }) => json.tenant.slug === slug,
    ),
  ).toBe(true)
})

test.each([
  ['the tenant is suspended', () => api.tenancy.suspendTenant({ tenant: tenant.id }), 403],
  ['the tenant is deleted', () => api.tenancy.deleteTenant({ tenant: tenant.id }), 403],
  ['the member is removed', () => api.tenancy.removeMember({ tenant: tenant.id, user: member.id }), 403],
  [
    'the member is inactive',
    () => api.tenancy.setMemberActive({ tenant: tenant.id, user: member.id, isActive: false }),
    403,
  ],
  ['the user is disabled', () => api.tenancy.disableUser({ user: member.id }), 401],
  ['the user is logged out', () => api.tenancy.revokeUserTokens({ user: member.id }), 401],
] as const)('It is refused after %s', async (_, change, status) => {
  expect(await follows(change, (answer) => answer.status === status)).toBe(true)
})

test('Members, their tenants and administrators who act as them get answers of their own, also when they ask at once', async () => {
  const second = await api.createTenant(owner)
  await api.tenancy.addMember({ tenant: second.id, user: member.id, roles: ['Admin'] })
  const administrator = await api.createAdministrator()
  const begun = await api.call(`POST /platform/tenants/${tenant.id}/impersonations`, {
    ...{ as: administrator, body: { user: owner.id, reason: 'x', minutes: 5 } },
  })
  const asked = [
    { token: member.token, of: tenant.id, roles: 1, slug: tenant.slug },
    { token: member.token, of: second.slug, roles: 2, slug: second.slug },
    { token: owner.token, of: second.id, roles: 3, slug: second.slug },
    { token: begun.json.token as string, of: undefined, roles: 3, slug: tenant.slug },
  ]
  for (let round = 0; round < 20; round += 1) {
    const answers = await Promise.all(asked.map(({ token, of }) => ask(token, of)))
    // A role has those in it that it includes.
    const shown = answers.map(({ json }) => [json.roles.length, json.tenant.slug])
    expect(shown).toEqual(asked.map(({ roles, slug }) => [roles, slug]))
  }
  const ended = `/platform/tenants/${tenant.id}/impersonations/${begun.json.impersonation.id}`
  await api.call(`DELETE ${ended}`, { as: administrator })
  expect(await ask(begun.json.token)).toMatchObject({ status: 401 })
  expect((await ask(owner.token, tenant.id)).status).toBe(200)
})

test('HEAD has no body, and leaves the one for GET', async () => {
  expect(await ask(member.token, undefined, 'HEAD')).toEqual({ status: 200, json: undefined })
  expect((await ask()).json.roles).toEqual(['Member'])
  expect(await ask(member.token, undefined, 'HEAD')).toEqual({ status: 200, json: undefined })
})
