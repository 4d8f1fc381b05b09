import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAccounts } from '../../src/accounts/index.js'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createApi } from '../../src/api/index.js'
import {
  getCurrentActor,
  getCurrentTenant,
  getCurrentUser,
  type Tenancy,
  type TenancyEvent,
  type Tenant,
} from '../../src/index.js'
import { startTcpProxy, type TcpProxy } from '../support/proxies/tcp-proxy.js'
import { testServer, urlOf } from '../support/server.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

// Administrators of the installation who act as a member of a tenant.

let api: ApiApp
/** Another process on the same catalog, which it reaches through a proxy, and its application. */
let other: Tenancy
let proxy: TcpProxy
let app: FastifyInstance
let owner: Caller
let tenant: Tenant
let member: Caller
/** Id of another member. */
let colleague: string
/** Id of another tenant, where the member is one, too. */
let elsewhereId: string
/** Functions of a tenancy that were called by a request of an administrator who acts as a member. */
const calledNames: string[] = []
/** What changes nothing, and what does not take a request's input: all other functions are to be refused. */
const isForbidden = (name: string) =>
  !/^(get|list|find|search|show|is)[A-Z]|^(summary|explain|effectivePermissions|withLock|onEvent)$/.test(name) &&
  ![...['runWithTenant', 'can', 'permissionsOf', 'accountsHost', 'platformTokens', 'stats', 'activity', 'health']]
    .concat(['close', 'jwks', 'clientAddress', 'lastRehearsal', 'status', 'check'])
    .includes(name)
let administrator: Caller & { readonly accessToken: string }

beforeAll(async () => {
  api = await createApiApp()
  const server = await testServer()
  proxy = await startTcpProxy(server)
  const url = new URL(urlOf('postgres'))
  url.port = String(proxy.port)
  other = await api.openAnother({ env: { TENANT_DATABASE_URL: url.href } })
  app = Fastify()
  const accounts = await createAccounts({ tenancy: other, mail: { send: async () => {}, close: async () => {} } })
  await app.register(tenancyPlugin, { tenancy: other, accounts, api: createApi({ tenancy: other, platform: true }) })
  app.get('/who', async () => {
    const actor = getCurrentActor()
    return { user: getCurrentUser().id, actor, isAllowed: other.can(actor, 'roles:read') }
  })
  app.get('/user-only', { config: { tenancy: 'user' } }, async () => ({ user: getCurrentUser().id }))
  app.post<{ Body: { call: string } }>('/call', async ({ body }) => {
    const call = { tenant: getCurrentTenant().id, user: getCurrentUser().id, actor: getCurrentUser().id }
    const { tenant: of, user, actor } = call
    const calls: Record<string, () => Promise<unknown>> = {
      updateTenant: () => other.updateTenant({ tenant: of, actor, name: 'From a route' }),
      getTenant: () => other.getTenant(of),
      record: () => other.audit.record({ tenant: of, actor, action: 'app.note.read' }),
      issueAccessToken: () => other.issueAccessToken({ user }),
      createServiceAccount: () => other.createServiceAccount({ tenant: of, actor, name: 'x' }),
      updateUser: () => other.updateUser({ user, actor, name: 'x' }),
      updateMember: () => other.updateMember({ tenant: of, user, actor, position: 'x' }),
      setMemberRoles: () => other.access.setMemberRoles({ tenant: of, user, actor, roles: ['Admin'] }),
      inAJob: () => other.runWithTenant({ tenant: of }, () => other.removeMember({ tenant: of, user })),
      updateOther: () => other.updateMember({ tenant: of, user: colleague, actor, position: 'Chief' }),
      updateAdministrator: () =>
        other.updateMember({ tenant: of, user: administrator.id.toUpperCase(), actor, position: 'x' }),
      updateElsewhere: () => other.updateTenant({ tenant: elsewhereId, actor, name: 'x' }),
      settingsElsewhere: () => other.updateTenantSettings({ tenant: elsewhereId, actor, changes: {} }),
      updateOtherElsewhere: () => other.updateMember({ tenant: elsewhereId, user: colleague, actor, position: 'x' }),
    }
    return { result: await calls[body.call]?.() }
  })
  app.post('/call-all', async () => {
    const refusals: string[] = []
    for (const [of, functions] of Object.entries({ tenancy: other, fleet: other.fleet, access: other.access })) {
      for (const [name, value] of Object.entries(functions) as [string, unknown][]) {
        if (typeof value !== 'function' || !isForbidden(name)) continue
        const code = await Promise.resolve()
          .then(() => (value as (input: object) => unknown)({}))
          .then(
            () => 'done',
            (error: unknown) => (error as { readonly code?: string }).code,
          )
        if (code !== 'TENANCY_IMPERSONATION_REFUSED') refusals.push(`${of}.${name}: ${code}`)
        calledNames.push(name)
      }
    }
    return refusals
  })
  await app.ready()
})
afterAll(async () => {
  await app?.close()
  await other?.close()
  await proxy?.close()
  await api?.close()
})
beforeEach(async () => {
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
  member = await api.join(tenant, ['Admin'])
  administrator = await api.createAdministrator()
})

