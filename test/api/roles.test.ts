import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let owner: Caller
/** Holds `roles:manage`, and neither `tenant:delete` nor the role Owner. */
let admin: Caller
let tenant: Tenant
let roles: string
let count = 0

beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
  admin = await api.join(tenant, ['Admin'])
  roles = `/tenants/${tenant.id}/roles`
})
afterAll(() => api.close())

const as = (user: Caller, body?: unknown) => (body === undefined ? { as: user } : { as: user, body })
async function newRole(by = owner): Promise<{ id: string; name: string }> {
  count += 1
  return (await api.call(`POST ${roles}`, as(by, { name: `Role ${count}` }))).json
}
const builtIn = async (name: string) => (await api.tenancy.access.getRole({ tenant: null, role: name })).id
const denied = (code: string, status = 403) => ({ status, json: { code } })

describe('a role of the tenant’s own', () => {
  test('It is created, read, changed and deleted, each by its caller in the audit log', async () => {
    const created = await api.call(`POST ${roles}`, as(owner, { name: 'Accountant', description: 'Counts' }))
    expect(created.status).toBe(201)
    const { id } = created.json
    expect(created.json).toEqual({
      ...{ id, name: 'Accountant', description: 'Counts', isActive: true, isBuiltIn: false },
      ...{ permissions: [], includes: [], version: expect.any(String) },
    })
    const changed = await api.call(`PATCH ${roles}/${id}`, as(owner, { name: 'Clerk', isActive: false }))
    expect(changed).toMatchObject({ status: 200, json: { name: 'Clerk', description: 'Counts', isActive: false } })
    expect((await api.call(`GET ${roles}/${id}`, as(owner))).json).toEqual(changed.json)
    expect((await api.call(`DELETE ${roles}/${id}`, as(owner))).status).toBe(204)
    expect(await api.call(`GET ${roles}/${id}`, as(owner))).toMatchObject(denied('TENANCY_ACCESS_ROLE_NOT_FOUND', 404))
    const entries = (await api.tenancy.audit.list({ tenant: tenant.id })).filter(({ subject }) => subject?.includes(id))
    expect(entries).toMatchObject(
      ['role.create', 'role.update', 'role.delete'].map((action) => ({ action, actorId: owner.id })),
    )
  })

  test('A change with If-Match is for what was read: after a grant it is refused, and the tenant is another thing', async () => {
    const { id } = await newRole()
    const [read, before] = [
      await api.call(`GET ${roles}/${id}`, as(owner)),
      await api.call(`GET /tenants/${tenant.id}`, as(owner)),
    ]
    const change = (path: string, body: object, tag: unknown) =>
      api.call(`PATCH ${path}`, { ...as(owner, body), headers: { 'if-match': String(tag) } })
    await api.call(`PUT ${roles}/${id}/permissions/roles:read`, as(owner))
    expect(await change(`${roles}/${id}`, { description: 'x' }, read.headers['etag'])).toMatchObject(
      denied('TENANCY_CHANGE_OUTDATED', 412),
    )
    const { headers } = await api.call(`GET ${roles}/${id}`, as(owner))
    const changed = await change(`${roles}/${id}`, { description: 'x' }, headers['etag'])
    expect(changed).toMatchObject({ status: 200, json: { description: 'x' } })
    expect(changed.headers['etag']).toBe(`"${changed.json.version}"`)
    // The tenant's roles have changed, its facts have not.
    const name = { name: `Acme ${count}` }
    expect(await change(`/tenants/${tenant.id}`, name, before.headers['etag'])).toMatchObject({
      status: 200,
      json: name,
    })
  })

  test('A retry with the same key creates it once', async () => {
    const request = { ...as(owner, { name: 'Once' }), headers: { 'idempotency-key': 'role-1' } }
    const [first, again] = [await api.call(`POST ${roles}`, request), await api.call(`POST ${roles}`, request)]
    expect([first.status, again.status, again.json.id]).toEqual([201, 201, first.json.id])
  })

  test('A name that is taken in any case, is built in, is an id or has a bad form is refused', async () => {
    const { name } = await newRole()
    for (const taken of [name, name.toUpperCase(), 'admin']) {
      const answer = await api.call(`POST ${roles}`, as(owner, { name: taken }))
      expect(answer).toMatchObject(denied('TENANCY_ACCESS_ROLE_EXISTS', 409))
    }
    for (const bad of ['', ' x', 'a\nb', randomUUID(), 'x'.repeat(101)]) {
      expect((await api.call(`POST ${roles}`, as(owner, { name: bad }))).status, bad).toBe(400)
    }
  })

  test('What it grants and includes is added and taken away, and doing so twice is no error', async () => {
    const { id } = await newRole()
    const member = await builtIn('Member')
    const targets = [`${roles}/${id}/permissions/members:create`, `${roles}/${id}/includes/${member}`]
    for (const target of [...targets, ...targets]) {
      expect((await api.call(`PUT ${target}`, as(owner))).status).toBe(204)
    }
    const filled = await api.call(`GET ${roles}/${id}`, as(owner))
    expect(filled.json).toMatchObject({ permissions: ['members:create'], includes: ['Member'] })
    for (const target of [...targets, ...targets]) {
      expect((await api.call(`DELETE ${target}`, as(owner))).status).toBe(204)
    }
    expect((await api.call(`GET ${roles}/${id}`, as(owner))).json).toMatchObject({ permissions: [], includes: [] })
    const unknown = await api.call(`PUT ${roles}/${id}/permissions/no:such`, as(owner))
    expect(unknown).toMatchObject(denied('TENANCY_ACCESS_PERMISSION_NOT_FOUND', 404))
  })

  test('A role that would include itself is refused', async () => {
    const [one, two] = [await newRole(), await newRole()]
    expect((await api.call(`PUT ${roles}/${one.id}/includes/${two.id}`, as(owner))).status).toBe(204)
    for (const included of [one.id, two.id]) {
      const answer = await api.call(`PUT ${roles}/${included}/includes/${one.id}`, as(owner))
      expect(answer).toMatchObject(denied('TENANCY_ACCESS_ROLE_CYCLE', 409))
    }
  })
})

