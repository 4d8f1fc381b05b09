import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { maxAliases } from '../../../src/catalog/tenants/slug-aliases.js'
import type { Tenants } from '../../../src/catalog/tenants/tenants.js'
import type { Tenant } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../databases/fixture.js'

const taken = { code: 'TENANCY_TENANT_SLUG_TAKEN' }

let installation: Installation
let tenants: Tenants
let owner: string
let tenant: Tenant
let count = 0

beforeAll(async () => {
  installation = await createInstallation()
  ;({ tenants } = installation.open({ retentionDays: 0 }))
  owner = await installation.createUser('owner')
})
afterAll(() => installation.drop())
beforeEach(async () => {
  count += 1
  tenant = await tenants.createTenant({ name: 'Acme', slug: `acme-${count}`, owner })
})

const sql = (text: string, values: unknown[] = []) => installation.catalog.pool.query(text, values)
const aliases = async () =>
  (await sql('select slug from tenant_slug_aliases where tenant_id = $1 order by slug', [tenant.id])).rows.map(
    (row) => row.slug as string,
  )

test('an old slug is kept for 90 days, and no other tenant may take it', async () => {
  const other = await tenants.createTenant({ name: 'Other', slug: `other-${count}`, owner })
  await tenants.renameTenant({ tenant: tenant.id, slug: `new-${count}` })
  const { rows } = await sql(
    "select expires_at - now() > interval '89 days' as kept from tenant_slug_aliases where slug = $1",
    [tenant.slug],
  )
  expect(rows).toEqual([{ kept: true }])
  await expect(tenants.createTenant({ name: 'X', slug: tenant.slug, owner })).rejects.toMatchObject(taken)
  await expect(tenants.renameTenant({ tenant: other.id, slug: tenant.slug })).rejects.toMatchObject(taken)
  expect(await tenants.isSlugAvailable({ slug: tenant.slug })).toEqual({ isAvailable: false, reason: 'taken' })
  expect((await tenants.getTenant(tenant.slug)).id).toBe(tenant.id)
})

test('a slug whose time is over is free, and names nobody', async () => {
  await tenants.renameTenant({ tenant: tenant.id, slug: `new-${count}` })
  await sql('update tenant_slug_aliases set expires_at = now() where tenant_id = $1', [tenant.id])
  await expect(tenants.getTenant(tenant.slug)).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  expect(await tenants.isSlugAvailable({ slug: tenant.slug })).toEqual({ isAvailable: true, reason: null })
  expect((await tenants.createTenant({ name: 'X', slug: tenant.slug, owner })).id).not.toBe(tenant.id)
  expect(await aliases()).toEqual([])
})

test('a slug that its tenant gives up while others want it goes to none of them', async () => {
  const client = await installation.catalog.pool.connect()
  try {
    await client.query('begin')
    await client.query('update tenants set slug = $2 where id = $1', [tenant.id, `new-${count}`])
    await client.query("insert into tenant_slug_aliases values ($1, $2, now(), now() + interval '1 day')", [
      tenant.slug,
      tenant.id,
    ])
    const wanted = sql('insert into tenants (id, slug, name) values (gen_random_uuid(), $1, $1)', [tenant.slug])
    wanted.catch(() => {})
    for (let waiting = 0; waiting === 0;) {
      waiting = (
        await sql("select from pg_stat_activity where wait_event_type = 'Lock' and query like 'insert into tenants%'")
      ).rowCount!
    }
    await client.query('commit')
    await expect(wanted).rejects.toMatchObject({ constraint: 'tenants_slug_key' })
  } finally {
    client.release()
  }
})

test('a tenant keeps all its former slugs, is renamed no further with ten of them, and they go with it', async () => {
  const rename = (index: number) => tenants.renameTenant({ tenant: tenant.id, slug: `n${index}-${count}` })
  for (let index = 0; index < maxAliases; index += 1) await rename(index)
  const former = [tenant.slug, ...Array.from({ length: maxAliases - 1 }, (_, index) => `n${index}-${count}`)]
  expect(await aliases()).toEqual(former.toSorted())
  await expect(rename(maxAliases)).rejects.toMatchObject({ code: 'TENANCY_TENANT_STATE_CONFLICT' })
  expect(await aliases()).toEqual(former.toSorted())
  // Back to a former one, which is no alias then.
  await tenants.renameTenant({ tenant: tenant.id, slug: tenant.slug })
  await tenants.deleteTenant({ tenant: tenant.id })
  await tenants.purgeTenant({ tenant: tenant.id })
  expect(await aliases()).toEqual([])
  expect(await tenants.isSlugAvailable({ slug: `n3-${count}` })).toEqual({ isAvailable: true, reason: null })
})

test('a slug that nobody had cannot be released', async () => {
  for (const slug of [tenant.slug, 'nobody', 'No', '', 'admin']) {
    await expect(tenants.releaseSlug({ slug })).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  }
})
