import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let owner: Caller
let tenant: Tenant
let admin: Caller

beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
})
afterAll(() => api.close())
beforeEach(async () => {
  tenant = await api.createTenant(owner)
  admin = await api.join(tenant, ['Admin'])
  for (const [actor, name] of [
    [owner, 'One'],
    [admin, 'Two'],
    [owner, 'Three'],
  ] as const) {
    await api.tenancy.access.createRole({ tenant: tenant.id, name, actor: actor.id })
  }
})

const list = (query = '') => api.call(`GET /tenants/${tenant.id}/audit${query}`, { as: admin })
const names = async (query: string) =>
  (await list(query)).json.items.map((item: { after: { name?: string } }) => item.after.name)

test('Entries are listed in their order, in pages, without the operator’s machine', async () => {
  const all = (await list()).json
  expect(all.next).toBe(null)
  expect(all.items.map((item: { seq: number }) => item.seq)).toEqual([1, 2, 3, 4, 5])
  expect(Object.keys(all.items[0])).toEqual([
    ...['seq', 'at', 'actorId', 'apiKey', 'requestId', 'address', 'isPlatform', 'impersonation'],
    ...['action', 'subject', 'before', 'after'],
  ])
  const first = (await list('?limit=3')).json
  const second = (await list(`?limit=3&after=${first.next}`)).json
  expect([...first.items, ...second.items]).toEqual(all.items)
  expect(second.next).toBe(null)
})

test('Filters combine: the beginning of the action, the actor, the time', async () => {
  expect(await names('?action=role.')).toEqual(['One', 'Two', 'Three'])
  expect(await names('?action=role.create&limit=1')).toEqual(['One'])
  expect(await names('?action=role%25')).toEqual([])
  expect(await names(`?actor=${admin.id}`)).toEqual(['Two'])
  expect(await names(`?actor=${owner.id}&action=role.`)).toEqual(['One', 'Three'])
  const { items } = (await list('?action=role.')).json
  const at = encodeURIComponent(items[1].at)
  expect(await names(`?action=role.&from=${at}`)).toContain('Three')
  expect(await names(`?action=role.&to=${at}`)).not.toContain('Three')
  expect(await names('?to=2001-01-01T00:00:00Z')).toEqual([])
})

test('What is no place, moment, user or number is refused', async () => {
  for (const query of ['after=-1', 'after=x', 'actor=me', 'from=yesterday', 'limit=0', 'limit=201', 'action=%00']) {
    expect((await list(`?${query}`)).status, query).toBe(400)
  }
})

test('Entries of another tenant are in no answer, whoever made them', async () => {
  const other = await api.createTenant(owner)
  await api.tenancy.access.createRole({ tenant: other.id, name: 'Elsewhere', actor: owner.id })
  expect(await names(`?actor=${owner.id}&action=role.`)).toEqual(['One', 'Three'])
})

test('A verification covers the tenant’s chain, and a Member asks for neither', async () => {
  const verify = (as: Caller) => api.call(`POST /tenants/${tenant.id}/audit/verify`, { as })
  expect(await verify(admin)).toMatchObject({ status: 200, json: { isIntact: true, entries: 5, problems: [] } })
  const member = await api.join(tenant, ['Member'])
  const refused = [await verify(member), await api.call(`GET /tenants/${tenant.id}/audit`, { as: member })]
  for (const answer of refused) expect(answer).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } })
})