const path = () => `/platform/tenants/${tenant.id}/impersonations`
const asked = { reason: 'Ticket 4711', minutes: 15 }

async function start(more: object = {}) {
  const body = { user: member.id, ...asked, ...more }
  const answer = await api.call(`POST ${path()}`, { as: administrator, body })
  expect(answer.status, JSON.stringify(answer.json)).toBe(201)
  const { impersonation, token } = answer.json
  return { id: impersonation.id as string, token: token as string, impersonation }
}
/** Asks the other process. */
const ask = async (url: string, token: string, payload?: object) => {
  const { statusCode: status, payload: text } = await app.inject({
    ...{ method: payload === undefined ? 'GET' : 'POST', url, headers: { authorization: `Bearer ${token}` } },
    ...(payload === undefined ? {} : { payload }),
  })
  return { status, json: text === '' ? undefined : JSON.parse(text) }
}
const getTenant = (token: string) => api.call(`GET /tenants/${tenant.id}`, { as: { id: member.id, token } })
const invalid = { status: 401, json: { code: 'TENANCY_AUTH_TOKEN_INVALID' } }
const refused = { status: 403, json: { code: 'TENANCY_IMPERSONATION_REFUSED' } }

describe('the token', () => {
  test('It is the member’s, names the administrator in act, has an audience of its own and is bound to the tenant', async () => {
    const { id, token, impersonation } = await start()
    const claims = decodeJwt(token)
    expect(claims).toMatchObject({ sub: member.id, act: { sub: administrator.id }, tenant: tenant.id, jti: id })
    expect(claims.aud).toBe('tenants2fast/impersonation')
    expect(Number(claims.exp) - Number(claims.iat)).toBe(900)
    expect(impersonation).toMatchObject({
      ...{ userId: member.id, administratorId: administrator.id, administratorName: 'U', reason: asked.reason },
      ...{ endedAt: null, endedBy: null },
    })
    expect(Date.parse(impersonation.expiresAt) - Date.parse(impersonation.createdAt)).toBe(900_000)
  })

  test('The user is the member; the actor is the administrator, with the reason, and may what the member may', async () => {
    const { id, token, impersonation } = await start()
    const { json } = await ask('/who', token)
    expect(json).toMatchObject({
      user: member.id,
      isAllowed: true,
      actor: {
        ...{ kind: 'impersonator', administrator: { id: administrator.id, name: 'U' }, user: { id: member.id } },
        impersonation: { id, reason: asked.reason, expiresAt: impersonation.expiresAt },
      },
    })
  })

  test('It counts in no other tenant, for nothing that is the person’s own, not for accounts, and not for the platform', async () => {
    const { token } = await start()
    const foreign = await api.createTenant(owner)
    await api.tenancy.addMember({ tenant: foreign.id, user: member.id, roles: ['Admin'] })
    const as = { id: member.id, token }
    expect(await api.call(`GET /tenants/${foreign.id}`, { as })).toMatchObject({
      status: 403,
      json: { code: 'TENANCY_TENANT_CONFLICT' },
    })
    const bound = { status: 403, json: { code: 'TENANCY_AUTH_TOKEN_BOUND' } }
    for (const target of ['GET /me', 'GET /me/sessions', 'DELETE /me/sessions', 'POST /platform/token']) {
      expect(await api.call(target, { as }), target).toMatchObject(bound)
    }
    for (const url of ['/auth/me', '/user-only']) expect(await ask(url, token), url).toMatchObject(bound)
    expect(await ask('/auth/logout', token, {})).toMatchObject(bound)
    expect(await api.call('GET /platform/summary', { as })).toMatchObject(invalid)
    // It is no refresh token either.
    const exchanged = await app.inject({
      ...{ method: 'POST', url: '/auth/token', payload: { grant_type: 'refresh_token', refresh_token: token } },
    })
    expect(exchanged.statusCode).toBeGreaterThanOrEqual(400)
  })

  test('One that says something else than what the catalog has does not count', async () => {
    const { catalog } = api.tenancy.accountsHost()
    const another = await api.join(tenant, ['Admin'])
    for (const change of [
      `administrator_id = '${owner.id}'`,
      `user_id = '${another.id}'`,
      `tenant_id = '${(await api.createTenant(owner)).id}'`,
    ]) {
      const { id, token } = await start()
      expect((await ask('/who', token)).status).toBe(200)
      await catalog.query(`update impersonations set ${change} where id = $1`, [id])
      expect(await ask('/who', token), change).toMatchObject(invalid)
    }
  })

  test('While the catalog does not answer, nobody acts as somebody else', async () => {
    const { token } = await start()
    expect((await ask('/who', token)).status).toBe(200)
    await proxy.set('refuse')
    try {
      expect(await ask('/who', token)).toMatchObject({ status: 503, json: { code: 'TENANCY_CATALOG_UNAVAILABLE' } })
    } finally {
      await proxy.set('pass')
    }
    await expect.poll(async () => (await ask('/who', token)).status).toBe(200)
  })
})