describe('authority', () => {
  test('Nobody grants or includes what they do not hold', async () => {
    const { id } = await newRole(admin)
    const grant = await api.call(`PUT ${roles}/${id}/permissions/tenant:delete`, as(admin))
    expect(grant).toMatchObject(denied('TENANCY_ACCESS_GRANT_REFUSED'))
    const include = await api.call(`PUT ${roles}/${id}/includes/${await builtIn('Owner')}`, as(admin))
    expect(include).toMatchObject(denied('TENANCY_ACCESS_GRANT_REFUSED'))
    expect((await api.call(`GET ${roles}/${id}`, as(admin))).json).toMatchObject({ permissions: [], includes: [] })
  })

  test('Nobody changes a role that holds more than they do', async () => {
    const { id } = await newRole()
    await api.call(`PUT ${roles}/${id}/permissions/tenant:delete`, as(owner))
    const answers = [
      await api.call(`PATCH ${roles}/${id}`, as(admin, { isActive: false })),
      await api.call(`DELETE ${roles}/${id}`, as(admin)),
      await api.call(`DELETE ${roles}/${id}/permissions/tenant:delete`, as(admin)),
      await api.call(`PUT ${roles}/${id}/includes/${await builtIn('Member')}`, as(admin)),
    ]
    for (const answer of answers) expect(answer).toMatchObject(denied('TENANCY_ACCESS_CHANGE_REFUSED'))
  })

  test('A built-in role is read, and nobody in a tenant changes it', async () => {
    const id = await builtIn('Member')
    const found = await api.call(`GET ${roles}/${id}`, as(owner))
    expect(found.json).toMatchObject({ name: 'Member', isBuiltIn: true })
    const answers = [
      await api.call(`PATCH ${roles}/${id}`, as(owner, { description: 'x' })),
      await api.call(`DELETE ${roles}/${id}`, as(owner)),
      await api.call(`PUT ${roles}/${id}/permissions/audit:read`, as(owner)),
      await api.call(`DELETE ${roles}/${id}/permissions/tenant:read`, as(owner)),
    ]
    for (const answer of answers) expect(answer).toMatchObject(denied('TENANCY_ACCESS_ROLE_PROTECTED'))
    expect((await api.call(`GET ${roles}/${id}`, as(owner))).json).toEqual(found.json)
  })

  test('A Member neither reads nor changes roles', async () => {
    const member = await api.join(tenant, ['Member'])
    for (const target of [`GET ${roles}`, `DELETE ${roles}/${randomUUID()}`]) {
      expect(await api.call(target, as(member))).toMatchObject(denied('TENANCY_ACCESS_DENIED'))
    }
  })
})

test('The list has built-in roles and the tenant’s own by name, in pages without gaps', async () => {
  const mine = await api.createTenant(owner)
  for (const name of ['Bee', 'Ant', 'Zebra']) await api.tenancy.access.createRole({ tenant: mine.id, name })
  const names: string[] = []
  let target = `/tenants/${mine.slug}/roles?limit=2`
  for (;;) {
    const { json } = await api.call(`GET ${target}`, as(owner))
    names.push(...json.items.map((item: { name: string }) => item.name))
    if (json.next === null) break
    expect(json.items).toHaveLength(2)
    target = `/tenants/${mine.slug}/roles?limit=2&after=${encodeURIComponent(json.next)}`
  }
  expect(names).toEqual(['Admin', 'Ant', 'Bee', 'Member', 'Owner', 'Zebra'])
  expect((await api.call(`GET ${roles}?after=%00`, as(owner))).status).toBe(400)
})
