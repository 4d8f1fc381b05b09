import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApi } from '../../src/api/index.js'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let owner: Caller
let tenant: Tenant

beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
})
afterAll(() => api.close())

describe('creating a tenant', () => {
  test('Whoever is signed in creates a tenant and is its Owner', async () => {
    const user = await api.createUser()
    const { status, json, headers } = await api.call('POST /tenants', {
      as: user,
      body: { name: 'Acme', slug: 'acme' },
    })
    expect(status).toBe(201)
    expect(json).toMatchObject({ slug: 'acme', name: 'Acme', status: 'active', maxUsers: null })
    expect(json).not.toHaveProperty('databaseId')
    expect(headers['etag']).toMatch(/^"[a-z0-9]+"$/)
    const own = await api.call('GET /me/tenants', { as: user })
    expect(own.json.items).toMatchObject([{ slug: 'acme', roles: ['Owner'], isDefault: true }])
  })

  test('The same request with the same key is done once, and the answer says that it is a replay', async () => {
    const user = await api.createUser()
    const request = { as: user, body: { name: 'Once', slug: 'once' }, headers: { 'idempotency-key': 'k-1' } }
    const first = await api.call('POST /tenants', request)
    const again = await api.call('POST /tenants', request)
    expect([first.status, again.status]).toEqual([201, 201])
    expect(again.json).toEqual(first.json)
    expect(again.headers['etag']).toBe(first.headers['etag'])
    expect([first.headers['idempotency-replayed'], again.headers['idempotency-replayed']]).toEqual([undefined, 'true'])
    expect((await api.call('GET /me/tenants', { as: user })).json.items).toHaveLength(1)
  })

  test('A key that was used for another request is refused, and another user may use the same key', async () => {
    const [user, other] = [await api.createUser(), await api.createUser()]
    const headers = { 'idempotency-key': 'k-2' }
    await api.call('POST /tenants', { as: user, body: { name: 'A', slug: 'key-a' }, headers })
    const reused = await api.call('POST /tenants', { as: user, body: { name: 'B', slug: 'key-b' }, headers })
    expect(reused).toMatchObject({ status: 422, json: { code: 'TENANCY_REQUEST_KEY_REUSED' } })
    const others = await api.call('POST /tenants', { as: other, body: { name: 'B', slug: 'key-b' }, headers })
    expect(others.status).toBe(201)
  })

  test('Of 20 equal requests with one key at once one creates, and every other gets its answer or is told to wait', async () => {
    const user = await api.createUser()
    const request = { as: user, body: { name: 'R', slug: 'race' }, headers: { 'idempotency-key': 'k-3' } }
    const answers = await Promise.all(Array.from({ length: 20 }, () => api.call('POST /tenants', request)))
    expect(answers.filter(({ status, headers }) => status === 201 && !headers['idempotency-replayed'])).toHaveLength(1)
    for (const { status, json } of answers) {
      if (status !== 201) expect(json).toMatchObject({ status: 409, code: 'TENANCY_REQUEST_IN_PROGRESS' })
    }
    expect((await api.call('GET /me/tenants', { as: user })).json.items).toHaveLength(1)
  })

  test('A request that failed may be sent again with its key', async () => {
    const user = await api.createUser()
    const headers = { 'idempotency-key': 'k-4' }
    const body = { name: 'X', slug: tenant.slug }
    expect((await api.call('POST /tenants', { as: user, body, headers })).json.code).toBe('TENANCY_TENANT_SLUG_TAKEN')
    const free = await api.call('POST /tenants', { as: user, body: { ...body, slug: 'free-slug' }, headers })
    expect(free.status).toBe(201)
  })

  test('Unknown fields, a wrong type and no JSON are refused before anything is done', async () => {
    const user = await api.createUser()
    const create = (body: unknown, headers = {}) => api.call('POST /tenants', { as: user, body, headers })
    const extra = await create({ name: 'A', slug: 'extra', owner: owner.id })
    expect(extra).toMatchObject({
      status: 400,
      json: { code: 'TENANCY_REQUEST_INVALID', errors: [{ pointer: '#/owner' }] },
    })
    expect((await create({ name: 1, slug: 'extra' })).status).toBe(400)
    expect((await create('{')).status).toBe(400)
    expect((await create('name=A', { 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(415)
    expect((await create({ name: 'x'.repeat(70_000), slug: 'extra' })).status).toBe(413)
    expect((await api.call('GET /me/tenants', { as: user })).json.items).toEqual([])
  })
})

describe('self-service', () => {
  test('A user creates as many tenants as the application allows, also at once, and deleted ones count', async () => {
    const own = await createApiApp(undefined, { selfService: { tenantsPerUser: 2, maxUsers: 5 } })
    try {
      const user = await own.createUser()
      const create = (slug: string) => own.call('POST /tenants', { as: user, body: { name: slug, slug } })
      const answers = await Promise.all(['one-a', 'one-b', 'one-c', 'one-d'].map(create))
      expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 201, 409, 409])
      const made = answers.find(({ status }) => status === 201)?.json
      expect(made.maxUsers).toBe(5)
      await own.call(`DELETE /tenants/${made.id}`, { as: user })
      expect((await create('one-e')).json.code).toBe('TENANCY_TENANT_LIMIT_REACHED')
    } finally {
      await own.close()
    }
  })

  test('What a tenant may have of members is not its own to say', async () => {
    const answer = await api.call(`PATCH /tenants/${tenant.id}`, { as: owner, body: { maxUsers: null } })
    expect(answer).toMatchObject({ status: 400, json: { errors: [{ pointer: '#/maxUsers' }] } })
  })

  test('Options that createApi does not know, or of another type, are refused by name', async () => {
    const wrong = (options: object) => () => createApi({ tenancy: api.tenancy, ...options })
    expect(wrong({ limits: { changes: 2 } })).toThrow(/createApi: limits: .*changes/)
    expect(wrong({ limits: { changesPerUser: 0 } })).toThrow(/limits\.changesPerUser/)
    expect(wrong({ selfService: { tenantsPerUser: -1 } })).toThrow(/selfService\.tenantsPerUser/)
    expect(wrong({ nonsense: 1 })).toThrow(/nonsense/)
  })
})

describe('reading and changing a tenant', () => {
  test('Its id and its slug name it, and members without the permission are refused', async () => {
    const byId = await api.call(`GET /tenants/${tenant.id}`, { as: owner })
    const bySlug = await api.call(`GET /tenants/${tenant.slug}`, { as: owner })
    expect(byId).toMatchObject({ status: 200, json: { id: tenant.id, slug: tenant.slug } })
    expect(bySlug.json).toEqual(byId.json)
    const nobody = await api.join(tenant, [])
    const refused = await api.call(`GET /tenants/${tenant.id}`, { as: nobody })
    expect(refused).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } })
  })

  test('The tenant of others answers as one that does not exist, and an anonymous request is asked who it is', async () => {
    const stranger = await api.createUser()
    await api.createTenant(stranger)
    const answers = [
      await api.call(`GET /tenants/${tenant.id}`, { as: stranger }),
      await api.call('GET /tenants/01a224b5-7d93-74f0-8676-471d5d0b21eb', { as: stranger }),
      await api.call('GET /tenants/nowhere', { as: stranger }),
    ]
    for (const { status, json } of answers) expect({ status, json }).toEqual({ status: 403, json: answers[0]?.json })
    expect((await api.call(`GET /tenants/${tenant.id}`)).status).toBe(401)
  })

  test('A change with If-Match is for what was read: after another change it is refused', async () => {
    const mine = await api.createTenant(owner)
    const target = `/tenants/${mine.id}`
    const { headers } = await api.call(`GET ${target}`, { as: owner })
    const change = (name: string) =>
      api.call(`PATCH ${target}`, { as: owner, body: { name }, headers: { 'if-match': String(headers['etag']) } })
    const first = await change('First')
    expect(first).toMatchObject({ status: 200, json: { name: 'First' } })
    expect(first.headers['etag']).not.toBe(headers['etag'])
    expect(await change('Second')).toMatchObject({ status: 412, json: { code: 'TENANCY_CHANGE_OUTDATED' } })
    expect((await api.call(`GET ${target}`, { as: owner })).json.name).toBe('First')
    for (const tag of ['W/"abc"', '"a", "b"', 'abc']) {
      const answer = await api.call(`PATCH ${target}`, { as: owner, body: { name: 'X' }, headers: { 'if-match': tag } })
      expect(answer.status).toBe(400)
    }
    const any = await api.call(`PATCH ${target}`, { as: owner, body: { name: 'Any' }, headers: { 'if-match': '*' } })
    expect(any.status).toBe(200)
  })

  test('A deleted tenant serves nobody, and an Admin cannot delete it', async () => {
    const mine = await api.createTenant(owner)
    const admin = await api.join(mine, ['Admin'])
    expect((await api.call(`DELETE /tenants/${mine.id}`, { as: admin })).status).toBe(403)
    expect((await api.call(`DELETE /tenants/${mine.id}`, { as: owner })).status).toBe(204)
    expect((await api.call(`GET /tenants/${mine.id}`, { as: owner })).status).toBe(403)
  })

  test('Every change is in the tenant’s audit log, by its caller', async () => {
    const mine = await api.createTenant(owner)
    await api.call(`PATCH /tenants/${mine.id}`, { as: owner, body: { name: 'Seen' } })
    const entries = await api.tenancy.audit.list({ tenant: mine.id })
    expect(entries.at(-1)).toMatchObject({ action: 'tenant.update', actorId: owner.id, after: { name: 'Seen' } })
  })
})

describe('what the caller may do', () => {
  test('Permissions and roles are those in the tenant that the request names', async () => {
    const member = await api.join(tenant, ['Member'])
    const { json } = await api.call('GET /me/permissions', { as: member, headers: { 'x-tenant-id': tenant.slug } })
    expect(json).toEqual({
      tenant: { id: tenant.id, slug: tenant.slug },
      roles: ['Member'],
      permissions: ['members:read', 'tenant:read'],
    })
  })

  test('The default tenant is one of the caller’s own', async () => {
    const member = await api.join(tenant, ['Member'])
    const second = await api.createTenant(member)
    const choose = (chosen: string) => api.call('PUT /me/default-tenant', { as: member, body: { tenant: chosen } })
    expect((await choose(second.slug)).status).toBe(204)
    expect((await api.call('GET /me/permissions', { as: member })).json.tenant.id).toBe(second.id)
    const foreign = await api.createTenant(owner)
    const refused = [await choose(foreign.slug), await choose('nowhere')]
    for (const answer of refused)
      expect(answer).toMatchObject({ status: 404, json: { code: 'TENANCY_TENANT_NOT_FOUND' } })
    expect(refused[1]?.json).toEqual(refused[0]?.json)
  })
})
