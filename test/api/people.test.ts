import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InvitationToSend } from '../../src/api/index.js'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let owner: Caller
let tenant: Tenant
const members = (rest = '') => `/tenants/${tenant.id}/members${rest}`

beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
})
afterAll(() => api.close())

describe('members', () => {
  test('The list has a total, pages by cursor, and finds by role and text', async () => {
    const mine = await api.createTenant(owner)
    const ids = [owner.id]
    for (let index = 0; index < 4; index += 1) ids.push((await api.join(mine, ['Member'])).id)
    const seen: string[] = []
    for (let after = ''; ;) {
      const { json } = await api.call(`GET /tenants/${mine.id}/members?limit=2${after}`, { as: owner })
      expect(json.total).toBe(5)
      for (const { userId } of json.items) seen.push(userId as string)
      if (json.next === null) break
      after = `&after=${json.next}`
    }
    expect(seen).toEqual(ids.toSorted((a, b) => (a < b ? -1 : 1)))
    const owners = await api.call(`GET /tenants/${mine.id}/members?role=Owner`, { as: owner })
    expect(owners.json).toMatchObject({ total: 1, items: [{ userId: owner.id, roles: ['Owner'] }] })
    expect((await api.call(`GET /tenants/${mine.id}/members?search=%25`, { as: owner })).json.total).toBe(0)
    for (const query of ['limit=0', 'limit=201', 'limit=1&limit=2', 'after=x', 'status=gone']) {
      expect((await api.call(`GET /tenants/${mine.id}/members?${query}`, { as: owner })).status, query).toBe(400)
    }
  })

  test('A member is read, changed with If-Match, deactivated and removed', async () => {
    const user = await api.createUser()
    await api.tenancy.addMember({ tenant: tenant.id, user: user.id })
    const target = members(`/${user.id}`)
    const { headers, json } = await api.call(`GET ${target}`, { as: owner })
    expect(json).toMatchObject({ userId: user.id, roles: ['Member'], isActive: true })
    const change = (body: object) =>
      api.call(`PATCH ${target}`, { as: owner, body, headers: { 'if-match': String(headers['etag']) } })
    expect(await change({ position: 'Clerk', attributes: { desk: 4 } })).toMatchObject({
      status: 200,
      json: { position: 'Clerk', attributes: { desk: 4 } },
    })
    expect(await change({ position: 'Boss' })).toMatchObject({
      status: 412,
      json: { code: 'TENANCY_MEMBER_VERSION_CONFLICT' },
    })
    const inactive = await api.call(`PUT ${target}/active`, { as: owner, body: { isActive: false } })
    expect(inactive.json.isActive).toBe(false)
    expect((await api.call(`DELETE ${target}`, { as: owner })).status).toBe(204)
    expect(await api.call(`GET ${target}`, { as: owner })).toMatchObject({
      status: 404,
      json: { code: 'TENANCY_MEMBER_NOT_FOUND' },
    })
  })

  test('Nobody gives what they do not hold, and the last Owner neither leaves nor is demoted', async () => {
    const admin = await api.join(tenant, ['Admin'])
    const set = (as: Caller, user: string, roles: string[]) =>
      api.call(`PUT ${members(`/${user}/roles`)}`, { as, body: { roles } })
    expect(await set(admin, admin.id, ['Owner'])).toMatchObject({
      status: 403,
      json: { code: 'TENANCY_ACCESS_GRANT_REFUSED' },
    })
    expect((await set(admin, owner.id, ['Member'])).status).toBe(403)
    const demoted = await set(owner, owner.id, ['Member'])
    expect(demoted).toMatchObject({ status: 409, json: { code: 'TENANCY_MEMBER_LAST_OWNER' } })
    expect((await api.call(`POST /tenants/${tenant.id}/leave`, { as: owner })).json.code).toBe(
      'TENANCY_MEMBER_LAST_OWNER',
    )
    expect((await api.call(`POST /tenants/${tenant.id}/leave`, { as: admin })).status).toBe(204)
  })

  test('A user who is a member elsewhere answers as one that does not exist', async () => {
    const foreign = await api.createTenant(await api.createUser())
    const outsider = await api.join(foreign, ['Member'])
    const missing = '01a224b5-7d93-44f0-8676-471d5d0b21eb'
    const bodies = { GET: undefined, PATCH: { position: 'x' }, DELETE: undefined } as const
    for (const [method, body] of Object.entries(bodies)) {
      const send = (id: string) => api.call(`${method} ${members(`/${id}`)}`, { as: owner, body })
      const [foreignAnswer, missingAnswer] = [await send(outsider.id), await send(missing)]
      expect(foreignAnswer.status).toBe(404)
      expect(foreignAnswer.json.code).toBe(missingAnswer.json.code)
    }
  })
})

