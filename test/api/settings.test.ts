import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { secret, type Tenancy, type Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

const tenantSettings = z.object({
  theme: z.enum(['light', 'dark']).default('light'),
  mail: z
    .object({ host: z.string().max(100).default('localhost'), password: secret(z.string().min(3)).optional() })
    .prefault({}),
  note: z.string().max(200_000).optional(),
})

let api: ApiApp
let tenancy: Tenancy
let owner: Caller
let tenant: Tenant

beforeAll(async () => {
  api = await createApiApp(undefined, {}, { tenantSettings })
  tenancy = api.tenancy
  owner = await api.createUser()
})
afterAll(() => api.close())
beforeEach(async () => {
  tenant = await api.createTenant(owner)
})

const read = (as = owner) => api.call(`GET /tenants/${tenant.id}/settings`, { as })
const change = (body: object, headers = {}, as = owner) =>
  api.call(`PATCH /tenants/${tenant.id}/settings`, { as, body, headers })

test('A new tenant has the defaults; a change is merged, tagged, audited, and shows no secret', async () => {
  const first = await read()
  expect(first.json).toEqual({
    ...{ settings: { theme: 'light', mail: { host: 'localhost', password: null } } },
    ...{ version: 0, updatedAt: null, invalid: [] },
  })
  expect(first.headers['etag']).toBe('"0"')
  const changed = await change({ mail: { password: 'hunter22' }, theme: 'dark' }, { 'if-match': '"0"' })
  expect(changed).toMatchObject({
    status: 200,
    headers: { etag: '"1"' },
    json: { settings: { theme: 'dark', mail: { host: 'localhost', password: { isSet: true } } }, version: 1 },
  })
  expect((await change({ theme: 'light' }, { 'if-match': '"0"' })).status).toBe(412)
  expect((await change({ theme: 'light' }, { 'if-match': '"x"' })).status).toBe(412)
  const { settings } = await tenancy.getTenantSettings({ tenant: tenant.slug })
  expect(settings).toEqual({ theme: 'dark', mail: { host: 'localhost', password: 'hunter22' } })

  const entries = await tenancy.audit.list({ tenant: tenant.id, action: 'tenant.settings' })
  expect(entries).toMatchObject([
    {
      actorId: owner.id,
      before: {},
      after: { theme: 'dark', mail: { password: { isSet: true, isChanged: true } } },
    },
  ])
  const { native } = tenancy.accountsHost().catalog as unknown as {
    native: { query(text: string): Promise<{ rows: object[] }> }
  }
  const { rows } = await native.query('select * from tenant_settings')
  expect(JSON.stringify([rows, entries, (await read()).json])).not.toContain('hunter22')

  const removed = await change({ mail: { password: null } })
  expect(removed.json.settings.mail).toEqual({ host: 'localhost', password: null })
})

test('What is the same already is no change', async () => {
  await change({ mail: { host: 'mail.example.com' } })
  expect((await change({ mail: { host: 'mail.example.com' } })).json.version).toBe(1)
  expect(await tenancy.audit.list({ tenant: tenant.id, action: 'tenant.settings' })).toHaveLength(1)
})

test('Unknown fields, values that do not fit, NUL, depth and size are refused, without the text of a secret', async () => {
  let deep: object = {}
  for (let depth = 0; depth < 500; depth += 1) deep = { deep }
  for (const bad of [
    ...[{ color: 'red' }, { mail: { port: 1 } }, { theme: 'pink' }, { mail: null, theme: 1 }, { note: 'a\u0000' }],
    ...[{ constructor: 1 }, { mail: { __proto__: 1, constructor: {} } }, { note: deep }, { mail: { password: 'zq' } }],
    ...[{ mail: { password: { isSet: true } } }],
  ]) {
    const answer = await change(bad)
    expect(answer.status, JSON.stringify(bad).slice(0, 100)).toBe(400)
    expect(JSON.stringify(answer.json)).not.toContain('zq')
  }
  const long = { tenant: tenant.id, changes: { note: 'x'.repeat(66_000) } }
  await expect(tenancy.updateTenantSettings(long)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  expect((await read()).json.version).toBe(0)
})

test('A refused change names every problem at its place, those of known and of unknown fields', async () => {
  const { status, headers, json } = await change({
    ...{ theme: 'pink', note: 'a\u0000', color: 'red', 'a/b c~.d': null, gone: null },
    mail: { host: 1, port: { deep: 1 }, password: 'zq' },
  })
  expect([status, headers['content-type']]).toEqual([400, 'application/problem+json; charset=utf-8'])
  expect(json.code).toBe('TENANCY_REQUEST_INVALID')
  const unknown = 'is no field of the settings'
  expect(json.errors).toEqual([
    { pointer: '#/theme', detail: expect.stringContaining('Invalid option') as string },
    { pointer: '#/mail/host', detail: expect.stringContaining('Invalid input') as string },
    { pointer: '#/mail/password', detail: 'is not valid' },
    { pointer: '#/note', detail: 'holds a NUL or half of a surrogate pair' },
    ...['color', 'a~1b%20c~0.d', 'gone', 'mail/port'].map((path) => ({ pointer: `#/${path}`, detail: unknown })),
  ])
  const input = { tenant: tenant.id, changes: { theme: 'pink', color: null } as never }
  await expect(tenancy.updateTenantSettings(input)).rejects.toMatchObject({
    message: expect.stringMatching(/changes\.theme: Invalid option.*; changes\.color: is no field/) as string,
    details: {
      problems: [expect.stringContaining('changes.theme: ') as string, `changes.color: ${unknown}`],
      errors: [{ pointer: '#/theme' }, { pointer: '#/color', detail: unknown }],
    },
  })
  // More than anybody reads are counted.
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`f${at}`, 1]))
  const { json: long } = await change(many)
  expect(long.errors).toHaveLength(201)
  expect(long.errors.at(-1)).toEqual({ pointer: '#', detail: '800 more problems are not listed' })
  expect((await read()).json.version).toBe(0)
})

