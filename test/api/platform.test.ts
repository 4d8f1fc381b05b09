import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type ApiRequest, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let administrator: Caller & { readonly accessToken: string }
let owner: Caller
let tenant: Tenant

beforeAll(async () => {
  api = await createApiApp()
  administrator = await api.createAdministrator()
  owner = await api.createUser()
})
beforeEach(async () => {
  tenant = await api.createTenant(owner)
})
afterAll(() => api.close())

const call = (target: string, body?: unknown, rest: Partial<ApiRequest> = {}) =>
  api.call(target, { as: administrator, ...(body === undefined ? {} : { body }), ...rest })
const lastOf = async (of: string | null) => (await api.tenancy.audit.list({ tenant: of, limit: 1000 })).at(-1)

describe('tenants', () => {
  test('An administrator who is a member of none reads, changes, labels and renames any', async () => {
    const path = `/platform/tenants/${tenant.id}`
    const read = await call(`GET ${path}`)
    expect(read).toMatchObject({ status: 200, json: { id: tenant.id, status: 'active', createdBy: owner.id } })
    const headers = { 'if-match': String(read.headers['etag']) }
    expect(await call(`PATCH ${path}`, { name: 'New', maxUsers: 3 }, { headers })).toMatchObject({
      status: 200,
      json: { name: 'New', maxUsers: 3 },
    })
    expect(await call(`PATCH ${path}`, { name: 'Late' }, { headers })).toMatchObject({
      status: 412,
      json: { code: 'TENANCY_CHANGE_OUTDATED' },
    })
    expect((await call(`PUT ${path}/labels`, { labels: ['eu', 'beta'] })).json.labels).toEqual(['beta', 'eu'])
    const slug = `${tenant.slug}-b`
    expect((await call(`PUT ${path}/slug`, { slug })).json.slug).toBe(slug)
    expect((await call(`GET /platform/tenants/${slug}`)).json.id).toBe(tenant.id)
    expect(await lastOf(tenant.id)).toMatchObject({ action: 'tenant.rename', actorId: administrator.id })
  })

  test('The list has a stable order, pages without gaps, and filters', async () => {
    const more = [tenant, await api.createTenant(owner), await api.createTenant(owner)]
    for (const { id } of more) await api.tenancy.setTenantLabels({ tenant: id, labels: [`l-${tenant.slug}`] })
    await api.tenancy.suspendTenant({ tenant: more[1]!.id })
    const list = (query: string) => call(`GET /platform/tenants?label=l-${tenant.slug}${query}`)
    const first = await list('&limit=2')
    expect(first.json.items.map(({ id }: Tenant) => id)).toEqual(more.slice(0, 2).map(({ id }) => id))
    const second = await list(`&limit=2&after=${first.json.next}`)
    expect(second.json).toMatchObject({ items: [{ id: more[2]!.id }], next: null })
    expect(first.json.total).toBe(3)
    const found = await call(`GET /platform/tenants?search=${more[1]!.slug.toUpperCase()}`)
    expect(found.json).toMatchObject({ items: [{ id: more[1]!.id }], total: 1, next: null })
    expect((await list('&status=suspended')).json.items).toMatchObject([{ id: more[1]!.id }])
    for (const query of ['&status=gone', '&after=x', '&limit=201', '&limit=0']) {
      expect((await list(query)).status, query).toBe(400)
    }
  })

  test('A tenant is created for a user, who becomes its Owner; the administrator is in the audit log, not in the tenant', async () => {
    const slug = `${tenant.slug}-c`
    const body = { name: 'Given', slug, owner: owner.id, labels: ['eu'] }
    const headers = { 'idempotency-key': slug }
    const created = await call('POST /platform/tenants', body, { headers })
    expect(created).toMatchObject({ status: 201, json: { slug, labels: ['eu'] } })
    expect(await call('POST /platform/tenants', body, { headers })).toMatchObject({
      json: created.json,
      headers: { 'idempotency-replayed': 'true' },
    })
    const entries = await api.tenancy.audit.list({ tenant: created.json.id })
    expect(entries[0]).toMatchObject({ action: 'tenant.create', actorId: administrator.id })
    expect((await api.tenancy.listMembers({ tenant: slug })).map(({ userId }) => userId)).toEqual([owner.id])
    const unknown = await call('POST /platform/tenants', { ...body, slug: `${slug}d`, owner: randomUUID() })
    expect(unknown).toMatchObject({ status: 404, json: { code: 'TENANCY_USER_NOT_FOUND' } })
  })

  test('It is suspended, activated, deleted, brought back and, by its typed slug, erased', async () => {
    const path = `/platform/tenants/${tenant.slug}`
    expect(await call(`POST ${path}/activate`)).toMatchObject({
      status: 409,
      json: { code: 'TENANCY_TENANT_STATE_CONFLICT' },
    })
    expect((await call(`POST ${path}/suspend`)).json.status).toBe('suspended')
    expect((await api.call(`GET /tenants/${tenant.id}`, { as: owner })).json.code).toBe('TENANCY_TENANT_SUSPENDED')
    expect((await call(`POST ${path}/activate`)).json.status).toBe('active')
    expect((await call(`POST ${path}/purge`, { confirm: tenant.slug })).status).toBe(409)
    expect((await call(`DELETE ${path}`)).status).toBe(204)
    expect((await call(`GET ${path}`)).json.status).toBe('deleted')
    expect((await call(`POST ${path}/undelete`)).json.status).toBe('active')
    await call(`DELETE ${path}`)
    expect(await call(`POST ${path}/purge`, { confirm: 'another' })).toMatchObject({
      status: 400,
      json: { code: 'TENANCY_REQUEST_INVALID', errors: [{ pointer: '#/confirm' }] },
    })
    expect((await call(`GET ${path}`)).json.status).toBe('deleted')
    expect((await call(`POST ${path}/purge`, { confirm: tenant.slug })).status).toBe(204)
    expect((await call(`GET ${path}`)).status).toBe(404)
    const entries = await api.tenancy.audit.list({ tenant: tenant.id })
    const wanted = ['suspend', 'reactivate', 'delete', 'undelete', 'delete', 'purge'].map(
      (action) => `tenant.${action}`,
    )
    const own = entries.filter(({ actorId }) => actorId === administrator.id)
    expect(own.map(({ action }) => action)).toEqual(wanted)
  })

  test('Its usage has members, bytes and connections', async () => {
    await api.join(tenant, ['Member'])
    const client = await api.tenancy.getTenantPool(tenant).connect()
    const { json } = await call(`GET /platform/tenants/${tenant.id}/usage`)
    client.release()
    expect(json).toMatchObject({ members: 2, maxUsers: null })
    expect(json.connections).toBeGreaterThanOrEqual(1)
    expect(json.databaseBytes).toBeGreaterThan(1_000_000)
  })

  test('One that does not exist is not found, whatever is asked', async () => {
    for (const target of ['GET ', 'DELETE ', 'GET /usage', 'POST /suspend', 'POST /undelete']) {
      const [method, rest] = target.split(' ')
      const answer = await call(`${method} /platform/tenants/${randomUUID()}${rest}`)
      expect(answer, target).toMatchObject({ status: 404, json: { code: 'TENANCY_TENANT_NOT_FOUND' } })
    }
  })
})

