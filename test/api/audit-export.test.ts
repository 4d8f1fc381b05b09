import { once } from 'node:events'
import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { TenancyError, type Tenant } from '../../src/index.js'
import { type ApiAnswer, type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let owner: Caller
let administrator: Caller
let tenant: Tenant
/** More than what the buffers of a connection take. */
let large: Tenant
const largeEntries = 4000
const windows = largeEntries / 250

beforeAll(async () => {
  api = await createApiApp()
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  owner = await api.createUser()
  administrator = await api.createAdministrator()
  tenant = await api.createTenant(owner)
  await fill(tenant, 600, 10)
  large = await api.createTenant(owner)
  await fill(large, largeEntries, 8000)
})
afterEach(() => vi.restoreAllMocks())
afterAll(() => api.close())

const catalog = () => api.tenancy.accountsHost().catalog

async function fill({ id }: Tenant, entries: number, bytes: number): Promise<void> {
  const text = `insert into audit_log (tenant_id, actor_id, action, subject, after)
    select $1, $2, 'app.' || (array['even', 'odd'])[n % 2 + 1], 'n:' || n, jsonb_build_object('text', repeat('x', $4))
    from generate_series(1, $3::integer) as n`
  for (let left = entries; left > 0; left -= 1000) {
    await catalog().query(text, [id, owner.id, Math.min(left, 1000), bytes])
  }
}

/** Counts the queries of exports from now on. */
function countReads(): { count: number; fail?: number } {
  const state: { count: number; fail?: number } = { count: 0 }
  const pool = catalog()
  const query = pool.query.bind(pool)
  vi.spyOn(pool, 'query').mockImplementation((text, values) => {
    if (text.includes('and seq <= $7')) {
      state.count += 1
      if (state.count === state.fail) return Promise.reject(new Error('the catalog has lost its disk'))
    }
    return query(text, values)
  })
  return state
}

const exportOf = ({ id }: Tenant, query = '') => `/tenants/${id}/audit/export${query}`
const lines = async (query = '') => (await api.call(`GET ${exportOf(tenant, query)}`, { as: owner })).json

test('An export has the entries of all pages, in their order and form, one a line', async () => {
  const answer = await api.call(`GET ${exportOf(tenant)}`, { as: owner })
  expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'application/x-ndjson' } })
  const pages: unknown[] = []
  for (let next: string | null = '0'; next !== null;) {
    const page: ApiAnswer['json'] = (
      await api.call(`GET /tenants/${tenant.id}/audit?limit=200&after=${next}`, { as: owner })
    ).json
    pages.push(...page.items)
    next = page.next
  }
  expect(pages.length).toBeGreaterThan(600)
  expect(answer.json).toEqual(pages)
})

test('Filters are those of the list, also where a whole window of the chain has nothing for them', async () => {
  const odd = await lines('?action=app.odd')
  expect(odd).toHaveLength(300)
  expect(new Set(odd.map(({ action }: { action: string }) => action))).toEqual(new Set(['app.odd']))
  const last = odd.at(-1)
  expect(await lines(`?action=app.odd&after=${last.seq - 1}`)).toEqual([last])
  expect(await lines(`?after=${last.seq + 5}`)).toEqual([])
  expect(await lines('?to=2001-01-01T00:00:00Z')).toEqual([])
  expect(await lines(`?actor=${administrator.id}`)).toEqual([])
  for (const query of ['?after=-1', '?after=x', '?limit=5', '?from=yesterday']) {
    const { status } = await api.call(`GET ${exportOf(tenant, query)}`, { as: owner })
    expect(status, query).toBe(400)
  }
})

test('Without the permission, and of a tenant of others, nothing is read', async () => {
  const reads = countReads()
  const member = await api.join(tenant, ['Member'])
  const stranger = await api.createUser()
  for (const as of [member, stranger]) {
    expect((await api.call(`GET ${exportOf(tenant)}`, { as })).status).toBe(403)
  }
  expect(reads.count).toBe(0)
})

test('HEAD answers the headers of GET, and reads nothing', async () => {
  const reads = countReads()
  const headers = { authorization: `Bearer ${owner.token}` }
  for (const answer of [
    await api.app.inject({ method: 'HEAD', url: exportOf(tenant), headers }),
    await api.app.inject({
      ...{ method: 'HEAD', url: '/platform/audit/export' },
      headers: { authorization: `Bearer ${administrator.token}` },
    }),
  ]) {
    expect([answer.statusCode, answer.headers['content-type'], answer.payload]).toEqual([
      ...[200, 'application/x-ndjson', ''],
    ])
  }
  expect(reads.count).toBe(0)
})

