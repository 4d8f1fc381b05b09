import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Tenancy, Tenant } from '../../../src/index.js'
import { createTestTenancies, type TestTenancies } from '../../support/tenancy.js'
import { withAdmin } from '../../support/server.js'

let installation: TestTenancies
let tenancy: Tenancy
let acme: Tenant
beforeAll(async () => {
  installation = await createTestTenancies()
  tenancy = await installation.open()
  ;[acme] = (await installation.createTenants(tenancy, 1)) as [Tenant]
})
afterAll(() => installation.drop())

const query = (text: string) => tenancy.getTenantPool(acme).query(text)
const codeOf = (error: unknown) => (error as { code?: string }).code

test('a tenant whose new table was made without privileges is served after its first refusal', async () => {
  const { rows } = await query('select current_database() as name')
  await query(`drop owned by "${installation.prefix}members"`)
  // The state after a migration by a process of an earlier release.
  await withAdmin((admin) => admin.query('create table late (id int)'), rows[0].name)
  await expect(query('select * from late')).rejects.toMatchObject({ code: '42501' })
  await vi.waitUntil(
    () =>
      query('select * from late').then(
        () => true,
        () => false,
      ),
    { timeout: 20_000, interval: 50 },
  )
  await expect.poll(() => tenancy.stats().rolesRestored).toBe(1)
})

test('a justified refusal stays a refusal and restores no privileges', async () => {
  const refusals = await Promise.allSettled(Array.from({ length: 20 }, () => query('create table mine (id int)')))
  expect(new Set(refusals.map((outcome) => outcome.status === 'rejected' && codeOf(outcome.reason)))).toEqual(
    new Set(['42501']),
  )
  expect((await query('select * from late')).rowCount).toBe(0)
  expect(tenancy.stats()).toMatchObject({ rolesRestored: 1 })
})