test('A Member reads and changes nothing; an Admin does', async () => {
  const member = await api.join(tenant, ['Member'])
  expect((await read(member)).status).toBe(403)
  expect((await change({ theme: 'dark' }, {}, member)).status).toBe(403)
  const admin = await api.join(tenant, ['Admin'])
  expect((await change({ theme: 'dark' }, {}, admin)).status).toBe(200)
})

test('Of changes at once with the same version one succeeds, and none without a version is lost', async () => {
  const versions = await Promise.all(
    Array.from({ length: 5 }, (_, at) => change({ mail: { host: `h${at}` } }, { 'if-match': '"0"' })),
  )
  expect(versions.filter(({ status }) => status === 200)).toHaveLength(1)
  expect(versions.filter(({ status }) => status === 412)).toHaveLength(4)
  await Promise.all([change({ theme: 'dark' }), change({ note: 'kept' })])
  expect((await tenancy.getTenantSettings({ tenant: tenant.id })).settings).toMatchObject({
    theme: 'dark',
    note: 'kept',
  })
})

test('A warm read makes no query, and a change of another process is seen', async () => {
  const other = await api.openAnother({ tenantSettings })
  await expect.poll(async () => (await other.health()).ready).toBe(true)
  await other.getTenantSettings({ tenant: tenant.id })
  const native = (other.accountsHost().catalog as unknown as { native: { query: () => unknown } }).native
  const queries = vi.spyOn(native, 'query')
  await expect
    .poll(async () => {
      queries.mockClear()
      await other.getTenantSettings({ tenant: tenant.id })
      return queries.mock.calls.filter(([text]: unknown[]) => String(text).includes('tenant_settings')).length
    })
    .toBe(0)
  await change({ theme: 'dark' })
  await expect
    .poll(async () => (await other.getTenantSettings({ tenant: tenant.id })).settings)
    .toMatchObject({ theme: 'dark' })
})

test('After the schema has changed, reads give the default and writes say what to send', async () => {
  await change({ theme: 'dark', mail: { password: 'hunter22' } })
  const narrower = z.object({
    theme: z.enum(['light', 'blue']).default('light'),
    size: z.int().default(1),
    mail: z.object({ password: z.string().optional() }).optional(),
  })
  const other = await api.openAnother({ tenantSettings: narrower })
  const found = await other.getTenantSettings({ tenant: tenant.id })
  // The former secret is no secret in this schema, so it is not there.
  expect(found).toMatchObject({ settings: { theme: 'light', size: 1 }, invalid: ['theme'] })
  expect(JSON.stringify(found)).not.toContain('hunter22')
  await expect(other.updateTenantSettings({ tenant: tenant.id, changes: { size: 2 } })).rejects.toMatchObject({
    code: 'TENANCY_SETTINGS_OUTDATED',
    details: { problems: [expect.stringContaining('theme')], errors: [{ pointer: '#/theme' }] },
  })
  await other.updateTenantSettings({ tenant: tenant.id, changes: { size: 2, theme: null } })
  // The secret of the other version was kept.
  await expect
    .poll(async () => (await tenancy.getTenantSettings({ tenant: tenant.id })).settings)
    .toMatchObject({ theme: 'light', mail: { password: 'hunter22' } })
})

test('Without a schema there are no settings', async () => {
  const other = await api.openAnother({})
  await expect(other.getTenantSettings({ tenant: tenant.id })).rejects.toMatchObject({
    code: 'TENANCY_SETTINGS_UNDEFINED',
  })
})

test('A change of a secret tells nobody whether the earlier one was the same: nor does its audit entry', async () => {
  const told = async (password: string) => {
    const { json, headers } = await change({ mail: { password } })
    const [entry] = (await tenancy.audit.list({ tenant: tenant.id, action: 'tenant.settings' })).toReversed()
    return { etag: headers['etag'], version: json.version as number, before: entry?.before, after: entry?.after }
  }
  await told('hunter22')
  const same = await told('hunter22')
  const other = await told('hunter23')
  expect([same.version, other.version]).toEqual([2, 3])
  expect([same.etag, other.etag]).toEqual(['"2"', '"3"'])
  expect({ before: same.before, after: same.after }).toEqual({ before: other.before, after: other.after })
})

test('A change of other settings says nothing of the secret, and nothing new is no change', async () => {
  await change({ mail: { password: 'hunter22' } })
  expect((await change({ mail: { host: 'mail.example.com' } })).json.version).toBe(2)
  expect((await change({ mail: { host: 'mail.example.com' } })).json.version).toBe(2)
  const [entry] = (await tenancy.audit.list({ tenant: tenant.id, action: 'tenant.settings' })).toReversed()
  expect(entry?.after).toEqual({ mail: { host: 'mail.example.com', password: { isSet: true } } })
  expect((await change({ mail: { password: null } })).json.version).toBe(3)
  expect((await change({ mail: { password: null } })).json.version).toBe(3)
})