describe('users', () => {
  test('They are created, found by address in any case, and listed in pages', async () => {
    const email = `${tenant.slug}@example.com`
    const created = await call('POST /platform/users', { email, name: 'Dana' })
    expect(created).toMatchObject({
      status: 201,
      json: { email, name: 'Dana', emailVerified: false, disabledAt: null },
    })
    expect(await call('POST /platform/users', { email })).toMatchObject({
      status: 409,
      json: { code: 'TENANCY_USER_EXISTS' },
    })
    expect((await call('POST /platform/users', { email: 'none' })).status).toBe(422)
    const found = await call(`GET /platform/users/by-email?email=${encodeURIComponent(email.toUpperCase())}`)
    expect(found.json).toEqual(created.json)
    expect((await call('GET /platform/users/by-email?email=nobody@example.com')).status).toBe(404)
    const emails: string[] = []
    for (let after = ''; ;) {
      const { json } = await call(`GET /platform/users?limit=2${after}`)
      emails.push(...json.items.map((user: { readonly email: string }) => user.email))
      if (json.next === null) break
      after = `&after=${encodeURIComponent(json.next)}`
    }
    expect(emails).toContain(email)
    expect(emails).toEqual((await api.tenancy.listUsers({ limit: 1000 })).map((user) => user.email))
    expect((await call(`GET /platform/users?search=${tenant.slug}`)).json.items).toHaveLength(1)
    expect(await lastOf(null)).toMatchObject({ action: 'user.create', actorId: administrator.id })
  })

  test('One is read with their memberships, by slug, those of deleted tenants left out', async () => {
    const user = await api.createUser()
    const [own, gone] = [await api.createTenant(user), await api.createTenant(user)]
    const stranger = await api.createUser()
    const other = await api.createTenant(stranger)
    await api.tenancy.addMember({ tenant: other.id, user: user.id, roles: ['Member'] })
    await api.tenancy.setMemberActive({ tenant: other.id, user: user.id, isActive: false })
    await api.tenancy.deleteTenant({ tenant: gone.id })
    const { status, json } = await call(`GET /platform/users/${user.id}`)
    const record = await api.tenancy.getUser(user.id)
    const facts = { id: user.id, email: record.email, name: 'U', emailVerified: true, disabledAt: null }
    expect({ status, json }).toMatchObject({ status: 200, json: facts })
    const memberships = [
      { tenantId: own.id, slug: own.slug, tenantName: own.name, isActive: true, isDefault: true },
      { tenantId: other.id, slug: other.slug, tenantName: other.name, isActive: false, isDefault: false },
    ]
    expect(json.tenants).toEqual(memberships.toSorted((a, b) => (a.slug < b.slug ? -1 : 1)))
    // Nothing else leaves: no hash, no epoch, no identity.
    expect(Object.keys(json as object).toSorted()).toEqual(
      [...Object.keys(facts), 'createdAt', 'updatedAt', 'tenants'].toSorted(),
    )
    for (const unknown of [randomUUID(), own.id]) {
      expect(await call(`GET /platform/users/${unknown}`)).toMatchObject({
        ...{ status: 404, json: { code: 'TENANCY_USER_NOT_FOUND' } },
      })
    }
    expect((await call('GET /platform/users/x')).status).toBe(400)
  })

  test('An erased user is not read any more', async () => {
    const user = await api.createUser()
    await api.tenancy.deleteUser({ user: user.id })
    expect((await call(`GET /platform/users/${user.id}`)).status).toBe(404)
  })

  test('One is disabled, enabled and logged out everywhere, each by the administrator', async () => {
    const user = await api.createUser()
    const asks = () => api.call('GET /me/tenants', { as: user })
    expect((await asks()).status).toBe(200)
    expect((await call(`POST /platform/users/${user.id}/disable`)).json.disabledAt).not.toBeNull()
    expect((await asks()).json.code).toBe('TENANCY_AUTH_USER_REFUSED')
    expect((await call('GET /platform/users?disabled=true')).json.items).toMatchObject([{ id: user.id }])
    expect((await call(`POST /platform/users/${user.id}/enable`)).json.disabledAt).toBeNull()
    const { token } = await api.tenancy.issueAccessToken({ user: user.id })
    expect((await api.call('GET /me/tenants', { as: { id: user.id, token } })).status).toBe(200)
    expect((await call(`POST /platform/users/${user.id}/logout`)).status).toBe(200)
    expect((await api.call('GET /me/tenants', { as: { id: user.id, token } })).status).toBe(401)
    expect(await lastOf(null)).toMatchObject({ subject: `user:${user.id}`, actorId: administrator.id })
    expect(await call(`POST /platform/users/${randomUUID()}/disable`)).toMatchObject({
      status: 404,
      json: { code: 'TENANCY_USER_NOT_FOUND' },
    })
  })
})

