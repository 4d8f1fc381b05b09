import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let owner: Caller
let admin: Caller
let tenant: Tenant
let members: string

beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
  admin = await api.join(tenant, ['Admin'])
  members = `/tenants/${tenant.id}/members`
})
afterAll(() => api.close())

const builtIn = async (name: string) => (await api.tenancy.access.getRole({ tenant: null, role: name })).id
const denied = (code: string, status = 403) => ({ status, json: { code } })
const may = async (user: Caller, permission: string) =>
  (await api.tenancy.access.explain({ tenant: tenant.id, user: user.id, permission })).allowed

describe('roles of a member', () => {
  test('A role is assigned and taken away, and both are in the audit log by their caller', async () => {
    const user = await api.join(tenant, [])
    const target = `${members}/${user.id}/roles/${await builtIn('Member')}`
    for (const _ of [1, 2]) expect((await api.call(`PUT ${target}`, { as: admin })).status).toBe(204)
    expect(await may(user, 'members:read')).toBe(true)
    for (const _ of [1, 2]) expect((await api.call(`DELETE ${target}`, { as: admin })).status).toBe(204)
    expect(await may(user, 'members:read')).toBe(false)
    const entries = await api.tenancy.audit.list({ tenant: tenant.id })
    expect(entries.slice(-2)).toMatchObject([
      { action: 'member.role.assign', actorId: admin.id, subject: `user:${user.id}` },
      { action: 'member.role.unassign', actorId: admin.id, subject: `user:${user.id}` },
    ])
  })

  test('An Admin makes nobody an Owner, themselves included, and takes nothing from one', async () => {
    const role = await builtIn('Owner')
    const give = await api.call(`PUT ${members}/${admin.id}/roles/${role}`, { as: admin })
    expect(give).toMatchObject(denied('TENANCY_ACCESS_GRANT_REFUSED'))
    const take = await api.call(`DELETE ${members}/${owner.id}/roles/${role}`, { as: admin })
    expect(take).toMatchObject(denied('TENANCY_ACCESS_CHANGE_REFUSED'))
  })

  test('The last Owner keeps the role', async () => {
    const target = `DELETE ${members}/${owner.id}/roles/${await builtIn('Owner')}`
    expect(await api.call(target, { as: owner })).toMatchObject(denied('TENANCY_MEMBER_LAST_OWNER', 409))
  })
})

describe('overrides of a member', () => {
  test('A permission is allowed, denied and left to the roles again', async () => {
    const user = await api.join(tenant, ['Member'])
    const list = () => api.call(`GET ${members}/${user.id}/overrides`, { as: owner })
    expect((await list()).json).toEqual({ items: [] })
    const target = `${members}/${user.id}/overrides/tenant:delete`
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString()
    const allowed = await api.call(`PUT ${target}`, { as: owner, body: { effect: 'allow', expiresAt } })
    expect(allowed.status).toBe(204)
    expect((await list()).json.items).toEqual([{ permission: 'tenant:delete', effect: 'allow', expiresAt }])
    expect(await may(user, 'tenant:delete')).toBe(true)
    await api.call(`PUT ${target}`, { as: owner, body: { effect: 'deny' } })
    expect((await list()).json.items).toEqual([{ permission: 'tenant:delete', effect: 'deny', expiresAt: null }])
    expect((await api.call(`DELETE ${target}`, { as: owner })).status).toBe(204)
    expect((await list()).json.items).toEqual([])
  })

  test('Nobody allows, or lifts a deny of, what they do not hold', async () => {
    const user = await api.join(tenant, ['Member'])
    const target = `${members}/${user.id}/overrides/tenant:delete`
    const allow = await api.call(`PUT ${target}`, { as: admin, body: { effect: 'allow' } })
    expect(allow).toMatchObject(denied('TENANCY_ACCESS_GRANT_REFUSED'))
    await api.call(`PUT ${target}`, { as: owner, body: { effect: 'deny' } })
    expect(await api.call(`DELETE ${target}`, { as: admin })).toMatchObject(denied('TENANCY_ACCESS_GRANT_REFUSED'))
  })

  test('Another effect, a moment in the past or in no form of ours, and an unknown permission are refused', async () => {
    const set = (permission: string, body: unknown) =>
      api.call(`PUT ${members}/${admin.id}/overrides/${permission}`, { as: owner, body })
    for (const body of [
      ...[{}, { effect: 'maybe' }, { effect: 'deny', expiresAt: '2001-01-01T00:00:00Z' }],
      ...[
        { effect: 'deny', expiresAt: 'tomorrow' },
        { effect: 'deny', expiresAt: 4_000_000_000_000 },
      ],
    ]) {
      expect((await set('tenant:read', body)).status, JSON.stringify(body)).toBe(400)
    }
    const unknown = await set('no:such', { effect: 'deny' })
    expect(unknown).toMatchObject(denied('TENANCY_ACCESS_PERMISSION_NOT_FOUND', 404))
  })
})

test('What a member may do is listed, with the reason when none of it counts now', async () => {
  const user = await api.join(tenant, ['Member'])
  const read = () => api.call(`GET ${members}/${user.id}/permissions`, { as: admin })
  const { json } = await read()
  expect(json).toMatchObject({ roles: ['Member'], barrier: null })
  expect(json.permissions).toContain('members:read')
  await api.tenancy.setMemberActive({ tenant: tenant.id, user: user.id, isActive: false })
  expect((await read()).json).toMatchObject({ barrier: 'member-inactive' })
  const nobody = await api.createUser()
  expect(await api.call(`GET ${members}/${nobody.id}/permissions`, { as: admin })).toMatchObject(
    denied('TENANCY_MEMBER_NOT_FOUND', 404),
  )
})

test('One permission is read by its name', async () => {
  const read = (name: string) => api.call(`GET /tenants/${tenant.id}/permissions/${name}`, { as: admin })
  expect(await read('members:read')).toMatchObject({ status: 200, json: { name: 'members:read', isActive: true } })
  expect(await read('members:rea')).toMatchObject(denied('TENANCY_ACCESS_PERMISSION_NOT_FOUND', 404))
  const administrator = await api.createAdministrator()
  const asPlatform = await api.call('GET /platform/permissions/members:read', { as: administrator })
  expect(asPlatform.json).toMatchObject({ name: 'members:read', isSystem: true })
  expect((await api.call('GET /platform/roles/Admin', { as: administrator })).json).toMatchObject({
    ...{ name: 'Admin', isSystem: true, includes: ['Member'] },
  })
  expect((await api.call('GET /platform/roles/Nobody', { as: administrator })).status).toBe(404)
})
