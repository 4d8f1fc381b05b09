import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { withAdmin } from '../support/server.js'

let installation: Installation
let tenancy: Tenancy
let owner: string

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
  owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
  await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner, labels: ['eu-west', 'beta', 'beta'] })
  await tenancy.createTenant({ name: 'Globex', slug: 'globex', owner })
})
afterAll(() => installation.drop())

const slugsOf = async (label: string) => (await tenancy.listTenants({ label })).map(({ slug }) => slug)

test('A tenant is created with labels, sorted and each once, and they replace each other', async () => {
  expect((await tenancy.getTenant('acme')).labels).toEqual(['beta', 'eu-west'])
  expect((await tenancy.getTenant('globex')).labels).toEqual([])
  const changed = await tenancy.setTenantLabels({ tenant: 'globex', labels: ['z', 'A.1', 'z'], actor: owner })
  expect(changed.labels).toEqual(['A.1', 'z'])
  expect((await tenancy.setTenantLabels({ tenant: 'globex', labels: [] })).labels).toEqual([])
  await expect(tenancy.setTenantLabels({ tenant: 'nobody', labels: [] })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
})

test('A change of labels is in the audit log with both lists; the same labels again are no change', async () => {
  const { id } = await tenancy.createTenant({ name: 'Audited', slug: 'audited', owner, labels: ['a'] })
  await tenancy.setTenantLabels({ tenant: id, labels: ['b'], actor: owner })
  await tenancy.setTenantLabels({ tenant: id, labels: ['b'], actor: owner })
  const { rows } = await withAdmin(
    (admin) =>
      admin.query('select action, actor_id, before, after from audit_log where tenant_id = $1 order by seq', [id]),
    installation.catalogName,
  )
  expect(rows).toMatchObject([
    { action: 'tenant.create', after: { slug: 'audited', labels: ['a'] } },
    { action: 'tenant.labels', actor_id: owner, before: { labels: ['a'] }, after: { labels: ['b'] } },
  ])
})

test('Tenants are listed by label, in any status, and a label is not a pattern', async () => {
  for (const slug of ['list-1', 'list-2', 'list-3']) {
    await tenancy.createTenant({ name: 'L', slug, owner, labels: ['listed', slug] })
  }
  await tenancy.suspendTenant({ tenant: 'list-2' })
  expect(await slugsOf('listed')).toEqual(['list-1', 'list-2', 'list-3'])
  expect(await tenancy.listTenants({ label: 'listed', status: 'suspended' })).toMatchObject([{ slug: 'list-2' }])
  expect(await slugsOf('list')).toEqual([])
  expect(await slugsOf('LISTED')).toEqual([])
})

test('Labels of another form are refused before anything is written, by the functions and by the catalog', async () => {
  const wrong = fc.oneof(
    fc.string({ minLength: 1, maxLength: 5 }).filter((text) => !/^[A-Za-z0-9._-]*$/.test(text)),
    fc.constantFrom('', ' ', 'a b', 'ä', 'a\n', 'x'.repeat(64), 'a,b', '{a}', 'a\0'),
  )
  await fc.assert(
    fc.asyncProperty(wrong, async (label) => {
      for (const call of [
        tenancy.setTenantLabels({ tenant: 'acme', labels: ['ok', label] }),
        tenancy.listTenants({ label }),
        tenancy.fleet.migrate({ label }),
      ]) {
        await expect(call).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
      }
    }),
    { numRuns: 50 },
  )
  const many = Array.from({ length: 51 }, (_, index) => `label-${index}`)
  await expect(tenancy.setTenantLabels({ tenant: 'acme', labels: many })).rejects.toMatchObject({
    code: 'TENANCY_REQUEST_INVALID',
  })
  await expect(tenancy.createTenant({ name: 'X', slug: 'labelled', owner, labels: ['a b'] })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_INPUT_INVALID',
  })
  const fullest = many.slice(1).map((label) => label.padEnd(63, 'x'))
  expect((await tenancy.setTenantLabels({ tenant: 'acme', labels: fullest })).labels).toHaveLength(50)
  for (const labels of [['a b'], [''], [null], ['x'.repeat(64)], many]) {
    const raw = withAdmin(
      (admin) => admin.query("update tenants set labels = $1 where slug = 'acme'", [labels]),
      installation.catalogName,
    )
    await expect(raw).rejects.toMatchObject({ code: '23514' })
  }
})
