import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type ApiAnswer, type Caller, createApiApp } from './api-app.js'

// What is a caller's own: the profile in a tenant, invitations of the address, sessions.

let api: ApiApp
let owner: Caller
let tenant: Tenant

beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
})
afterAll(() => api.close())

const emailOf = async ({ id }: Caller) => (await api.tenancy.getUser(id)).email
async function invite(caller: Caller, roles: readonly string[] = ['Member']) {
  return api.tenancy.createInvitation({ tenant: tenant.id, email: await emailOf(caller), roles, actor: owner.id })
}

describe('the own profile', () => {
  test('A member without any permission reads and changes it, and nothing that decides something', async () => {
    const member = await api.join(tenant, [])
    const target = `/tenants/${tenant.id}/members/me`
    const { json, headers } = await api.call(`GET ${target}`, { as: member })
    expect(json).toMatchObject({ userId: member.id, roles: [], position: null })
    const tag = { 'if-match': String(headers['etag']) }
    const change = { position: 'Clerk', department: 'Sales' }
    const changed = await api.call(`PATCH ${target}`, { as: member, body: change, headers: tag })
    expect(changed).toMatchObject({ status: 200, json: change })
    expect((await api.call(`PATCH ${target}`, { as: member, body: change, headers: tag })).status).toBe(412)
    const denied = await api.call(`PATCH ${target}`, { as: member, body: { attributes: { limit: 1e9 } } })
    expect(denied).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } })
    for (const body of [{ roles: ['Owner'] }, { isActive: true }, { user: owner.id }]) {
      expect((await api.call(`PATCH ${target}`, { as: member, body })).status).toBe(400)
    }
  })
})

describe('invitations of the own address', () => {
  test('They are listed for its proven owner alone, page by page, and accepted without a token', async () => {
    const [caller, other] = [await api.createUser(), await api.createUser()]
    const { invitation } = await invite(caller)
    const second = await api.createTenant(owner)
    await api.tenancy.createInvitation({ tenant: second.id, email: await emailOf(caller), roles: [] })
    const page = await api.call('GET /me/invitations?limit=1', { as: caller })
    expect(page.json).toMatchObject({
      items: [{ id: invitation.id, tenantId: tenant.id, slug: tenant.slug, roles: ['Member'] }],
      next: invitation.id,
    })
    const rest = await api.call(`GET /me/invitations?after=${page.json.next}`, { as: caller })
    expect(rest.json).toMatchObject({ items: [{ tenantId: second.id }], next: null })
    expect((await api.call('GET /me/invitations', { as: other })).json.items).toEqual([])
    const accept = (as: Caller) => api.call(`POST /me/invitations/${invitation.id}/accept`, { as })
    expect(await accept(other)).toMatchObject({ status: 404, json: { code: 'TENANCY_INVITATION_INVALID' } })
    expect(await accept(caller)).toMatchObject({ status: 200, json: { tenantId: tenant.id } })
    expect((await accept(caller)).status).toBe(404)
    expect((await api.tenancy.getMember({ tenant: tenant.id, user: caller.id })).roles).toEqual(['Member'])
  })

  test('A declined one is over, for its token too, and the tenant may invite again', async () => {
    const [caller, other] = [await api.createUser(), await api.createUser()]
    const { invitation, token } = await invite(caller)
    const decline = (as: Caller) => api.call(`POST /me/invitations/${invitation.id}/decline`, { as })
    expect((await decline(other)).status).toBe(404)
    expect((await decline(caller)).status).toBe(204)
    expect((await decline(caller)).status).toBe(404)
    await expect(api.tenancy.acceptInvitation({ token, user: caller.id })).rejects.toMatchObject({
      code: 'TENANCY_INVITATION_INVALID',
    })
    const entries = await api.tenancy.audit.list({ tenant: tenant.id, action: 'invitation.decline' })
    expect(JSON.stringify(entries)).toContain(caller.id)
    expect(JSON.stringify(entries)).not.toContain(await emailOf(caller))
    const again = await invite(caller)
    expect((await api.call(`POST /me/invitations/${again.invitation.id}/accept`, { as: caller })).status).toBe(200)
  })

  test('Accepted and declined at once, exactly one of the two happens', async () => {
    for (let round = 0; round < 20; round += 1) {
      const caller = await api.createUser()
      const { invitation } = await invite(caller)
      const send = (what: string) => api.call(`POST /me/invitations/${invitation.id}/${what}`, { as: caller })
      const [accepted, declined]: ApiAnswer[] = await Promise.all([send('accept'), send('decline')])
      expect([accepted?.status === 200, declined?.status === 204].filter(Boolean)).toHaveLength(1)
      const memberships = await api.tenancy.listMemberships(caller.id)
      expect(memberships).toHaveLength(accepted?.status === 200 ? 1 : 0)
    }
  })

  test('Of a suspended tenant none is shown or accepted', async () => {
    const caller = await api.createUser()
    const mine = await api.createTenant(owner)
    const { invitation } = await api.tenancy.createInvitation({
      ...{ tenant: mine.id, email: await emailOf(caller), roles: [] },
    })
    await api.tenancy.suspendTenant({ tenant: mine.id })
    expect((await api.call('GET /me/invitations', { as: caller })).json.items).toEqual([])
    expect((await api.call(`POST /me/invitations/${invitation.id}/accept`, { as: caller })).status).toBe(404)
  })
})

describe('sessions', () => {
  test('A token that belongs to no session ends no others, as it cannot tell which one stays', async () => {
    const caller = await api.createUser()
    expect((await api.call('GET /me/sessions', { as: caller })).json).toEqual({ items: [], next: null })
    const answer = await api.call('DELETE /me/sessions', { as: caller })
    expect(answer).toMatchObject({ status: 409, json: { code: 'TENANCY_SESSION_NONE' } })
    const one = await api.call(`DELETE /me/sessions/${caller.id}`, { as: caller })
    expect(one).toMatchObject({ status: 404, json: { code: 'TENANCY_SESSION_NOT_FOUND' } })
  })
})