describe('starting', () => {
  test('A reason and a time of at most 60 minutes are required', async () => {
    for (const body of [
      { user: member.id, minutes: 5 },
      { user: member.id, minutes: 5, reason: '' },
      { user: member.id, minutes: 5, reason: '  ' },
      { user: member.id, reason: 'x' },
      { user: member.id, reason: 'x', minutes: 61 },
      { user: member.id, reason: 'x', minutes: 0 },
    ]) {
      const answer = await api.call(`POST ${path()}`, { as: administrator, body })
      expect(answer, JSON.stringify(body)).toMatchObject({ status: 400, json: { code: 'TENANCY_REQUEST_INVALID' } })
    }
    expect(decodeJwt((await start({ minutes: 60 })).token)).toMatchObject({ act: { sub: administrator.id } })
  })

  test('Only an administrator starts one, as a member with access, and not as themselves', async () => {
    const begin = (more: object) =>
      api.tenancy.startImpersonation({
        ...{ tenant: tenant.id, user: member.id, ...asked, actor: administrator.id, ...more },
      })
    await expect(begin({ actor: owner.id })).rejects.toMatchObject({ code: 'TENANCY_IMPERSONATION_REFUSED' })
    await expect(begin({ user: administrator.id })).rejects.toMatchObject({ code: 'TENANCY_IMPERSONATION_REFUSED' })
    const stranger = await api.createUser()
    await expect(begin({ user: stranger.id })).rejects.toMatchObject({ code: 'TENANCY_MEMBER_NOT_FOUND' })
    await api.tenancy.setMemberActive({ tenant: tenant.id, user: member.id, isActive: false })
    await expect(begin({})).rejects.toMatchObject({ code: 'TENANCY_IMPERSONATION_REFUSED' })
    await api.tenancy.setMemberActive({ tenant: tenant.id, user: member.id, isActive: true })
    await api.tenancy.suspendTenant({ tenant: tenant.id })
    await expect(begin({})).rejects.toMatchObject({ code: 'TENANCY_TENANT_SUSPENDED' })
    await api.tenancy.reactivateTenant({ tenant: tenant.id })
    await api.tenancy.revokePlatformRole({ user: administrator.id })
    await expect(begin({})).rejects.toMatchObject({ code: 'TENANCY_IMPERSONATION_REFUSED' })
  })

  test('Over HTTP, a stranger, the administrator themselves and a tenant that nobody has are refused', async () => {
    const begin = (url: string, user: string) =>
      api.call(`POST ${url}`, { as: administrator, body: { user, ...asked } })
    const stranger = await api.createUser()
    expect(await begin(path(), stranger.id)).toMatchObject({ status: 404, json: { code: 'TENANCY_MEMBER_NOT_FOUND' } })
    expect(await begin(path(), administrator.id)).toMatchObject(refused)
    const nowhere = `/platform/tenants/${randomUUID()}/impersonations`
    expect(await begin(nowhere, member.id)).toMatchObject({ status: 404, json: { code: 'TENANCY_TENANT_NOT_FOUND' } })
    await api.tenancy.suspendTenant({ tenant: tenant.id })
    expect(await begin(path(), member.id)).toMatchObject({ status: 403, json: { code: 'TENANCY_TENANT_SUSPENDED' } })
    for (const as of [owner, { id: administrator.id, token: administrator.accessToken }]) {
      expect(await api.call(`POST ${path()}`, { as, body: { user: member.id, ...asked } })).toMatchObject(invalid)
    }
  })

  test('A retry gets the same one, without the token', async () => {
    const headers = { 'idempotency-key': randomUUID() }
    const body = { user: member.id, ...asked }
    const first = await api.call(`POST ${path()}`, { as: administrator, body, headers })
    const second = await api.call(`POST ${path()}`, { as: administrator, body, headers })
    expect(second.json).toEqual({ ...first.json, token: null })
  })
})

