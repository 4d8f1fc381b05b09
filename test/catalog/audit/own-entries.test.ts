import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AuditLog, createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'
import { noOrigin } from '../../support/no-origin.js'

let catalog: TestDatabase
let audit: AuditLog
const tenant = randomUUID()

beforeAll(async () => {
  catalog = await createTestCatalog()
  audit = createAuditLog(catalog.pool)
  await catalog.pool.query("insert into tenants (id, slug, name) values ($1, 'acme', 'Acme')", [tenant])
})
afterAll(() => catalog.drop())

const invalid = { code: 'TENANCY_REQUEST_INVALID' }

test('an entry of the application is chained as ours, for a tenant or for the installation', async () => {
  const actor = randomUUID()
  const { seq, at } = await audit.record({
    ...{
      tenant: 'acme',
      action: 'app.invoice.sent-again',
      subject: 'invoice:42',
      data: { total: 1.5, to: null },
      actor,
    },
  })
  expect((await audit.list({ tenant })).at(-1)).toEqual({
    ...{ seq, at, actorId: actor, tenantId: tenant, action: 'app.invoice.sent-again', subject: 'invoice:42' },
    ...{ before: null, after: { total: 1.5, to: null }, operator: null, apiKey: null, ...noOrigin },
  })
  const { seq: next } = await audit.record({ action: 'app.start' })
  expect((await audit.list({ tenant: null })).at(-1)).toMatchObject({ seq: next, action: 'app.start', after: null })
  expect(await audit.verify()).toMatchObject({ isIntact: true, problems: [] })
})

test('an unknown tenant is not found', async () => {
  await expect(audit.record({ tenant: 'nobody', action: 'app.x' })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
})

test.each([
  '',
  'app',
  'app.',
  'user.delete',
  'tenant.create',
  'apple.x',
  'app.X',
  'app.x..y',
  'app.x\n',
  ' app.x',
  'app.x-',
  `app.${'x'.repeat(97)}`,
])('the action %j is refused: it could be taken for one of ours, or is malformed', async (action) => {
  await expect(audit.record({ action })).rejects.toMatchObject(invalid)
})

const cycle: Record<string, unknown> = {}
cycle['self'] = cycle
test.each([
  ['an array', []],
  ['a date', new Date()],
  ['a cycle', cycle],
  ['a BigInt', { a: 1n }],
  ['a NUL', { a: ['\0'] }],
  ['a NUL in a key', { a: { 'b\0': 1 } }],
  ['half of a surrogate pair', { a: '\ud800' }],
  ['what stands for a personal part', { 'tenants2fast.personal': 'a'.repeat(64) }],
  ['what stands for an operator', { 'tenants2fast.operator': 'root@host' }],
  ['more than 16 KiB', { a: 'ä'.repeat(8192) }],
  ['a value that writes itself as ours', { toJSON: () => ({ 'tenants2fast.operator': 'root@host' }) }],
])('data that is %s is refused', async (_title, data) => {
  const { entries } = await audit.verify()
  await expect(audit.record({ action: 'app.x', data: data as Record<string, unknown> })).rejects.toMatchObject(invalid)
  expect((await audit.verify()).entries).toBe(entries)
})

test.each(['', 'a\nb', 'x'.repeat(201), '\ud800'])('the subject %j is refused', async (subject) => {
  await expect(audit.record({ action: 'app.x', subject })).rejects.toMatchObject(invalid)
})

test('data with a backslash and u0000 as text is stored as it is', async () => {
  await audit.record({ action: 'app.x', data: { path: 'C:\\u0000' } })
  expect((await audit.list({ tenant: null })).at(-1)).toMatchObject({ after: { path: 'C:\\u0000' } })
})