test('Administrators of the installation export its log, and that of a tenant, erased ones included', async () => {
  const of = async (query: string) =>
    (await api.call(`GET /platform/audit/export${query}`, { as: administrator })).json as {
      action: string
      tenantId: string | null
      operator: string | null
    }[]
  const own = await of('')
  expect(own.map(({ action }) => action)).toContain('token.issue')
  expect(own.every(({ tenantId }) => tenantId === null)).toBe(true)
  const listed = (await api.call('GET /platform/audit?limit=200', { as: administrator })).json.items
  expect(own.slice(0, listed.length)).toEqual(listed)
  const gone = await api.createTenant(owner)
  await api.tenancy.deleteTenant({ tenant: gone.id })
  await api.tenancy.purgeTenant({ tenant: gone.id })
  expect((await of(`?tenant=${gone.id}`)).map(({ action }) => action)).toContain('tenant.purge')
  expect((await api.call('GET /platform/audit/export?tenant=nobody', { as: administrator })).status).toBe(404)
  const verified = await api.call('POST /platform/audit/verify', { as: administrator })
  expect(verified.json).toMatchObject({ isIntact: true })
  expect((await api.call('GET /platform/audit/export', { as: owner })).status).toBe(401)
})

const handle = (url: string) =>
  api.api.handle(new Request(`http://localhost${url}`, { headers: { authorization: `Bearer ${owner.token}` } }), {
    remoteAddress: '127.0.0.1',
    target: url,
  })

test('Nothing is read before it is asked for, and a reader that leaves ends the reading', async () => {
  const reads = countReads()
  const response = await handle(exportOf(large))
  expect(reads.count).toBe(0)
  const reader = response.body!.getReader()
  await reader.read()
  expect(reads.count).toBe(1)
  await reader.cancel()
  // What was taken last was on its way already.
  expect(reads.count).toBe(1)
})

test('What is written while an export runs is not in it', async () => {
  const response = await handle(exportOf(tenant))
  const before = (await lines()).length
  await api.tenancy.audit.record({ tenant: tenant.id, action: 'app.later' })
  expect((await response.text()).trimEnd().split('\n')).toHaveLength(before)
})

/** Asks over a real connection. */
async function connect(url: string): Promise<{ request: ClientRequest; response: IncomingMessage; server: Socket }> {
  const { port } = api.app.server.address() as AddressInfo
  const connected = once(api.app.server, 'connection') as Promise<[Socket]>
  const request = get({ port, path: url, agent: false, headers: { authorization: `Bearer ${owner.token}` } })
  request.on('error', () => {})
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const [server] = await connected
  return { request, response, server }
}

test('A client that does not read stops the reading, and one that hangs up ends it', async () => {
  const reads = countReads()
  const { request, response, server } = await connect(exportOf(large))
  response.pause()
  await vi.waitFor(() => expect(server.writableNeedDrain).toBe(true), { timeout: 20_000, interval: 20 })
  const stoppedAt = reads.count
  expect(stoppedAt).toBeLessThan(windows)
  const closed = new Promise((resolve) => server.once('close', resolve))
  request.destroy()
  await closed
  // Another request is answered meanwhile.
  expect(await lines('?after=600')).not.toEqual([])
  await sleep(0)
  expect(reads.count).toBeLessThan(windows)
})

test('A client that reads slowly gets all of it', async () => {
  const { response } = await connect(exportOf(large))
  let bytes = 0
  let newlines = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    newlines += chunk.filter((byte) => byte === 10).length
  }
  expect(response.complete).toBe(true)
  expect(newlines).toBeGreaterThanOrEqual(largeEntries)
  expect(bytes).toBeGreaterThan(largeEntries * 8000)
})

test('When the catalog fails in the middle, the connection is cut, so that a part is not taken for the whole', async () => {
  const reads = countReads()
  reads.fail = 3
  const { response } = await connect(exportOf(large))
  const read = async () => {
    for await (const _chunk of response);
  }
  await expect(read()).rejects.toThrow('aborted')
  expect(response.complete).toBe(false)
  expect(reads.count).toBe(3)
})

test('When the catalog fails before the first entry, the answer is a problem', async () => {
  const pool = catalog()
  const query = pool.query.bind(pool)
  vi.spyOn(pool, 'query').mockImplementation((text, values) =>
    text.includes('from audit_chains where chain_id')
      ? Promise.reject(new TenancyError('TENANCY_CATALOG_UNAVAILABLE'))
      : query(text, values),
  )
  const response = await handle(exportOf(tenant))
  expect([response.status, response.headers.get('content-type')]).toEqual([
    ...[503, 'application/problem+json; charset=utf-8'],
  ])
})