describe('invitations', () => {
  const invite = (body: object, headers: Record<string, string> = {}) =>
    api.call(`POST /tenants/${tenant.id}/invitations`, { as: owner, body, headers })
  const addressOf = async ({ id }: Caller) =>
    (await api.tenancy.listUsers({ limit: 1000 })).find((user) => user.id === id)?.email ?? ''

  test('An invited address joins once, with the roles of the invitation', async () => {
    const guest = await api.createUser()
    const email = await addressOf(guest)
    const { status, json } = await invite({ email, roles: ['Member'] })
    expect(status).toBe(201)
    expect(json).toMatchObject({ email, roles: ['Member'], state: 'open', token: expect.any(String) as string })
    const body = { token: json.token as string }
    const shown = await api.call('POST /invitations/preview', { body })
    expect(shown.json).toMatchObject({ tenantName: tenant.name })
    const wrong = await api.call('POST /invitations/accept', { as: await api.createUser(), body })
    expect(wrong).toMatchObject({ status: 404, json: { code: 'TENANCY_INVITATION_INVALID' } })
    const accepted = await api.call('POST /invitations/accept', { as: guest, body })
    expect(accepted).toMatchObject({ status: 200, json: { tenantId: tenant.id } })
    expect((await api.call('POST /invitations/accept', { as: guest, body })).status).toBe(404)
    expect((await api.call(`GET ${members(`/${guest.id}`)}`, { as: owner })).json.roles).toEqual(['Member'])
  })

  test('A replay has the invitation without its token, and an unknown address gets the same answer as a known one', async () => {
    const headers = { 'idempotency-key': 'invite-1' }
    const body = { email: 'nobody@example.com', roles: ['Member'] }
    const first = await invite(body, headers)
    const again = await invite(body, headers)
    expect(again).toMatchObject({ status: 201, json: { id: first.json.id, token: null } })
    const known = await invite({ ...body, email: await addressOf(await api.createUser()) })
    expect(Object.keys(known.json)).toEqual(Object.keys(first.json))
  })

  test('Invitations are listed, sent again and withdrawn; those of another tenant answer as missing ones', async () => {
    const { json: made } = await invite({ email: 'later@example.com', roles: [] })
    const sent = await api.call(`POST /tenants/${tenant.id}/invitations/${made.id}/send`, { as: owner, body: {} })
    expect(sent.json).toMatchObject({ id: made.id, sends: 2 })
    expect(sent.json.token).not.toBe(made.token)
    const { json: page } = await api.call(`GET /tenants/${tenant.id}/invitations?limit=1`, { as: owner })
    expect(page.items).toHaveLength(1)
    expect(page.next).toBe(page.items[0].id)
    const other = await api.createUser()
    const foreign = await api.createTenant(other)
    const target = (id: string) => `DELETE /tenants/${foreign.id}/invitations/${id}`
    const answers = [
      await api.call(target(made.id), { as: other }),
      await api.call(target('01a224b5-7d93-44f0-8676-471d5d0b21eb'), { as: other }),
    ]
    for (const answer of answers)
      expect(answer).toMatchObject({ status: 404, json: { code: 'TENANCY_INVITATION_NOT_FOUND' } })
    expect((await api.call(`DELETE /tenants/${tenant.id}/invitations/${made.id}`, { as: owner })).status).toBe(204)
  })

  test('Nobody invites with more than they hold', async () => {
    const admin = await api.join(tenant, ['Admin'])
    const answer = await api.call(`POST /tenants/${tenant.id}/invitations`, {
      as: admin,
      body: { email: 'boss@example.com', roles: ['Owner'] },
    })
    expect(answer).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_GRANT_REFUSED' } })
  })

  test('With a sender the token goes to the address and not into the answer', async () => {
    const sent: InvitationToSend[] = []
    const own = await createApiApp(undefined, { sendInvitation: async (one) => void sent.push(one) })
    try {
      const boss = await own.createUser()
      const firm = await own.createTenant(boss)
      const { json } = await own.call(`POST /tenants/${firm.id}/invitations`, {
        as: boss,
        body: { email: 'Guest@Example.com', roles: ['Member'] },
      })
      expect(json.token).toBeNull()
      expect(sent).toMatchObject([{ token: expect.stringMatching(/^[\w-]{43}$/) as string, tenant: { id: firm.id } }])
      expect(sent[0]?.invitedBy.id).toBe(boss.id)
    } finally {
      await own.close()
    }
  })
})