describe('ending', () => {
  test('It ends at once in every process, also where the token was just used', async () => {
    const { id, token } = await start()
    expect([(await getTenant(token)).status, (await ask('/who', token)).status]).toEqual([200, 200])
    expect((await api.call(`DELETE ${path()}/${id}`, { as: administrator })).status).toBe(204)
    expect(await ask('/who', token)).toMatchObject(invalid)
    expect(await getTenant(token)).toMatchObject(invalid)
    // Another administrator may end it, once more is no change, and its own tenant is the only one it has.
    expect((await api.call(`DELETE ${path()}/${id}`, { as: await api.createAdministrator() })).status).toBe(204)
    const ends = await api.tenancy.audit.list({ tenant: tenant.id, action: 'impersonation.end' })
    expect(ends).toMatchObject([{ actorId: administrator.id, subject: `user:${member.id}` }])
    const foreign = await api.createTenant(owner)
    const elsewhere = await api.call(`DELETE /platform/tenants/${foreign.id}/impersonations/${id}`, {
      as: administrator,
    })
    expect(elsewhere).toMatchObject({ status: 404, json: { code: 'TENANCY_IMPERSONATION_NOT_FOUND' } })
  })

  test('It ends with its time, by the clock of the catalog', async () => {
    const { id, token } = await start()
    expect((await ask('/who', token)).status).toBe(200)
    const { catalog } = api.tenancy.accountsHost()
    await catalog.query(
      "update impersonations set created_at = now() - interval '16 minutes', expires_at = now() where id = $1",
      [id],
    )
    expect(await ask('/who', token)).toMatchObject(invalid)
    expect(await getTenant(token)).toMatchObject(invalid)
  })

  test.each([
    [
      'the member is removed and added',
      async () => {
        await api.tenancy.removeMember({ tenant: tenant.id, user: member.id })
        await api.tenancy.addMember({ tenant: tenant.id, user: member.id, roles: ['Admin'] })
      },
    ],
    [
      'the member is deactivated and activated',
      async () => {
        await api.tenancy.setMemberActive({ tenant: tenant.id, user: member.id, isActive: false })
        await api.tenancy.setMemberActive({ tenant: tenant.id, user: member.id, isActive: true })
      },
    ],
    [
      'the tenant is suspended and reactivated',
      async () => {
        await api.tenancy.suspendTenant({ tenant: tenant.id })
        await api.tenancy.reactivateTenant({ tenant: tenant.id })
      },
    ],
    [
      'the tenant is deleted and undeleted',
      async () => {
        await api.tenancy.deleteTenant({ tenant: tenant.id })
        await api.tenancy.undeleteTenant({ tenant: tenant.id })
      },
    ],
    [
      'the member is disabled and enabled',
      async () => {
        await api.tenancy.disableUser({ user: member.id })
        await api.tenancy.enableUser({ user: member.id })
      },
    ],
  ] as const)('It stays over when %s again; a new one counts', async (_, stopAndGoOn) => {
    const { id, token } = await start()
    const elsewhereIn = await api.createTenant(owner)
    await api.tenancy.addMember({ tenant: elsewhereIn.id, user: member.id, roles: [] })
    const body = { user: member.id, ...asked }
    const url = `/platform/tenants/${elsewhereIn.id}/impersonations`
    const unconcerned = await api.call(`POST ${url}`, { as: administrator, body })
    expect((await ask('/who', token)).status).toBe(200)
    await stopAndGoOn()
    expect(await ask('/who', token)).toMatchObject(invalid)
    const [{ endedAt, endedBy } = {}] = (await api.tenancy.listImpersonations({ tenant: tenant.id })).filter(
      (one) => one.id === id,
    )
    if (!_.includes('disabled')) {
      expect([endedAt instanceof Date, endedBy]).toEqual([true, null])
      expect((await ask('/who', unconcerned.json.token)).status).toBe(200)
    }
    expect((await ask('/who', (await start()).token)).status).toBe(200)
  })

  const endings: readonly (readonly [string, () => Promise<unknown>, object])[] = [
    ['the administrator’s role ends', () => api.tenancy.revokePlatformRole({ user: administrator.id }), invalid],
    [
      'the role ends and is given again',
      async () => {
        await api.tenancy.revokePlatformRole({ user: administrator.id })
        await api.tenancy.grantPlatformRole({ user: administrator.id })
      },
      invalid,
    ],
    ['the administrator is disabled', () => api.tenancy.disableUser({ user: administrator.id }), invalid],
    ['the administrator is logged out', () => api.tenancy.revokeUserTokens({ user: administrator.id }), invalid],
    ['the administrator is erased', () => api.tenancy.deleteUser({ user: administrator.id }), invalid],
    ['the member is logged out', () => api.tenancy.revokeUserTokens({ user: member.id }), invalid],
    [
      'the member is disabled',
      () => api.tenancy.disableUser({ user: member.id }),
      { status: 401, json: { code: 'TENANCY_AUTH_USER_REFUSED' } },
    ],
    [
      'the member leaves',
      () => api.tenancy.removeMember({ tenant: tenant.id, user: member.id }),
      { status: 403, json: { code: 'TENANCY_TENANT_FORBIDDEN' } },
    ],
    [
      'the membership is inactive',
      () => api.tenancy.setMemberActive({ tenant: tenant.id, user: member.id, isActive: false }),
      { status: 403, json: { code: 'TENANCY_TENANT_FORBIDDEN' } },
    ],
    [
      'the tenant is suspended',
      () => api.tenancy.suspendTenant({ tenant: tenant.id }),
      { status: 403, json: { code: 'TENANCY_TENANT_SUSPENDED' } },
    ],
  ]
  test.each(endings)('It counts no more at once in another process when %s', async (_, end, answer) => {
    // Otherwise it would be the last one.
    await api.createAdministrator()
    const { token } = await start()
    expect((await ask('/who', token)).status).toBe(200)
    await end()
    expect(await ask('/who', token)).toMatchObject(answer)
  })
})

