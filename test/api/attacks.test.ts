import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

// What somebody tried to get from the management API, and must not get.

let api: ApiApp
beforeAll(async () => {
  api = await createApiApp()
})
afterAll(() => api.close())

const make = async (owner: Caller, slug: string): Promise<{ readonly id: string }> =>
  (await api.call('POST /tenants', { as: owner, body: { name: slug, slug } })).json
const addressOf = async (user: Caller) => (await api.call('GET /me', { as: user })).json.email as string
const roleId = async (owner: Caller, tenant: string, name: string): Promise<string> =>
  (await api.call(`GET /tenants/${tenant}/roles`, { as: owner })).json.items.find(
    (role: { readonly name: string }) => role.name === name,
  ).id

test('A role of the definition is read-only for the platform by its id as by its name', async () => {
  const [boss, owner] = [await api.createAdministrator(), await api.createUser()]
  const tenant = await make(owner, 'by-id')
  for (const role of ['Member', await roleId(owner, tenant.id, 'Member')]) {
    const path = `/platform/roles/${role}`
    const answers = [
      await api.call(`PUT ${path}/permissions/tenant:delete`, { as: boss }),
      await api.call(`PATCH ${path}`, { as: boss, body: { description: 'x' } }),
      await api.call(`POST ${path}/deactivate`, { as: boss }),
      await api.call(`DELETE ${path}`, { as: boss }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([409, 409, 409, 409])
  }
})

test('A former slug is not squeezed out by renaming on and on', async () => {
  const owner = await api.createUser()
  const tenant = await make(owner, 'bank')
  const statuses: number[] = []
  for (let index = 0; index < 11; index += 1) {
    const renamed = await api.call(`PUT /tenants/${tenant.id}/slug`, { as: owner, body: { slug: `bank-${index}` } })
    statuses.push(renamed.status)
  }
  expect(statuses).toEqual([...Array.from({ length: 10 }, () => 200), 409])
  const thief = await api.createUser()
  expect(await api.call('POST /tenants', { as: thief, body: { name: 'Bank', slug: 'bank' } })).toMatchObject({
    status: 409,
    json: { code: 'TENANCY_TENANT_SLUG_TAKEN' },
  })
  expect((await api.call('GET /tenants/bank', { as: owner })).json.id).toBe(tenant.id)
})

test('A member who holds nothing, and is over their own limit, takes nothing from the tenant', async () => {
  const own = await createApiApp({ changesPerUser: 5, changesPerTenant: 30 })
  try {
    const owner = await own.createUser()
    const tenant = await own.createTenant(owner)
    const nobody = await own.join(tenant, [])
    for (let index = 0; index < 60; index += 1) {
      await own.call(`POST /tenants/${tenant.id}/ownership-offer/decline`, { as: nobody })
    }
    const made = await own.call(`POST /tenants/${tenant.id}/roles`, { as: owner, body: { name: 'Innocent' } })
    expect(made.status).toBe(201)
  } finally {
    await own.close()
  }
})

test('Who gives the ownership away does not keep it by another role, nor by its id', async () => {
  const owner = await api.createUser()
  const tenant = await make(owner, 'keeper')
  const { id: tenantId } = tenant
  const next = await api.createUser()
  await api.tenancy.addMember({ tenant: tenantId, user: next.id })
  const ownerRole = await roleId(owner, tenantId, 'Owner')
  const { json: adviser } = await api.call(`POST /tenants/${tenantId}/roles`, { as: owner, body: { name: 'Adviser' } })
  await api.call(`PUT /tenants/${tenantId}/roles/${adviser.id}/includes/${ownerRole}`, { as: owner })
  for (const keep of ['Owner', ownerRole, 'Adviser', adviser.id]) {
    const body = { to: next.id, keep }
    expect((await api.call(`POST /tenants/${tenantId}/ownership-offer`, { as: owner, body })).status).toBe(400)
  }
  // A role that comes to include Owner later.
  await api.call(`DELETE /tenants/${tenantId}/roles/${adviser.id}/includes/${ownerRole}`, { as: owner })
  await api.call(`POST /tenants/${tenantId}/ownership-offer`, { as: owner, body: { to: next.id, keep: 'Adviser' } })
  await api.call(`PUT /tenants/${tenantId}/roles/${adviser.id}/includes/${ownerRole}`, { as: owner })
  expect((await api.call(`POST /tenants/${tenantId}/ownership-offer/accept`, { as: next })).status).toBe(400)
})

test('A built-in role that is deleted while members get it is no deadlock for anybody', async () => {
  const [boss, owner] = [await api.createAdministrator(), await api.createUser()]
  const [one, two] = [await make(owner, 'dead-one'), await make(owner, 'dead-two')]
  for (let round = 0; round < 6; round += 1) {
    const role = `R${round}`
    const users = await Promise.all([1, 2, 3, 4].map(() => api.createUser()))
    await api.call('POST /platform/roles', { as: boss, body: { name: role } })
    for (const user of users) await api.tenancy.addMember({ tenant: one.id, user: user.id, roles: [role] })
    const [deleted, ...added] = await Promise.all([
      api.call(`DELETE /platform/roles/${role}`, { as: boss }).then(({ status }) => status),
      ...users.map((user) =>
        api.tenancy.addMember({ tenant: two.id, user: user.id, roles: [role] }).then(
          () => 'added',
          (error: { readonly code: string }) => error.code,
        ),
      ),
    ])
    expect(deleted).toBe(204)
    for (const outcome of added) expect(['added', 'TENANCY_ACCESS_ROLE_NOT_FOUND']).toContain(outcome)
  }
})

test('Of an erased user no address is left in invitations', async () => {
  const [owner, guest] = [await api.createUser(), await api.createUser()]
  const tenant = await make(owner, 'erased')
  const body = { email: await addressOf(guest), roles: [] }
  const { json } = await api.call(`POST /tenants/${tenant.id}/invitations`, { as: owner, body })
  await api.call('POST /invitations/accept', { as: guest, body: { token: json.token } })
  await api.tenancy.deleteUser({ user: guest.id })
  expect((await api.call(`GET /tenants/${tenant.id}/invitations`, { as: owner })).json.items).toEqual([])
})

test('A key of one tenant answers nothing for another that has its former slug', async () => {
  const user = await api.createUser()
  const first = await make(user, 'idem')
  const request = { as: user, body: { name: 'Audit' }, headers: { 'idempotency-key': 'same' } }
  const one = await api.call('POST /tenants/idem/roles', request)
  await api.call(`PUT /tenants/${first.id}/slug`, { as: user, body: { slug: 'idem-2' } })
  await api.tenancy.releaseSlug({ slug: 'idem' })
  await make(user, 'idem')
  const two = await api.call('POST /tenants/idem/roles', request)
  expect(one.status).toBe(201)
  expect(two.json.id).not.toBe(one.json.id)
})

test('A removed member does not come back by an invitation from before', async () => {
  const [owner, guest] = [await api.createUser(), await api.createUser()]
  const tenant = await make(owner, 'rejoin')
  const body = { email: await addressOf(guest), roles: ['Admin'] }
  const { json } = await api.call(`POST /tenants/${tenant.id}/invitations`, { as: owner, body })
  await api.tenancy.addMember({ tenant: tenant.id, user: guest.id, roles: ['Member'] })
  await api.call(`DELETE /tenants/${tenant.id}/members/${guest.id}`, { as: owner })
  expect((await api.call('POST /invitations/accept', { as: guest, body: { token: json.token } })).status).toBe(404)
})

test('An administrator of the platform does not disable themselves', async () => {
  const boss = await api.createAdministrator()
  const answer = await api.call(`POST /platform/users/${boss.id}/disable`, { as: boss })
  expect(answer).toMatchObject({ status: 409, json: { code: 'TENANCY_PLATFORM_LAST_ADMINISTRATOR' } })
})
