import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let administrator: Caller

beforeAll(async () => {
  api = await createApiApp()
  administrator = await api.createAdministrator()
})
afterAll(() => api.close())

const call = (target: string, body?: unknown) =>
  api.call(target, { as: administrator, ...(body === undefined ? {} : { body }) })
/** The actions of the administrator since the entry before, which is remembered. */
let seen = 0
async function newActions(): Promise<string[]> {
  const entries = await api.tenancy.audit.list({ tenant: null, limit: 1000 })
  const own = entries.filter(({ actorId, action }) => actorId === administrator.id && action !== 'token.issue')
  const actions = own.slice(seen).map(({ action }) => action)
  seen = own.length
  return actions
}
const defined = { status: 409, json: { code: 'TENANCY_ACCESS_DEFINED_IN_CODE' } }
const find = (items: readonly { readonly name: string }[], name: string) => items.find((item) => item.name === name)

test('Permissions and categories of the platform’s own are made and changed, each with its audit entry', async () => {
  expect(await call('POST /platform/categories', { name: 'Extras', description: 'More' })).toMatchObject({
    status: 201,
    json: { name: 'Extras', description: 'More', isSystem: false },
  })
  const permission = { name: 'extras:use', category: 'Extras' }
  const created = await call('POST /platform/permissions', permission)
  expect(created).toMatchObject({ status: 201, json: { ...permission, isActive: true, isSystem: false } })
  const listed = async () => find((await call('GET /platform/permissions?limit=200')).json.items, 'extras:use')
  expect(await listed()).toEqual(created.json)
  expect(await call('POST /platform/permissions', permission)).toMatchObject({
    status: 409,
    json: { code: 'TENANCY_ACCESS_PERMISSION_EXISTS' },
  })
  expect((await call('POST /platform/permissions', { name: 'x:y', category: 'None' })).status).toBe(404)
  expect((await call('POST /platform/permissions', { name: 'No Name' })).status).toBe(400)
  expect((await call('PATCH /platform/permissions/extras:use', { description: 'Uses them' })).status).toBe(204)
  expect((await call('POST /platform/permissions/extras:use/deactivate')).status).toBe(204)
  expect(await listed()).toMatchObject({ description: 'Uses them', isActive: false })
  expect((await call('POST /platform/permissions/extras:use/activate')).status).toBe(204)
  expect((await call('PATCH /platform/categories/Extras', { name: 'More extras' })).status).toBe(204)
  expect(await listed()).toMatchObject({ category: 'More extras', isActive: true })
  expect((await call('DELETE /platform/categories/More%20extras')).status).toBe(204)
  expect(await listed()).toMatchObject({ category: null })
  expect(await newActions()).toEqual([
    ...['category.create', 'permission.create', 'permission.update', 'permission.update', 'permission.update'],
    ...['category.update', 'category.delete'],
  ])
})

test('Built-in roles of the platform’s own grant, include, are switched off and deleted, in every tenant', async () => {
  const owner = await api.createUser()
  const tenant = await api.createTenant(owner)
  await api.tenancy.access.createPermission({ name: 'audits:read' })
  await newActions()
  const created = await call('POST /platform/roles', { name: 'Auditor', description: 'Reads' })
  expect(created).toMatchObject({ status: 201, json: { name: 'Auditor', isSystem: false, permissions: [] } })
  const path = '/platform/roles/Auditor'
  expect((await call(`PUT ${path}/permissions/audits:read`)).status).toBe(204)
  expect((await call(`PUT ${path}/inclusions/Member`)).status).toBe(204)
  const member = await api.join(tenant, ['Auditor'])
  const own = () => api.call('GET /me/permissions', { as: member, headers: { 'x-tenant-id': tenant.slug } })
  expect((await own()).json.permissions).toContain('audits:read')
  expect(find((await call('GET /platform/roles')).json.items, 'Auditor')).toMatchObject({
    ...{ permissions: ['audits:read'], includes: ['Member'], isActive: true },
  })
  expect((await call(`POST ${path}/deactivate`)).status).toBe(204)
  expect((await own()).json.permissions).not.toContain('audits:read')
  expect((await call(`POST ${path}/activate`)).status).toBe(204)
  expect((await call(`DELETE ${path}/permissions/audits:read`)).status).toBe(204)
  expect((await call(`DELETE ${path}/inclusions/Member`)).status).toBe(204)
  expect((await own()).json.permissions).toEqual([])
  expect((await call(`PATCH ${path}`, { description: 'Read' })).json).toMatchObject({ description: 'Read' })
  expect((await call(`DELETE ${path}`)).status).toBe(204)
  expect(await newActions()).toEqual([
    ...['role.create', 'role.grant', 'role.include', 'role.update', 'role.update', 'role.revoke', 'role.exclude'],
    ...['role.update', 'role.delete'],
  ])
  for (const target of [`DELETE ${path}`, `PUT ${path}/permissions/audits:read`, `POST ${path}/activate`]) {
    expect(await call(target)).toMatchObject({ status: 404, json: { code: 'TENANCY_ACCESS_ROLE_NOT_FOUND' } })
  }
  expect((await call('POST /platform/roles', { name: 'member' })).json.code).toBe('TENANCY_ACCESS_ROLE_EXISTS')
})