describe('what it may do', () => {
  test('Changes name the member and the administrator, for the Owners, too; only the platform sees the address', async () => {
    const { id, token } = await start()
    const as = { id: member.id, token }
    const changed = await api.call(`PATCH /tenants/${tenant.id}`, { as, body: { name: 'By support' } })
    expect(changed.status).toBe(200)
    expect((await ask('/call', token, { call: 'record' })).status).toBe(200)
    const both = { actorId: member.id, impersonation: { id, administrator: administrator.id } }
    const entries = await api.tenancy.audit.list({ tenant: tenant.id, by: member.id })
    expect(entries).toMatchObject([
      { ...both, action: 'tenant.update', address: '127.0.0.1', isPlatform: false },
      { ...both, action: 'app.note.read', after: null, address: '127.0.0.1' },
    ])
    const { json } = await api.call(`GET /tenants/${tenant.id}/audit?actor=${member.id}`, { as: owner })
    expect(json.items).toMatchObject([
      { ...both, address: null },
      { ...both, address: null },
    ])
    expect(await api.tenancy.audit.verify()).toMatchObject({ isIntact: true })
  })

  test('An event of such a change names the member and the administrator; one of the member’s own does not', async () => {
    const got: TenancyEvent[] = []
    const subscription = await api.tenancy.onEvent({ name: `s-${randomUUID()}`, events: ['tenant.updated'] }, (event) =>
      got.push(event),
    )
    const { id, token } = await start()
    const rename = (as: Caller, name: string) => api.call(`PATCH /tenants/${tenant.id}`, { as, body: { name } })
    expect((await rename({ id: member.id, token }, 'By support')).status).toBe(200)
    expect((await rename(member, 'By myself')).status).toBe(200)
    await expect.poll(() => got, { timeout: 20_000 }).toHaveLength(2)
    await subscription.close()
    const common = { type: 'tenant.updated', tenantId: tenant.id, actorId: member.id, apiKey: null }
    expect(got).toMatchObject([
      { ...common, after: { name: 'By support' }, impersonation: { id, administrator: administrator.id } },
      { ...common, after: { name: 'By myself' }, impersonation: null },
    ])
    // The request's id and the address stay in the log.
    expect(got.map(({ after }) => after)).toEqual([{ name: 'By support' }, { name: 'By myself' }])
  })

  test('The Owners see who acted as whom and why, in a list and in the log; a member without the permission does not', async () => {
    const { id } = await start()
    const list = (as: Caller) => api.call(`GET /tenants/${tenant.id}/impersonations`, { as })
    const { json } = await list(owner)
    expect(json.items).toMatchObject([
      { id, userId: member.id, administratorId: administrator.id, reason: asked.reason, endedAt: null },
    ])
    const entries = await api.tenancy.audit.list({ tenant: tenant.id, action: 'impersonation.' })
    expect(entries).toMatchObject([
      { action: 'impersonation.start', actorId: administrator.id, subject: `user:${member.id}`, isPlatform: true },
    ])
    // The chain cannot be erased: what may be about a person is not in it.
    expect(JSON.stringify(entries)).not.toContain(asked.reason)
    expect(await list(await api.join(tenant, []))).toMatchObject({ status: 403 })
    const foreign = await api.createUser()
    await api.createTenant(foreign)
    expect(await list(foreign)).toMatchObject({ status: 403, json: { code: 'TENANCY_TENANT_FORBIDDEN' } })
  })

  test('Lists have pages, the newest first', async () => {
    const ids = [(await start()).id, (await start()).id, (await start()).id].toReversed()
    for (const [url, as] of [
      [`/tenants/${tenant.id}/impersonations`, owner] as const,
      [path(), administrator] as const,
    ]) {
      const first = await api.call(`GET ${url}?limit=2`, { as })
      const second = await api.call(`GET ${url}?limit=2&after=${first.json.next}`, { as })
      expect([...first.json.items, ...second.json.items].map((item: { id: string }) => item.id)).toEqual(ids)
      expect(second.json.next).toBeNull()
    }
  })

  test('It changes the profile of others, and not that of the member or of the administrator', async () => {
    await api.tenancy.addMember({ tenant: tenant.id, user: administrator.id, roles: [] })
    const { token } = await start()
    const change = (user: string) =>
      api.call(`PATCH /tenants/${tenant.id}/members/${user}`, {
        ...{ as: { id: member.id, token }, body: { position: 'x' } },
      })
    const person = await api.join(tenant, [])
    expect((await change(person.id)).status).toBe(200)
    for (const user of [member.id, member.id.toUpperCase(), administrator.id]) {
      expect(await change(user)).toMatchObject(refused)
    }
  })

  test('An application’s own routes are refused what the management API is, in jobs that they start as well', async () => {
    colleague = (await api.join(tenant, [])).id
    elsewhereId = (await api.createTenant(owner)).id
    for (const user of [member.id, colleague]) {
      await api.tenancy.addMember({ tenant: elsewhereId, user, roles: ['Admin'] })
    }
    await api.tenancy.addMember({ tenant: tenant.id, user: administrator.id, roles: [] })
    const { token } = await start()
    for (const call of ['updateTenant', 'getTenant', 'record', 'updateOther']) {
      expect((await ask('/call', token, { call })).status, call).toBe(200)
    }
    for (const call of [
      ...['issueAccessToken', 'createServiceAccount', 'updateUser', 'updateMember', 'setMemberRoles', 'inAJob'],
      ...['updateAdministrator', 'updateElsewhere', 'settingsElsewhere', 'updateOtherElsewhere'],
    ]) {
      expect(await ask('/call', token, { call }), call).toMatchObject(refused)
    }
  })
})

