import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FleetRevertResult, Tenancy, Tenant } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { createFolder, fixture } from '../schema/schema-database.js'

let installation: Installation
let folder: Awaited<ReturnType<typeof createFolder>>
let tenancy: Tenancy
const tenants: Tenant[] = []

beforeAll(async () => {
  folder = await createFolder({
    '0001_items.sql': 'create table items (id int primary key)',
    '0002_note.sql': 'alter table items add column note text',
    '0002_note.down.sql': 'alter table items drop column note',
  })
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder.dir, TENANT_SCHEMA_BEHIND: 'serve' })
  tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
  for (const slug of ['one', 'two', 'three']) {
    tenants.push(await tenancy.createTenant({ name: slug, slug: `tenant-${slug}`, owner: owner.id }))
  }
}, 90_000)
afterAll(async () => {
  await installation.drop()
  await folder.remove()
})

const columns = async (tenant: Tenant | undefined) => {
  const { fields } = await tenancy.getTenantPool(tenant as Tenant).query('select * from items')
  return fields.map(({ name }: { readonly name: string }) => name)
}

test('a revert undoes the last migration of every tenant once, records it, and a tenant without it is current', async () => {
  const results: FleetRevertResult[] = []
  const first = await tenancy.fleet.revert({ last: 1, tenants: ['tenant-one'] })
  expect(first).toMatchObject({ version: 1, migrations: ['0002_note.sql'], reverted: 1, current: 0, failed: 0 })
  const report = await tenancy.fleet.revert({ last: 1, onResult: (result) => results.push(result) })
  expect(report).toMatchObject({ reverted: 2, current: 1, failed: 0, remaining: 0 })
  expect(results.map(({ reverted }) => reverted.length).toSorted((a, b) => a - b)).toEqual([0, 1, 1])
  expect(await tenancy.fleet.revert({ last: 1 })).toMatchObject({ reverted: 0, current: 3 })
  for (const tenant of tenants) expect(await columns(tenant)).toEqual(['id'])
  expect((await tenancy.fleet.status()).versions).toEqual([{ version: 1, tenants: 3 }])
  // And forward again.
  expect(await tenancy.fleet.migrate()).toMatchObject({ migrated: 3, failed: 0 })
  expect(await columns(tenants[0])).toEqual(['id', 'note'])
}, 90_000)

test('a revert is refused before anything runs: without what undoes it, of too many, or where a request would undo it', async () => {
  await expect(tenancy.fleet.revert({ last: 2 })).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_IRREVERSIBLE',
    message: 'Nothing undoes 0001_items.sql: nothing was reverted',
  })
  await expect(tenancy.fleet.revert({ last: 3 })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  await expect(tenancy.fleet.revert({ last: 0 })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  const other = await installation.open({ env: { TENANT_SCHEMA_BEHIND: 'migrate' } })
  await expect(other.fleet.revert({ last: 1 })).rejects.toMatchObject({ code: 'TENANCY_CONFIG_INVALID' })
  expect(await columns(tenants[0])).toEqual(['id', 'note'])
}, 90_000)

test('new tenants of a Prisma folder have Prisma’s list, which they cannot read', async () => {
  const shop = createInstallation({ TENANT_SCHEMA_DIR: fixture('prisma') })
  try {
    const opened = await shop.open()
    const owner = await opened.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
    const tenant = await opened.createTenant({ name: 'A', slug: 'acme', owner: owner.id })
    const pool = opened.getTenantPool(tenant)
    expect((await pool.query('select count(*)::int as count from customers')).rows).toEqual([{ count: 0 }])
    expect((await pool.query("select to_regclass('public._prisma_migrations') is not null as found")).rows).toEqual([
      { found: true },
    ])
    await expect(pool.query('select * from _prisma_migrations')).rejects.toMatchObject({ code: '42501' })
  } finally {
    await shop.drop()
  }
}, 90_000)
