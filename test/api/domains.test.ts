import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let administrator: Caller
let owner: Caller
let tenant: Tenant
const records = new Map<string, string[]>()

beforeAll(async () => {
  const resolveTxt = async (name: string) => records.get(name) ?? []
  api = await createApiApp(undefined, {}, { domains: { byHost: true, resolveTxt, maxPerTenant: 3 } })
  administrator = await api.createAdministrator()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
})
afterAll(() => api.close())

const send = (target: string, body?: unknown, as: Caller = owner, headers = {}) =>
  api.call(target, { as, headers, ...(body === undefined ? {} : { body }) })

test('A host is added once for a key, proven by its record, served, listed and removed', async () => {
  const path = `/tenants/${tenant.id}/domains`
  const [host, headers] = ['app.customer.example.org', { 'idempotency-key': randomUUID() }]
  const added = await send(`POST ${path}`, { host: 'App.Customer.Example.org.' }, owner, headers)
  expect(added).toMatchObject({ status: 201, json: { host, state: 'pending' } })
  const again = await send(`POST ${path}`, { host: 'App.Customer.Example.org.' }, owner, headers)
  expect([again.status, again.json]).toEqual([201, added.json])
  expect(await send(`POST ${path}`, { host })).toMatchObject({ status: 409, json: { code: 'TENANCY_DOMAIN_EXISTS' } })
  expect(await send(`POST ${path}`, { host: '*.example.org' })).toMatchObject({
    ...{ status: 422, json: { code: 'TENANCY_DOMAIN_INVALID' } },
  })
  const { id, recordName, recordValue } = added.json
  const verify = `POST ${path}/${id}/verify`
  expect(await send(verify)).toMatchObject({ status: 409, json: { code: 'TENANCY_DOMAIN_NOT_PROVEN' } })
  records.set(recordName, [recordValue])
  expect(await send(verify)).toMatchObject({ status: 200, json: { state: 'proven' } })
  const answer = await api.app.inject({
    ...{ method: 'GET', url: '/me/tenants' },
    headers: { authorization: `Bearer ${owner.token}`, host },
  })
  expect(answer.statusCode).toBe(200)
  expect((await send(`GET ${path}`)).json.items).toMatchObject([{ id, state: 'proven' }])
  expect(
    (await send(`GET /platform/tenants/${tenant.slug}/domains`, undefined, administrator)).json.items,
  ).toHaveLength(1)
  expect((await send(`DELETE ${path}/${id}`)).status).toBe(204)
  expect(await send(`DELETE ${path}/${id}`)).toMatchObject({ status: 404, json: { code: 'TENANCY_DOMAIN_NOT_FOUND' } })
})

test('Pages have no gaps, and a tenant has no more domains than it may have', async () => {
  const { id } = await api.createTenant(owner)
  const path = `/tenants/${id}/domains`
  for (const name of ['a', 'b', 'c']) await send(`POST ${path}`, { host: `${name}.pages.example.org` })
  expect(await send(`POST ${path}`, { host: 'd.pages.example.org' })).toMatchObject({
    ...{ status: 409, json: { code: 'TENANCY_DOMAIN_LIMIT_REACHED' } },
  })
  const first = await send(`GET ${path}?limit=2`)
  const second = await send(`GET ${path}?limit=2&after=${first.json.next}`)
  const hosts = [...first.json.items, ...second.json.items].map(({ host }: { host: string }) => host[0])
  expect([hosts, second.json.next]).toEqual([['a', 'b', 'c'], null])
})

test('Whoever proves an address at a proven e-mail domain joins by themselves', async () => {
  const path = `/tenants/${tenant.id}/email-domains`
  expect(await send(`POST ${path}`, { domain: 'gmail.com' })).toMatchObject({ status: 422 })
  const added = await send(`POST ${path}`, { domain: 'staff.example.org', roles: ['Member'] })
  expect(added).toMatchObject({ status: 201, json: { roles: ['Member'], state: 'pending' } })
  const { id } = await api.tenancy.createUser({ email: 'bob@staff.example.org', name: 'Bob', emailVerified: true })
  const user = { id, token: (await api.tenancy.issueAccessToken({ user: id })).token }
  expect((await send('GET /me/joinable-tenants', undefined, user)).json.items).toEqual([])
  records.set(added.json.recordName, [added.json.recordValue])
  expect((await send(`POST ${path}/${added.json.id}/verify`)).status).toBe(200)
  expect((await send('GET /me/joinable-tenants', undefined, user)).json.items).toMatchObject([{ tenantId: tenant.id }])
  expect((await send(`POST /me/joinable-tenants/${tenant.id}/join`, undefined, user)).status).toBe(200)
  expect((await send(`GET /tenants/${tenant.id}/members/${user.id}`)).json).toMatchObject({ roles: ['Member'] })
  expect(await send(`PATCH ${path}/${added.json.id}`, { roles: ['Admin'] })).toMatchObject({ status: 403 })
  expect((await send(`PATCH ${path}/${added.json.id}`, { roles: [] })).json.roles).toEqual([])
})

test('An administrator of the platform lists and removes the domains of any tenant, with an audit entry', async () => {
  const { id: other } = await api.createTenant(await api.createUser())
  const host = await api.tenancy.addDomain({ tenant: other, host: 'taken.example.org' })
  const email = await api.tenancy.addEmailDomain({ tenant: other, domain: 'taken.example.org' })
  const path = `/platform/tenants/${other}`
  for (const [list, { id }] of [
    ['domains', host],
    ['email-domains', email],
  ] as const) {
    const remove = (of: string) => send(`DELETE ${path.replace(other, of)}/${list}/${id}`, undefined, administrator)
    expect((await send(`GET ${path}/${list}`, undefined, administrator)).json.items).toMatchObject([{ id }])
    expect((await remove(tenant.id)).status).toBe(404)
    expect((await remove(other)).status).toBe(204)
    expect((await send(`GET ${path}/${list}`, undefined, administrator)).json.items).toEqual([])
    expect((await api.tenancy.audit.list({ tenant: other, limit: 1000 })).at(-1)).toMatchObject({
      ...{ action: 'domain.remove', actorId: administrator.id, subject: `domain:${id}` },
    })
  }
})
