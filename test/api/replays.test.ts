import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiApp, createApiApp } from './api-app.js'

let api: ApiApp
beforeAll(async () => {
  api = await createApiApp()
})
afterAll(() => api.close())

test('A replay demands the permission again', async () => {
  const owner = await api.createUser()
  const tenant = await api.createTenant(owner)
  const admin = await api.join(tenant, ['Admin'])
  const invite = () =>
    api.call(`POST /tenants/${tenant.id}/invitations`, {
      ...{ as: admin, headers: { 'idempotency-key': 'once' }, body: { email: 'bob@example.com', roles: ['Member'] } },
    })
  expect((await invite()).status).toBe(201)
  const replay = await invite()
  expect([replay.status, replay.headers['idempotency-replayed']]).toEqual([201, 'true'])
  await api.tenancy.removeMember({ tenant: tenant.id, user: admin.id })
  const refused = await invite()
  expect([refused.status, refused.json.email]).toEqual([403, undefined])
})

test('The stored answer to an invitation goes when the invited user is erased', async () => {
  const owner = await api.createUser()
  const tenant = await api.createTenant(owner)
  const invited = await api.tenancy.createUser({ email: 'erased@example.com', name: 'E', emailVerified: true })
  const made = await api.call(`POST /tenants/${tenant.id}/invitations`, {
    ...{ as: owner, headers: { 'idempotency-key': 'once' }, body: { email: 'Erased@example.com', roles: ['Member'] } },
  })
  expect(made.status).toBe(201)
  const { catalog } = api.tenancy.accountsHost()
  const stored = async () =>
    (await catalog.query("select from idempotent_requests where body::text ilike '%erased@example.com%'", [])).rows
      .length
  expect(await stored()).toBe(1)
  await api.tenancy.deleteUser({ user: invited.id })
  expect(await stored()).toBe(0)
})
