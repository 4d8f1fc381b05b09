import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { type AuditEntry, getCurrentTenant, getCurrentUser, type Tenant } from '../../src/index.js'
import { createWebHandler } from '../../src/adapters/web/index.js'
import { urlOf } from '../support/server.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

// Where a change over HTTP came from, in the audit log.

let api: ApiApp
/** An application behind a proxy that it trusts, with a route of its own. */
let app: FastifyInstance
let owner: Caller
let tenant: Tenant
let administrator: Caller

beforeAll(async () => {
  api = await createApiApp(undefined, {}, { env: { TENANT_TRUSTED_PROXIES: '127.0.0.1' } })
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
  administrator = await api.createAdministrator()
  app = Fastify({ requestIdHeader: 'x-request-id' })
  await app.register(tenancyPlugin, { tenancy: api.tenancy, api: api.api })
  app.post('/notes', async () => {
    const actor = getCurrentUser().id
    const { id } = getCurrentTenant()
    await api.tenancy.audit.record({ tenant: id, action: 'app.note.create', actor })
    // A job that the request starts in another context is still the request's.
    return api.tenancy.runWithTenant({ tenant: id }, () =>
      api.tenancy.updateTenant({ tenant: id, name: `N ${randomUUID()}`, actor }),
    )
  })
  app.post('/in-the-name-of-the-owner', async () =>
    api.tenancy.audit.record({
      ...{ tenant: getCurrentTenant().id, action: 'app.note.sign', data: { a: 1 }, actor: owner.id },
    }),
  )
  await app.ready()
})
afterAll(async () => {
  await app?.close()
  await api?.close()
})

interface Sent {
  readonly method?: 'POST' | 'PATCH' | 'DELETE' | 'PUT'
  readonly as: Caller
  readonly from: string
  readonly body?: object
  readonly id?: string
}

/** Sends a request through the proxy, and returns what it left in the chain. */
async function send(url: string, { method = 'POST', as, from, body, id = randomUUID() }: Sent, chain: string | null) {
  const start = await lengthOf(chain)
  const answer = await app.inject({
    ...{ method, url },
    ...(body === undefined ? {} : { payload: body }),
    headers: { authorization: `Bearer ${as.token}`, 'x-forwarded-for': from, 'x-request-id': id },
  })
  expect(answer.statusCode, answer.body).toBeLessThan(300)
  return { id, entries: await api.tenancy.audit.list({ tenant: chain, after: start }), json: answer.body }
}
const lengthOf = async (chain: string | null) => (await api.tenancy.audit.verify({ tenant: chain })).entries
const originOf = ({ action, actorId, requestId, address, isPlatform }: AuditEntry) => ({
  ...{ action, actorId, requestId, address, isPlatform },
})

test('An entry of a change by the management API has the request’s id and the client’s address behind the proxy', async () => {
  const body = { name: 'Renamed' }
  const sent = { method: 'PATCH', as: owner, from: '192.0.2.1, 198.51.100.7', body } as const
  const { id, entries } = await send(`/tenants/${tenant.id}`, sent, tenant.id)
  expect(entries.map(originOf)).toEqual([
    { action: 'tenant.update', actorId: owner.id, requestId: id, address: '198.51.100.7', isPlatform: false },
  ])
  expect(entries[0]?.after).toEqual(body)
})

test('So has one of an application’s own route, and of a job that it starts', async () => {
  const { id, entries } = await send('/notes', { as: owner, from: '2001:db8::1' }, tenant.id)
  expect(entries.map(originOf)).toEqual(
    ['app.note.create', 'tenant.update'].map((action) => ({
      ...{ action, actorId: owner.id, requestId: id, address: '2001:db8::1', isPlatform: false },
    })),
  )
  expect(entries[0]?.after).toBeNull()
})

test('A request’s id is cleaned, and a spoofed address beyond the trusted proxy is not believed', async () => {
  const sent = { method: 'PATCH', as: owner, from: 'nonsense\u00e9', id: 'x\';"{}', body: { name: 'Other' } } as const
  const { entries } = await send(`/tenants/${tenant.id}`, sent, tenant.id)
  expect(entries.map(originOf)).toEqual([
    { action: 'tenant.update', actorId: owner.id, requestId: 'x_____', address: '127.0.0.1', isPlatform: false },
  ])
})

test('What the platform’s administrators change says so; a tenant does not see where they sit', async () => {
  const sent = { as: administrator, from: '203.0.113.5' }
  const { id, entries } = await send(`/platform/tenants/${tenant.id}/suspend`, sent, tenant.id)
  expect(entries.map(originOf)).toEqual([
    { action: 'tenant.suspend', actorId: administrator.id, requestId: id, address: '203.0.113.5', isPlatform: true },
  ])
  await send(`/platform/tenants/${tenant.id}/activate`, sent, tenant.id)
  const { json } = await api.call(`GET /tenants/${tenant.id}/audit?action=tenant.suspend`, { as: owner })
  expect(json.items).toMatchObject([{ requestId: id, address: null, isPlatform: true, impersonation: null }])
})

