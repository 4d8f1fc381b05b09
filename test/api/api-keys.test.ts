import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TenancyEvent, Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

// Service accounts and API keys over HTTP: made, used, changed, ended.

let api: ApiApp
let owner: Caller
let tenant: Tenant
let path: string

beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
  path = `/tenants/${tenant.slug}`
})
afterAll(() => api.close())

let count = 0
async function newAccount(as = owner): Promise<string> {
  count += 1
  const answer = await api.call(`POST ${path}/service-accounts`, { as, body: { name: `Account ${count}` } })
  expect(answer.status).toBe(201)
  return answer.json.id
}

async function newKey(permissions: readonly string[], given: object = {}, as = owner) {
  const body = { serviceAccount: await newAccount(as), name: 'Key', permissions, ...given }
  const { status, json } = await api.call(`POST ${path}/keys`, { as, body })
  expect(status, JSON.stringify(json)).toBe(201)
  return { id: json.apiKey.id as string, account: body.serviceAccount, caller: { id: json.apiKey.id, token: json.key } }
}

test('A key is shown once, and works on what its permissions open', async () => {
  const { id, caller } = await newKey(['members:read'])
  expect(caller.token).toMatch(/^t2f_[0-9A-Za-z]{8}_[0-9A-Za-z]{55}$/)
  const members = await api.call(`GET ${path}/members`, { as: caller })
  expect(members).toMatchObject({ status: 200, json: { items: [{ userId: owner.id }] } })
  expect(await api.call(`GET ${path}/roles`, { as: caller })).toMatchObject({
    ...{ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } },
  })
  const listed = await api.call(`GET ${path}/keys`, { as: owner })
  const shown = listed.json.items.find((key: { id: string }) => key.id === id)
  expect(caller.token.startsWith(shown.prefix)).toBe(true)
  expect(JSON.stringify(listed.json)).not.toContain(caller.token.slice(13))
})

test('A replay of the same request shows no key', async () => {
  const request = {
    ...{ as: owner, headers: { 'idempotency-key': 'k1' } },
    body: { serviceAccount: await newAccount(), name: 'Once', permissions: [] },
  }
  const first = await api.call(`POST ${path}/keys`, request)
  const again = await api.call(`POST ${path}/keys`, request)
  expect(again).toMatchObject({ status: 201, json: { apiKey: first.json.apiKey, key: null } })
})

test('The scheme may be in any case; a key anywhere but in the header is nothing', async () => {
  const { caller } = await newKey(['members:read'])
  const loud = await api.call(`GET ${path}/members`, { headers: { authorization: `BEARER ${caller.token}` } })
  expect(loud.status).toBe(200)
  for (const query of ['access_token', 'key', 'token']) {
    const answer = await api.call(`GET ${path}/members?${query}=${caller.token}`)
    expect(answer.status).toBe(401)
    expect(JSON.stringify(answer.json)).not.toContain('t2f_')
  }
  const cookie = await api.call(`GET ${path}/members`, { headers: { cookie: `token=${caller.token}` } })
  expect(cookie.status).toBe(401)
})

test('A key with another last character, and one that is cut, are refused', async () => {
  const { token } = (await newKey(['members:read'])).caller
  const other = token.endsWith('A') ? 'B' : 'A'
  for (const wrong of [token.slice(0, -1) + other, token.slice(0, -1), `${token}A`, 't2f_', `${token} `.repeat(2)]) {
    const answer = await api.call(`GET ${path}/members`, { as: { id: '', token: wrong } })
    expect(answer).toMatchObject({ status: 401, json: { code: 'TENANCY_AUTH_TOKEN_INVALID' } })
  }
})

