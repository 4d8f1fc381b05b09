import { createHash } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let address: string
let owner: Caller
let administrator: Caller
let tenant: Tenant
let id: string
let whole: Buffer

beforeAll(async () => {
  api = await createApiApp()
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  address = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`
  owner = await api.createUser()
  administrator = await api.createAdministrator()
  tenant = await api.createTenant(owner)
  id = await startExport(`/tenants/${tenant.id}`, owner)
  whole = Buffer.from(await (await download()).arrayBuffer())
})
afterAll(() => api.close())

/** Starts an export, and waits until it is ready. */
async function startExport(path: string, as: Caller): Promise<string> {
  const { status, json } = await api.call(`POST ${path}/exports`, { as, body: {} })
  expect([status, json?.error, json?.tenantId === undefined]).toEqual([201, null, true])
  await vi.waitFor(
    async () => {
      const read = await api.call(`GET ${path}/exports/${json.id}`, { as })
      expect(read.json.state).toBe('ready')
    },
    { timeout: 30_000, interval: 50 },
  )
  return json.id
}

const archive = () => `/tenants/${tenant.id}/exports/${id}/archive`
const download = (headers: Record<string, string> = {}, method = 'GET', path = archive(), as = owner) =>
  fetch(address + path, { method, headers: { authorization: `Bearer ${as.token}`, ...headers } })
const bytesOf = async (answer: Response) => Buffer.from(await answer.arrayBuffer())

test('The archive has its length, its hash as tag, and restores', async () => {
  const answer = await download()
  const sha256 = createHash('sha256').update(whole).digest()
  expect(answer.status).toBe(200)
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-type': 'application/octet-stream',
    'content-length': String(whole.length),
    'accept-ranges': 'bytes',
    etag: `"${sha256.toString('hex')}"`,
    'repr-digest': `sha-256=:${sha256.toString('base64')}:`,
    'content-disposition': `attachment; filename="export-${id}.t2fb"`,
    'cache-control': 'no-store, no-transform',
  })
  expect(await bytesOf(answer)).toEqual(whole)
  const { json } = await api.call(`GET /tenants/${tenant.id}/exports/${id}`, { as: owner })
  expect(json).toMatchObject({ bytes: whole.length, sha256: sha256.toString('hex'), requestedBy: owner.id })
  await api.tenancy.restore({ from: Readable.from([whole]), tenant: tenant.id })
})

test('HEAD answers the headers of GET without its body, and no entry', async () => {
  const before = await entries('export.download')
  const answer = await download({ range: 'bytes=0-4' }, 'HEAD')
  expect([answer.status, answer.headers.get('content-length'), await answer.text()]).toEqual([
    ...[200, String(whole.length), ''],
  ])
  expect(await entries('export.download')).toBe(before)
})

test('A range is answered with 206 and that part', async () => {
  const size = whole.length
  for (const [range, start, end] of [
    ['bytes=0-0', 0, 0],
    ['bytes=10-19', 10, 19],
    ['bytes=100-', 100, size - 1],
    ['bytes=-7', size - 7, size - 1],
    [`bytes=0-${size * 2}`, 0, size - 1],
    [`bytes=-${size * 2}`, 0, size - 1],
    ['bytes=5-99999999999999', 5, size - 1],
  ] as const) {
    const answer = await download({ range })
    expect([answer.status, answer.headers.get('content-range')], range).toEqual([206, `bytes ${start}-${end}/${size}`])
    expect(answer.headers.get('content-length')).toBe(String(end - start + 1))
    expect((await bytesOf(answer)).equals(whole.subarray(start, end + 1)), range).toBe(true)
  }
})

test('A range behind the end is 416 with the length; one that cannot be read, and several, mean the whole', async () => {
  for (const range of [`bytes=${whole.length}-`, `bytes=${whole.length + 5}-${whole.length + 9}`, 'bytes=-0']) {
    const answer = await download({ range })
    expect([answer.status, answer.headers.get('content-range')], range).toEqual([416, `bytes */${whole.length}`])
    expect(await answer.json()).toMatchObject({ code: 'TENANCY_REQUEST_RANGE_UNSATISFIABLE' })
  }
  for (const range of ['bytes=5-4', 'bytes=', 'bytes=a-b', 'lines=0-1', 'bytes=0-1,3-4', 'bytes=-', '0-1']) {
    const answer = await download({ range })
    expect([answer.status, answer.headers.get('content-length')], range).toEqual([200, String(whole.length)])
    await answer.body?.cancel()
  }
})

test('A download that broke off goes on, unless the archive is another one by then', async () => {
  const controller = new AbortController()
  const first = await fetch(address + archive(), {
    headers: { authorization: `Bearer ${owner.token}` },
    signal: controller.signal,
  })
  const tag = first.headers.get('etag') ?? ''
  const reader = first.body!.getReader()
  const begun = Buffer.from((await reader.read()).value ?? [])
  controller.abort()
  const have = begun.subarray(0, 100)
  const rest = await download({ range: 'bytes=100-', 'if-range': tag })
  expect(rest.status).toBe(206)
  expect(Buffer.concat([have, await bytesOf(rest)])).toEqual(whole)
  for (const other of ['"another"', `W/${tag}`, 'Sun, 06 Nov 1994 08:49:37 GMT']) {
    expect((await download({ range: 'bytes=100-', 'if-range': other })).status, other).toBe(200)
  }
})

async function entries(action: string): Promise<number> {
  return (await api.tenancy.audit.list({ tenant: tenant.id, action, limit: 1000 })).length
}

test('A download in parts leaves one entry for each who downloads', async () => {
  const other = await api.join(tenant, ['Owner'])
  const before = await entries('export.download')
  for (const range of ['bytes=0-9', 'bytes=10-19', 'bytes=20-'])
    await bytesOf(await download({ range }, 'GET', archive(), other))
  expect(await entries('export.download')).toBe(before + 1)
  const { json } = await api.call(`GET /tenants/${tenant.id}/audit?action=export.download&actor=${other.id}`, {
    as: owner,
  })
  expect(json.items).toMatchObject([
    { actorId: other.id, subject: `export:${id}`, requestId: expect.any(String), address: expect.any(String) },
  ])
})

test('Owners alone export: an Admin is refused everything, and may not give themselves the permission', async () => {
  const admin = await api.join(tenant, ['Admin'])
  for (const target of [
    'POST /exports',
    'GET /exports',
    `GET /exports/${id}`,
    `GET /exports/${id}/archive`,
    `DELETE /exports/${id}`,
  ]) {
    const [method, path] = target.split(' ')
    const answer = await api.call(`${method} /tenants/${tenant.id}${path}`, { as: admin })
    expect(answer, target).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } })
  }
  const grant = api.tenancy.access.setOverride({
    ...{ tenant: tenant.id, user: admin.id, permission: 'tenant:export', effect: 'allow', actor: admin.id },
  })
  await expect(grant).rejects.toMatchObject({ code: 'TENANCY_ACCESS_GRANT_REFUSED' })
})

test('A retry with the same key starts one export; a second one waits for the first to end', async () => {
  const mine = await api.createTenant(owner)
  const send = (key: string) =>
    api.call(`POST /tenants/${mine.id}/exports`, { as: owner, body: {}, headers: { 'idempotency-key': key } })
  const [first, second] = [await send('a'), await send('a')]
  expect([first.status, second.status, second.json]).toEqual([201, 201, first.json])
  expect(second.headers['idempotency-replayed']).toBe('true')
  const { json } = await api.call(`GET /tenants/${mine.id}/exports`, { as: owner })
  expect(json.items.map((each: { id: string }) => each.id)).toEqual([first.json.id])
})

test('A deleted export is gone with its archive; input that makes no sense is refused', async () => {
  const mine = await api.createTenant(owner)
  const own = await startExport(`/tenants/${mine.id}`, owner)
  const target = `/tenants/${mine.id}/exports/${own}`
  expect((await api.call(`DELETE ${target}`, { as: owner })).status).toBe(204)
  for (const call of [`GET ${target}`, `GET ${target}/archive`, `DELETE ${target}`]) {
    expect(await api.call(call, { as: owner }), call).toMatchObject({
      ...{ status: 404, json: { code: 'TENANCY_EXPORT_NOT_FOUND' } },
    })
  }
  for (const body of [
    { expiresInSeconds: 59 },
    { expiresInSeconds: 90_000 },
    { encryptTo: [] },
    { encryptTo: ['ssh-rsa x'] },
  ]) {
    const answer = await api.call(`POST /tenants/${mine.id}/exports`, { as: owner, body })
    expect(answer.status, JSON.stringify(body)).toBe(400)
  }
})

test('Administrators of the installation export any tenant, a deleted one as well, in its own log', async () => {
  const mine = await api.createTenant(owner)
  await api.tenancy.deleteTenant({ tenant: mine.id })
  const path = `/platform/tenants/${mine.id}`
  const own = await startExport(path, administrator)
  const answer = await download({}, 'GET', `${path}/exports/${own}/archive`, administrator)
  expect(answer.status).toBe(200)
  expect((await bytesOf(answer)).length).toBe(Number(answer.headers.get('content-length')))
  const log = await api.tenancy.audit.list({ tenant: mine.id, action: 'export.' })
  expect(log.map(({ action, actorId }) => [action, actorId])).toEqual([
    ['export.start', administrator.id],
    ['export.download', administrator.id],
  ])
  expect((await api.call(`GET ${path}/exports`, { as: administrator })).json.items).toHaveLength(1)
  expect((await api.call(`DELETE ${path}/exports/${own}`, { as: administrator })).status).toBe(204)
  // The tenant's side has nothing of a deleted tenant.
  expect((await api.call(`GET /tenants/${mine.id}/exports`, { as: owner })).status).toBe(403)
})

test('Without the option of createTenancy the answer is a clear 404', async () => {
  const without = await createApiApp(undefined, undefined, { exports: undefined })
  try {
    const user = await without.createUser()
    const { id: mine } = await without.createTenant(user)
    for (const target of [`POST /tenants/${mine}/exports`, `GET /tenants/${mine}/exports`]) {
      const answer = await without.call(target, { as: user, ...(target.startsWith('POST') ? { body: {} } : {}) })
      expect(answer).toMatchObject({ status: 404, json: { code: 'TENANCY_EXPORT_DISABLED' } })
    }
  } finally {
    await without.close()
  }
})
