import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import type { Tenants } from '../../../src/catalog/tenants/tenants.js'
import type { Tenant } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../databases/fixture.js'
import { noOrigin } from '../../support/no-origin.js'

let installation: Installation
let tenants: Tenants
let owner: string
let tenant: Tenant
let count = 0

beforeAll(async () => {
  installation = await createInstallation()
  ;({ tenants } = installation.open())
  owner = await installation.createUser('owner')
})
afterAll(() => installation.drop())
beforeEach(async () => {
  count += 1
  tenant = await tenants.createTenant({ name: 'Acme', slug: `acme-${count}`, owner })
})

const epoch = async () =>
  (
    await installation.catalog.pool.query('select access_epoch::float8 as epoch from tenants where id = $1', [
      tenant.id,
    ])
  ).rows[0].epoch as number
const lastEntry = async () =>
  (await createAuditLog(installation.catalog.pool).list({ tenant: tenant.id, limit: 1000 })).at(-1)

test('what is given is changed, the rest stays, and the entry has what differs', async () => {
  const before = await epoch()
  const updated = await tenants.updateTenant({ tenant: tenant.slug, name: ' Acme Ltd ', maxUsers: 3, actor: owner })
  expect(updated).toEqual({ ...tenant, name: 'Acme Ltd', maxUsers: 3, updatedAt: expect.any(Date) })
  expect(await lastEntry()).toMatchObject({
    action: 'tenant.update',
    actorId: owner,
    before: { name: 'Acme', maxUsers: null },
    after: { name: 'Acme Ltd', maxUsers: 3 },
    operator: null,
    apiKey: null,
    ...noOrigin,
  })
  expect(await epoch()).toBeGreaterThan(before)
  expect(await tenants.updateTenant({ tenant: tenant.id, maxUsers: null, contactEmail: 'a@b.example' })).toMatchObject({
    name: 'Acme Ltd',
    maxUsers: null,
    contactEmail: 'a@b.example',
  })
  expect(await tenants.updateTenant({ tenant: tenant.id, contactEmail: null })).toMatchObject({ contactEmail: null })
})

test('a change of its roles raises the epoch of a tenant and not the time of its facts', async () => {
  const [before, { updatedAt }] = [await epoch(), tenant]
  const { pool } = installation.catalog
  await pool.query("insert into roles (tenant_id, name) values ($1, 'Own')", [tenant.id])
  expect(await epoch()).toBeGreaterThan(before)
  expect(await tenants.getTenant(tenant.id)).toEqual(tenant)
  const changed = await tenants.updateTenant({ tenant: tenant.id, name: 'Other', ifUpdatedAt: updatedAt })
  expect(changed.updatedAt).not.toEqual(updatedAt)
})

test('what is the same already is no change', async () => {
  const [before, entry] = [await epoch(), await lastEntry()]
  expect(await tenants.updateTenant({ tenant: tenant.id, name: 'Acme', contactEmail: null })).toEqual(tenant)
  expect(await tenants.renameTenant({ tenant: tenant.id, slug: tenant.slug })).toEqual(tenant)
  expect(await tenants.updateTenant({ tenant: tenant.id })).toEqual(tenant)
  expect([await epoch(), await lastEntry()]).toEqual([before, entry])
})

test.each([
  { name: '' },
  { name: 'a\nb' },
  { contactEmail: 'nobody' },
  { maxUsers: 0 },
  { maxUsers: 1.5 },
  { slug: 'x' },
])('a bad fact is refused: %j', async (facts) => {
  const input = { tenant: tenant.id, ...facts } as Parameters<Tenants['updateTenant']>[0]
  await expect(tenants.updateTenant(input)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
})

test('a renamed tenant is found by its new slug', async () => {
  const [slug, before] = [`${tenant.slug}-new`, await epoch()]
  expect(await tenants.renameTenant({ tenant: tenant.slug, slug, actor: owner })).toMatchObject({ id: tenant.id, slug })
  expect(await epoch()).toBeGreaterThan(before)
  expect(await tenants.getTenant(slug)).toMatchObject({ id: tenant.id, slug })
  expect(await lastEntry()).toMatchObject({ action: 'tenant.rename', before: { slug: tenant.slug }, after: { slug } })
})

test('a slug that is bad, reserved or taken is refused', async () => {
  const other = await tenants.createTenant({ name: 'Other', slug: `other-${count}`, owner })
  for (const [slug, code] of [
    ['No', 'TENANCY_TENANT_SLUG_INVALID'],
    ['admin', 'TENANCY_TENANT_SLUG_RESERVED'],
    [other.slug, 'TENANCY_TENANT_SLUG_TAKEN'],
  ] as const) {
    await expect(tenants.renameTenant({ tenant: tenant.id, slug })).rejects.toMatchObject({ code })
  }
})

test('of two tenants that want one slug at once, one gets it', async () => {
  const other = await tenants.createTenant({ name: 'Other', slug: `other-${count}`, owner })
  const slug = `wanted-${count}`
  const outcomes = await Promise.allSettled([tenant, other].map(({ id }) => tenants.renameTenant({ tenant: id, slug })))
  expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: { code: 'TENANCY_TENANT_SLUG_TAKEN' },
  })
})

test('a deleted tenant is not changed, an unknown one not found', async () => {
  await tenants.deleteTenant({ tenant: tenant.id })
  const conflict = { code: 'TENANCY_TENANT_STATE_CONFLICT' }
  await expect(tenants.updateTenant({ tenant: tenant.id, name: 'X' })).rejects.toMatchObject(conflict)
  await expect(tenants.renameTenant({ tenant: tenant.id, slug: 'other-slug' })).rejects.toMatchObject(conflict)
  const missing = { code: 'TENANCY_TENANT_NOT_FOUND' }
  await expect(tenants.updateTenant({ tenant: 'nobody', name: 'X' })).rejects.toMatchObject(missing)
})