test('A key expires, and is revoked, at once', async () => {
  const past = await newKey(['members:read'], { expiresAt: new Date(Date.now() + 3_600_000).toISOString() })
  const { catalog } = api.tenancy.accountsHost()
  await catalog.query("update api_keys set expires_at = now() - interval '1 s' where id = $1", [past.id])
  expect((await api.call(`GET ${path}/members`, { as: past.caller })).status).toBe(401)
  const expiresAt = '2020-01-01T00:00:00Z'
  const body = { serviceAccount: past.account, name: 'Late', permissions: [], expiresAt }
  expect((await api.call(`POST ${path}/keys`, { as: owner, body })).status).toBe(400)
  expect((await api.call(`PATCH ${path}/keys/${past.id}`, { as: owner, body: { expiresAt } })).status).toBe(400)
  const later = await newKey(['members:read'], { expiresAt: new Date(Date.now() + 3_600_000).toISOString() })
  expect((await api.call(`GET ${path}/members`, { as: later.caller })).status).toBe(200)
  expect((await api.call(`DELETE ${path}/keys/${later.id}`, { as: owner })).status).toBe(204)
  expect((await api.call(`GET ${path}/members`, { as: later.caller })).status).toBe(401)
  expect((await api.call(`DELETE ${path}/keys/${later.id}`, { as: owner })).status).toBe(404)
})

test('A service account is switched off and on, and deleted, with its keys', async () => {
  const { account, caller } = await newKey(['members:read'])
  const target = `${path}/service-accounts/${account}`
  await api.call(`PATCH ${target}`, { as: owner, body: { isActive: false } })
  expect((await api.call(`GET ${path}/members`, { as: caller })).status).toBe(401)
  await api.call(`PATCH ${target}`, { as: owner, body: { isActive: true } })
  expect((await api.call(`GET ${path}/members`, { as: caller })).status).toBe(200)
  expect((await api.call(`DELETE ${target}`, { as: owner })).status).toBe(204)
  expect((await api.call(`GET ${path}/members`, { as: caller })).status).toBe(401)
})

test('After a rotation both secrets work until the overlap ends, or the new one alone', async () => {
  const { id, caller } = await newKey(['members:read'])
  const rotate = (body: object) => api.call(`POST ${path}/keys/${id}/rotate`, { as: owner, body })
  const works = async (token: string) =>
    (await api.call(`GET ${path}/members`, { as: { id: '', token } })).status === 200
  const first = (await rotate({})).json
  expect(first.apiKey.previousEndsAt).not.toBeNull()
  expect([await works(caller.token), await works(first.key)]).toEqual([true, true])
  expect(await rotate({})).toMatchObject({ status: 409, json: { code: 'TENANCY_API_KEY_ROTATING' } })
  const second = (await rotate({ overlapSeconds: 0 })).json
  expect([await works(caller.token), await works(first.key), await works(second.key)]).toEqual([false, false, true])
})

test('Of two rotations at once one succeeds, or the text of one works', async () => {
  for (const overlapSeconds of [3600, 0]) {
    const { id, caller } = await newKey(['members:read'])
    const rotate = () => api.tenancy.rotateApiKey({ tenant: tenant.id, apiKey: id, overlapSeconds, actor: owner.id })
    const results = await Promise.allSettled([rotate(), rotate(), rotate()])
    const texts = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.key] : []))
    const statuses = await Promise.all(
      texts.map(async (token) => (await api.call(`GET ${path}/members`, { as: { id: '', token } })).status),
    )
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    const old = await api.call(`GET ${path}/members`, { as: caller })
    expect(old.status).toBe(overlapSeconds === 0 ? 401 : 200)
  }
})

test('Nobody gives a key what they do not hold, and no key decides who has access', async () => {
  const admin = await api.join(tenant, ['Admin'])
  const serviceAccount = await newAccount()
  const create = (permissions: readonly string[], as = owner) =>
    api.call(`POST ${path}/keys`, { as, body: { serviceAccount, name: 'K', permissions } })
  await api.tenancy.access.setOverride({
    ...{ tenant: tenant.id, user: admin.id, permission: 'audit:read', effect: 'deny' },
  })
  expect(await create(['audit:read'], admin)).toMatchObject({
    ...{ status: 403, json: { code: 'TENANCY_ACCESS_GRANT_REFUSED', permissions: ['audit:read'] } },
  })
  for (const permission of [
    'keys:read',
    'keys:create',
    'roles:manage',
    'members:create',
    'members:delete',
    'tenant:delete',
    'tenant:export',
  ]) {
    expect(await create([permission])).toMatchObject({
      ...{ status: 422, json: { code: 'TENANCY_API_KEY_PERMISSION_REFUSED', permissions: [permission] } },
    })
  }
  expect((await create(['no:such'])).status).toBe(404)
  // Whoever rotates a key gets its secret, and so has to hold what it has.
  const { id } = await newKey(['audit:read'])
  for (const [method, target, body] of [
    ['POST', `${path}/keys/${id}/rotate`, {}],
    ['PATCH', `${path}/keys/${id}`, { expiresAt: null }],
  ] as const) {
    expect((await api.call(`${method} ${target}`, { as: admin, body })).status).toBe(403)
  }
  const less = await api.call(`PATCH ${path}/keys/${id}`, { as: admin, body: { permissions: ['members:read'] } })
  expect(less).toMatchObject({ status: 200, json: { permissions: ['members:read'], responsibleId: admin.id } })
})