test('A service account’s address is kept for it; requests of one address share one row', async () => {
  const account = { tenant: tenant.id, name: 'Program', actor: owner.id }
  const { id: serviceAccount } = await api.tenancy.createServiceAccount(account)
  const { apiKey, key } = await api.tenancy.createApiKey({ ...account, serviceAccount, permissions: ['tenant:update'] })
  const program = { id: apiKey.id, token: key }
  for (const name of ['A', 'B']) {
    const sent = { method: 'PATCH', as: program, from: '198.51.100.9', body: { name } } as const
    const { entries } = await send(`/tenants/${tenant.id}`, sent, tenant.id)
    expect(entries).toMatchObject([{ actorId: serviceAccount, apiKey: apiKey.id, address: '198.51.100.9' }])
  }
  const { rows } = await api.tenancy
    .accountsHost()
    .catalog.query('select user_id from audit_addresses where address = $1', ['198.51.100.9'])
  expect(rows).toEqual([{ user_id: null }])
})

test('A fetch handler leaves the id and address that its platform gives', async () => {
  const handle = createWebHandler({ tenancy: api.tenancy, api: api.api })
  const start = await lengthOf(tenant.id)
  const request = new Request(`http://localhost/tenants/${tenant.id}`, {
    method: 'PATCH',
    headers: { authorization: `Bearer ${owner.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'By fetch' }),
  })
  expect((await handle(request, { remoteAddress: '198.51.100.20', requestId: 'edge-1' })).status).toBe(200)
  expect(await api.tenancy.audit.list({ tenant: tenant.id, after: start })).toMatchObject([
    { requestId: 'edge-1', address: '198.51.100.20' },
  ])
})

test('An address is that of whoever called, also where an application names somebody else as the actor', async () => {
  const person = await api.join(tenant, ['Admin'])
  const { entries } = await send('/in-the-name-of-the-owner', { as: person, from: '198.51.100.55' }, tenant.id)
  expect(entries).toMatchObject([{ actorId: owner.id, address: '198.51.100.55', after: { a: 1 } }])
  await api.tenancy.deleteUser({ user: person.id })
  const [entry] = await api.tenancy.audit.list({ tenant: tenant.id, action: 'app.note.sign' })
  expect(entry).toMatchObject({ actorId: owner.id, address: null })
  expect(await api.tenancy.audit.verify()).toMatchObject({ isIntact: true, problems: [] })
})

test('Erasing a user erases their addresses; the chains stay intact, with and without origins', async () => {
  const person = await api.join(tenant, ['Admin'])
  const sent = { method: 'PATCH', as: person, from: '198.51.100.33', body: { name: 'By a person' } } as const
  const { id, entries } = await send(`/tenants/${tenant.id}`, sent, tenant.id)
  expect(entries).toMatchObject([{ actorId: person.id, address: '198.51.100.33' }])
  await api.tenancy.deleteUser({ user: person.id })
  const after = (await api.tenancy.audit.list({ tenant: tenant.id, by: person.id })).filter(
    (one) => one.requestId === id,
  )
  expect(after).toMatchObject([{ actorId: person.id, requestId: id, address: null }])
  const { catalog } = api.tenancy.accountsHost()
  const { rows } = await catalog.query("select from audit_addresses where address = '198.51.100.33'")
  expect(rows).toEqual([])
  expect(await api.tenancy.audit.verify()).toMatchObject({ isIntact: true, problems: [] })
})

test('Verification finds an address that was changed or removed while its user is there', async () => {
  const person = await api.join(tenant, ['Admin'])
  const sent = { method: 'PATCH', as: person, from: '198.51.100.44', body: { name: 'By another' } } as const
  const { entries } = await send(`/tenants/${tenant.id}`, sent, tenant.id)
  const { catalog } = api.tenancy.accountsHost()
  await expect(catalog.query("update audit_addresses set address = '::1'")).rejects.toThrow(/append-only/)
  await expect(catalog.query('delete from audit_addresses')).rejects.toThrow(/append-only/)
  // Whoever owns the catalog can do it all the same.
  const admin = new pg.Client({ connectionString: urlOf(api.tenancy.config.catalogDatabase) })
  await admin.connect()
  try {
    await admin.query("set session_replication_role = 'replica'")
    const found = { tenantId: tenant.id, seq: entries[0]?.seq, kind: 'altered' }
    await admin.query("update audit_addresses set address = '::1' where address = '198.51.100.44'")
    expect((await api.tenancy.audit.verify({ tenant: tenant.id })).problems).toMatchObject([found])
    expect((await api.tenancy.audit.verify()).problems).toMatchObject([found])
    await admin.query("update audit_addresses set address = '198.51.100.44' where address = '::1'")
    expect(await api.tenancy.audit.verify()).toMatchObject({ isIntact: true })
    await admin.query("delete from audit_addresses where address = '198.51.100.44'")
    expect((await api.tenancy.audit.verify({ tenant: tenant.id })).problems).toMatchObject([found])
  } finally {
    await admin.end()
  }
})