test('Route rules of the platform’s own are made, switched off and deleted', async () => {
  await api.tenancy.access.createPermission({ name: 'reports:read' })
  await newActions()
  const rule = { method: 'GET', path: '/reports/{id}', permission: 'reports:read' }
  expect(await call('POST /platform/route-rules', rule)).toMatchObject({ status: 201, json: rule })
  expect((await call('POST /platform/route-rules', rule)).json.code).toBe('TENANCY_ACCESS_RULE_EXISTS')
  expect((await call('POST /platform/route-rules', { ...rule, path: '/a//b' })).status).toBe(400)
  expect((await call('PATCH /platform/route-rules', { ...rule, isActive: false })).status).toBe(204)
  const all: unknown[] = []
  for (let after = ''; ;) {
    const { json } = await call(`GET /platform/route-rules?limit=3${after}`)
    all.push(...json.items)
    if (json.next === null) break
    after = `&after=${encodeURIComponent(json.next)}`
  }
  expect(all).toContainEqual({ ...rule, isActive: false, isSystem: false })
  expect(all).toHaveLength((await api.tenancy.access.listRouteRules()).length)
  const named = `/platform/route-rules?${new URLSearchParams(rule).toString()}`
  expect((await call(`DELETE ${named}`)).status).toBe(204)
  expect((await call(`DELETE ${named}`)).json.code).toBe('TENANCY_ACCESS_RULE_NOT_FOUND')
  expect(await newActions()).toEqual(['route.create', 'route.update', 'route.delete'])
})

test('What the application’s definition has is read-only: it stays as it is, and nothing is written', async () => {
  const read = async () =>
    Promise.all([
      api.tenancy.access.listPermissions(),
      api.tenancy.access.listCategories(),
      api.tenancy.access.listRouteRules(),
      api.tenancy.access.listRoles({ tenant: null }),
    ])
  const before = await read()
  await newActions()
  const [permissions, categories, rules] = before
  const permission = permissions.find(({ isSystem }) => isSystem)!.name
  const changes: [target: string, body?: unknown][] = [
    [`PATCH /platform/permissions/${permission}`, { description: 'x' }],
    [`POST /platform/permissions/${permission}/deactivate`],
    ['PATCH /platform/roles/Member', { description: 'x' }],
    ['DELETE /platform/roles/Admin'],
    ['POST /platform/roles/Owner/deactivate'],
    [`PUT /platform/roles/Member/permissions/${permission}`],
    [`DELETE /platform/roles/Admin/permissions/${permission}`],
    ['PUT /platform/roles/Member/inclusions/Admin'],
  ]
  const category = categories.find(({ isSystem }) => isSystem)
  if (category !== undefined) {
    const path = `/platform/categories/${encodeURIComponent(category.name)}`
    changes.push([`DELETE ${path}`], [`PATCH ${path}`, { name: 'Other' }])
  }
  const rule = rules.find(({ isSystem }) => isSystem)
  if (rule !== undefined) {
    const { method, path, permission: of } = rule
    changes.push(['PATCH /platform/route-rules', { method, path, permission: of, isActive: false }])
    changes.push([`DELETE /platform/route-rules?${new URLSearchParams({ method, path, permission: of }).toString()}`])
  }
  expect(changes.length).toBeGreaterThanOrEqual(8)
  for (const [target, body] of changes) expect(await call(target, body), target).toMatchObject(defined)
  expect(await read()).toEqual(before)
  expect(await newActions()).toEqual([])
})