test('Who holds a permission for a while makes a key with it for as long, and for no longer', async () => {
  const admin = await api.join(tenant, ['Admin'])
  await api.tenancy.access.createPermission({ name: 'reports:read' })
  const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000)
  await api.tenancy.access.setOverride({
    ...{ tenant: tenant.id, user: admin.id, permission: 'reports:read', effect: 'allow', expiresAt: inMinutes(60) },
  })
  const given = { serviceAccount: await newAccount(), name: 'K', permissions: ['reports:read'] }
  const create = (expiresAt: Date | null) =>
    api.call(`POST ${path}/keys`, { as: admin, body: { ...given, expiresAt: expiresAt?.toISOString() ?? null } })
  expect((await create(inMinutes(30))).status).toBe(201)
  for (const expiresAt of [inMinutes(90), null]) {
    expect(await create(expiresAt)).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_GRANT_REFUSED' } })
  }
})

test('A key loses at once what the one who answers for it loses, and gets it back with them', async () => {
  const admin = await api.join(tenant, ['Admin'])
  const { caller } = await newKey(['roles:read', 'members:read'], {}, admin)
  const status = async () => (await api.call(`GET ${path}/roles`, { as: caller })).status
  expect(await status()).toBe(200)
  await api.tenancy.access.unassignRole({ tenant: tenant.id, user: admin.id, role: 'Admin' })
  expect(await status()).toBe(403)
  await api.tenancy.access.assignRole({ tenant: tenant.id, user: admin.id, role: 'Admin' })
  expect(await status()).toBe(200)
})

test('A key outlives the member who made it, with no more than they held for good when they left', async () => {
  const admin = await api.join(tenant, ['Admin'])
  await api.tenancy.access.setOverride({
    ...{ tenant: tenant.id, user: admin.id, permission: 'audit:read', effect: 'deny' },
  })
  const held = await newKey(['roles:read', 'members:read', 'tenant:update'], {}, admin)
  await api.tenancy.access.setOverride({
    ...{ tenant: tenant.id, user: admin.id, permission: 'roles:read', effect: 'deny' },
  })
  // Held for an hour: not for good.
  await api.tenancy.access.unassignRole({ tenant: tenant.id, user: admin.id, role: 'Admin' })
  await api.tenancy.access.assignRole({ tenant: tenant.id, user: admin.id, role: 'Member' })
  await api.tenancy.access.setOverride({
    ...{ tenant: tenant.id, user: admin.id, permission: 'tenant:update', effect: 'allow' },
    expiresAt: new Date(Date.now() + 3_600_000),
  })
  const patch = () => api.call(`PATCH ${path}`, { as: held.caller, body: { name: `N ${count}` } })
  expect((await patch()).status).toBe(200)
  await api.tenancy.removeMember({ tenant: tenant.id, user: admin.id })
  expect((await patch()).status).toBe(403)
  expect((await api.call(`GET ${path}/roles`, { as: held.caller })).status).toBe(403)
  expect((await api.call(`GET ${path}/members`, { as: held.caller })).status).toBe(200)
  const keys = await api.tenancy.listApiKeys({ tenant: tenant.id, limit: 1000 })
  expect(keys.find(({ id }) => id === held.id)).toMatchObject({ responsibleId: null, permissions: ['members:read'] })
  const entries = await api.tenancy.audit.list({ tenant: tenant.id, action: 'api-key.pass', limit: 1000 })
  expect(entries.at(-1)).toMatchObject({
    ...{ subject: `api-key:${held.id}`, before: { responsible: admin.id } },
    after: { responsible: null, permissions: ['members:read'] },
  })
})