test('A sender that fails is a 503 with a code, and the invitation can be sent again', async () => {
  let isDown = true
  const own = await createApiApp(undefined, {
    async sendInvitation() {
      if (isDown) throw new Error('the mail server is away')
    },
  })
  try {
    const boss = await own.createUser()
    const firm = await own.createTenant(boss)
    const path = `/tenants/${firm.id}/invitations`
    const failed = await own.call(`POST ${path}`, { as: boss, body: { email: 'g@example.com', roles: [] } })
    expect(failed).toMatchObject({ status: 503, json: { code: 'TENANCY_INVITATION_NOT_SENT' } })
    expect(JSON.stringify(failed.json)).not.toContain('mail server')
    isDown = false
    const { json } = await own.call(`GET ${path}`, { as: boss })
    const again = await own.call(`POST ${path}/${json.items[0].id}/send`, { as: boss })
    expect(again).toMatchObject({ status: 200, json: { sends: 2, token: null } })
  } finally {
    await own.close()
  }
})

describe('ownership', () => {
  test('An offer is accepted by the other one, who then is the Owner', async () => {
    const giver = await api.createUser()
    const firm = await api.createTenant(giver)
    const taker = await api.join(firm, ['Member'])
    const path = `/tenants/${firm.id}/ownership-offer`
    expect((await api.call(`GET ${path}`, { as: giver })).status).toBe(404)
    const offered = await api.call(`POST ${path}`, { as: giver, body: { to: taker.id, keep: 'Member' } })
    expect(offered).toMatchObject({ status: 201, json: { from: giver.id, to: taker.id, keep: 'Member' } })
    expect((await api.call(`POST ${path}`, { as: giver, body: { to: taker.id } })).status).toBe(409)
    expect((await api.call(`POST ${path}/accept`, { as: giver })).status).toBe(404)
    expect((await api.call(`POST ${path}/accept`, { as: taker })).status).toBe(204)
    const roles = async (who: Caller) =>
      (await api.call(`GET /tenants/${firm.id}/members/${who.id}`, { as: taker })).json.roles
    expect([await roles(taker), await roles(giver)]).toEqual([['Member', 'Owner'], ['Member']])
  })

  test('A Member cannot offer what they do not own, and both sides can end an offer', async () => {
    const giver = await api.createUser()
    const firm = await api.createTenant(giver)
    const taker = await api.join(firm, ['Member'])
    const path = `/tenants/${firm.id}/ownership-offer`
    expect((await api.call(`POST ${path}`, { as: taker, body: { to: giver.id } })).status).toBe(403)
    await api.call(`POST ${path}`, { as: giver, body: { to: taker.id } })
    expect((await api.call(`DELETE ${path}`, { as: taker })).status).toBe(403)
    expect((await api.call(`POST ${path}/decline`, { as: taker })).status).toBe(204)
    await api.call(`POST ${path}`, { as: giver, body: { to: taker.id } })
    expect((await api.call(`DELETE ${path}`, { as: giver })).status).toBe(204)
    expect((await api.call(`POST ${path}/accept`, { as: taker })).status).toBe(404)
  })
})