test('No function of a tenancy but those that read passes, those of operators included', async () => {
  const { token } = await start()
  expect(await ask('/call-all', token, {})).toEqual({ status: 200, json: [] })
  for (const name of [
    'startTenantExport',
    'openTenantExport',
    'backup',
    'restore',
    'exec',
    'reconcile',
    'createRole',
  ]) {
    expect(calledNames).toContain(name)
  }
})

test('Erasing the administrator or the member leaves the chains intact, and what happened in the log', async () => {
  await api.createAdministrator()
  const { id, token } = await start()
  await api.call(`PATCH /tenants/${tenant.id}`, { as: { id: member.id, token }, body: { name: 'By support' } })
  await api.tenancy.deleteUser({ user: administrator.id })
  const [entry] = await api.tenancy.audit.list({ tenant: tenant.id, by: member.id })
  expect(entry).toMatchObject({ address: null, impersonation: { id, administrator: administrator.id } })
  expect(await api.tenancy.listImpersonations({ tenant: tenant.id })).toMatchObject([
    { id, administratorId: administrator.id, administratorName: null },
  ])
  await api.tenancy.deleteUser({ user: member.id })
  expect(await api.tenancy.listImpersonations({ tenant: tenant.id })).toEqual([])
  expect(await api.tenancy.audit.verify()).toMatchObject({ isIntact: true, problems: [] })
})