describe('administrators', () => {
  test('One lets others in and out, and each change has its audit entry', async () => {
    const user = await api.createUser()
    const path = `/platform/administrators/${user.id}`
    const granted = await call(`PUT ${path}`)
    expect(granted).toMatchObject({ status: 200, json: { userId: user.id, grantedBy: administrator.id } })
    expect((await call(`PUT ${path}`)).json).toEqual(granted.json)
    const listed = await call('GET /platform/administrators?limit=1')
    expect(listed.json.items).toHaveLength(1)
    const rest = await call(`GET /platform/administrators?after=${listed.json.next}`)
    expect([...listed.json.items, ...rest.json.items].map(({ userId }: { userId: string }) => userId)).toContain(
      user.id,
    )
    expect((await call(`DELETE ${path}`)).status).toBe(204)
    expect(await lastOf(null)).toMatchObject({ action: 'platform.revoke', actorId: administrator.id })
    expect((await call(`DELETE ${path}`)).status).toBe(404)
    expect((await call(`PUT /platform/administrators/${randomUUID()}`)).status).toBe(404)
  })

  test('The last one stays: a disabled one does not count', async () => {
    const other = await api.createAdministrator()
    await api.tenancy.disableUser({ user: other.id })
    expect(await call(`DELETE /platform/administrators/${administrator.id}`)).toMatchObject({
      status: 409,
      json: { code: 'TENANCY_PLATFORM_LAST_ADMINISTRATOR' },
    })
    const third = await api.createAdministrator()
    const own = await api.call(`DELETE /platform/administrators/${third.id}`, { as: third })
    expect(own.status).toBe(204)
  })
})

test('The summary counts what the installation holds', async () => {
  const { status, json } = await call('GET /platform/summary')
  expect(status).toBe(200)
  expect(json).toEqual(await api.tenancy.summary())
})