test('A key outlives the user who made it when that user is deleted', async () => {
  const admin = await api.join(tenant, ['Admin'])
  const { caller } = await newKey(['roles:read'], {}, admin)
  expect((await api.call(`GET ${path}/roles`, { as: caller })).status).toBe(200)
  await api.tenancy.deleteUser({ user: admin.id })
  expect((await api.call(`GET ${path}/roles`, { as: caller })).status).toBe(200)
})

test('An entry of the audit log names the service account as actor, and the key, and so does the event', async () => {
  const events: TenancyEvent[] = []
  const subscription = await api.tenancy.onEvent({ name: 'keys', events: ['tenant.updated'] }, (event) =>
    events.push(event),
  )
  const { id, account, caller } = await newKey(['tenant:update', 'audit:read'])
  const answer = await api.call(`PATCH ${path}`, { as: caller, body: { name: 'By a program' } })
  expect(answer.status).toBe(200)
  const { json } = await api.call(`GET ${path}/audit?actor=${account}`, { as: caller })
  expect(json.items).toMatchObject([
    { action: 'tenant.update', actorId: account, apiKey: id, after: { name: 'By a program' } },
  ])
  expect(await api.tenancy.audit.verify({ tenant: tenant.id })).toMatchObject({ isIntact: true })
  await expect.poll(() => events, { timeout: 20_000 }).toHaveLength(1)
  await subscription.close()
  expect(events).toMatchObject([
    { type: 'tenant.updated', actorId: account, apiKey: id, impersonation: null, after: { name: 'By a program' } },
  ])
})

test('The last use is noted', async () => {
  const { id, caller } = await newKey(['members:read'])
  await api.call(`GET ${path}/members`, { as: caller })
  const lastUse = async () => {
    const keys = await api.tenancy.listApiKeys({ tenant: tenant.id, limit: 1000 })
    return keys.find((key) => key.id === id)?.lastUsedAt
  }
  await expect.poll(lastUse).toBeInstanceOf(Date)
})

test('In a suspended or deleted tenant a key is refused as a member is', async () => {
  const other = await api.createTenant(owner)
  const account = await api.tenancy.createServiceAccount({ tenant: other.id, name: 'A', actor: owner.id })
  const { key } = await api.tenancy.createApiKey({
    ...{ tenant: other.id, serviceAccount: account.id, name: 'K', permissions: ['members:read'], actor: owner.id },
  })
  const call = () => api.call(`GET /tenants/${other.slug}/members`, { as: { id: '', token: key } })
  expect((await call()).status).toBe(200)
  await api.tenancy.suspendTenant({ tenant: other.id })
  expect(await call()).toMatchObject({ status: 403, json: { code: 'TENANCY_TENANT_SUSPENDED' } })
  await api.tenancy.reactivateTenant({ tenant: other.id })
  await api.tenancy.renameTenant({ tenant: other.id, slug: `${other.slug}x` })
  expect((await call()).status).toBe(200)
  await api.tenancy.deleteTenant({ tenant: other.id })
  expect(await call()).toMatchObject({ status: 403, json: { code: 'TENANCY_TENANT_DELETED' } })
  await api.tenancy.purgeTenant({ tenant: other.id })
  expect((await call()).status).toBe(401)
})

test('Names of service accounts and keys are what they look like: no character that is not seen, and none that turns the text', async () => {
  const { id: serviceAccount } = await api.tenancy.createServiceAccount({ tenant: tenant.id, name: 'Plain' })
  for (const name of ['a\u202eb', 'a\u200bb', 'a\u2028b', '\u2066x', 'x\u{E0041}', '\u3000', '   ', 'a\u0007']) {
    const shown = JSON.stringify(name)
    const place = `/tenants/${tenant.id}`
    const made = await api.call(`POST ${place}/service-accounts`, { as: owner, body: { name } })
    expect([made.status, made.json.code], shown).toEqual([400, 'TENANCY_REQUEST_INVALID'])
    const renamed = await api.call(`PATCH ${place}/service-accounts/${serviceAccount}`, { as: owner, body: { name } })
    expect(renamed.status, shown).toBe(400)
    const body = { serviceAccount, name, permissions: [] }
    expect((await api.call(`POST ${place}/keys`, { as: owner, body })).status, shown).toBe(400)
  }
})
