import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { TenantDatabases } from '../../../src/databases/tenant-databases.js'
import type { Tenants } from '../../../src/catalog/tenants/tenants.js'
import { createInstallation, type Installation } from '../../databases/fixture.js'

let installation: Installation
let databases: TenantDatabases
let tenants: Tenants
let owner: string

beforeEach(async () => {
  installation = await createInstallation()
  ;({ databases, tenants } = installation.open())
  owner = await installation.createUser('owner')
})
afterEach(() => installation.drop())

const sql = async (text: string, values: unknown[] = []) => (await installation.catalog.pool.query(text, values)).rows
const countOf = async (table: string) => (await sql(`select count(*)::int as count from ${table}`))[0].count as number
const codeOf = (error: unknown) => (error as { code?: string }).code

test('a new tenant has a database, its owner as first member with role Owner, and an audit entry', async () => {
  const tenant = await tenants.createTenant({
    name: ' Acme ',
    slug: 'acme',
    owner,
    contactEmail: 'a@acme.test',
    maxUsers: 3,
  })
  expect(tenant).toMatchObject({
    slug: 'acme',
    name: 'Acme',
    status: 'active',
    contactEmail: 'a@acme.test',
    maxUsers: 3,
    createdBy: owner,
    suspendedAt: null,
    deletedAt: null,
  })
  expect(tenant.createdAt).toBeInstanceOf(Date)
  expect(tenant.id[14]).toBe('7')
  expect(
    await sql('select state, lease_owner, reserved_for from tenant_databases where id = $1', [tenant.databaseId]),
  ).toEqual([{ state: 'assigned', lease_owner: null, reserved_for: null }])
  expect(
    await sql(
      `select user_id, is_default, user_tenants.is_active, roles.name from user_tenants
    join user_tenant_roles using (user_id, tenant_id) join roles on roles.id = role_id where user_tenants.tenant_id = $1`,
      [tenant.id],
    ),
  ).toEqual([{ user_id: owner, is_default: true, is_active: true, name: 'Owner' }])
  expect(
    await sql('select actor_id, action, subject, after from audit_log where tenant_id = $1', [tenant.id]),
  ).toMatchObject([
    { actor_id: owner, action: 'tenant.create', subject: `tenant:${tenant.id}`, after: { slug: 'acme', owner } },
  ])
  expect(await tenants.getTenant('acme')).toEqual(tenant)
  expect(await tenants.getTenant(tenant.id)).toEqual(tenant)
})

test('the owner of a second tenant keeps the first as default', async () => {
  const first = await tenants.createTenant({ name: 'First', slug: 'first', owner })
  await tenants.createTenant({ name: 'Second', slug: 'second', owner })
  expect(await sql('select tenant_id from user_tenants where user_id = $1 and is_default', [owner])).toEqual([
    { tenant_id: first.id },
  ])
})

test('createTenant builds no database when one is in stock, and the stock is filled again', async () => {
  const { databases: stocked, tenants: fast } = installation.open({ readyTarget: 2 })
  await stocked.fillStock()
  const ready = (await sql("select id from tenant_databases where state = 'ready' order by created_at")).map(
    (row) => row.id,
  )
  const tenant = await fast.createTenant({ name: 'Acme', slug: 'acme', owner })
  expect(ready).toContain(tenant.databaseId)
  await stocked.close()
  const { databases: again } = installation.open({ readyTarget: 2 })
  await again.fillStock()
  expect(await sql("select count(*)::int from tenant_databases where state = 'ready'")).toEqual([{ count: 2 }])
})

test('of a hundred concurrent creations of one slug, one succeeds, 99 get a conflict, and one database is used', async () => {
  const other = installation.open()
  const attempts = Array.from({ length: 100 }, (_, index) =>
    (index % 2 === 0 ? tenants : other.tenants).createTenant({ name: `Acme ${index}`, slug: 'acme', owner }),
  )
  const results = await Promise.allSettled(attempts)
  const failures = results.filter((result) => result.status === 'rejected').map((result) => codeOf(result.reason))
  expect(failures).toEqual(Array.from({ length: 99 }, () => 'TENANCY_TENANT_SLUG_TAKEN'))
  expect(await sql("select count(*)::int from tenant_databases where state = 'assigned'")).toEqual([{ count: 1 }])
  // Two processes, each with one creator at a time. If the one that lost has built a database, it is in stock.
  expect(await countOf('tenant_databases')).toBeLessThanOrEqual(2)
  expect([
    await countOf('tenants'),
    await countOf('user_tenants'),
    await countOf('audit_log where tenant_id is not null'),
  ]).toEqual([1, 1, 1])
}, 60_000)

test('a hundred concurrent creations of one slug in one process build one database', async () => {
  const attempts = Array.from({ length: 100 }, () => tenants.createTenant({ name: 'Acme', slug: 'acme', owner }))
  const results = await Promise.allSettled(attempts)
  expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
  expect(await countOf('tenant_databases')).toBe(1)
})

test('concurrent creations of different slugs get different databases, with or without stock', async () => {
  const { databases: stocked, tenants: fast } = installation.open({ readyTarget: 3 })
  await stocked.fillStock()
  const created = await Promise.all(
    Array.from({ length: 8 }, (_, index) => fast.createTenant({ name: 'Tenant', slug: `tenant-${index}`, owner })),
  )
  expect(new Set(created.map((tenant) => tenant.databaseId)).size).toBe(8)
  await stocked.close()
})

test('createTenant refuses an unknown or disabled owner and uses up no database', async () => {
  const disabled = await installation.createUser('disabled')
  await sql('update users set disabled_at = now() where id = $1', [disabled])
  for (const unfit of [disabled, '00000000-0000-4000-8000-000000000000']) {
    await expect(tenants.createTenant({ name: 'Acme', slug: 'acme', owner: unfit })).rejects.toMatchObject({
      code: 'TENANCY_USER_NOT_FOUND',
    })
  }
  expect([
    await countOf('tenants'),
    await countOf('tenant_databases'),
    await countOf('audit_log where tenant_id is not null'),
  ]).toEqual([0, 0, 0])
})

test('a transaction that finds no database for a tenant writes nothing and locks no row', async () => {
  const client = await installation.catalog.pool.connect()
  try {
    await client.query('begin')
    const found = await client.query(
      "select * from create_tenant(gen_random_uuid(), 'acme', 'Acme', null, null, $1, $1, 'none', null)",
      [owner],
    )
    expect(found.rows).toEqual([])
    const { rows } = await client.query('select pg_current_xact_id_if_assigned() as id')
    expect(rows).toEqual([{ id: null }])
  } finally {
    await client.query('rollback')
    client.release()
  }
})

test('one error names every problem of the input of createTenant', async () => {
  const input = {
    name: ' ',
    slug: 'No Slug',
    owner: 'me',
    contactEmail: 'nobody',
    maxUsers: 0,
    actor: 'x',
    color: 'red',
  }
  const failure = await tenants.createTenant(input).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'TENANCY_TENANT_INPUT_INVALID', statusCode: 422 })
  for (const field of ['name', 'slug', 'owner', 'contactEmail', 'maxUsers', 'actor', 'color']) {
    expect((failure as Error).message).toContain(field)
  }
})

test('an invalid or reserved slug has its own code when it is the only problem', async () => {
  await expect(tenants.createTenant({ name: 'A', slug: 'UPPER', owner })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_SLUG_INVALID',
  })
  await expect(tenants.createTenant({ name: 'A', slug: 'admin', owner })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_SLUG_RESERVED',
  })
})

test('text that PostgreSQL cannot store is refused before it is sent', async () => {
  for (const name of ['a\0b', 'a\nb', 'a\ud800b', 'x'.repeat(201), 1, null, undefined]) {
    const input = { name: name as string, slug: 'acme', owner }
    await expect(tenants.createTenant(input)).rejects.toMatchObject({ code: 'TENANCY_TENANT_INPUT_INVALID' })
  }
})

test('tenant names in any script and with quotes are stored unchanged', async () => {
  const name = `Zoë's "Ünïcode"; drop table tenants; -- 株式会社 🏢`
  expect(await tenants.createTenant({ name, slug: 'acme', owner })).toMatchObject({ name })
})

test('a tenant can be suspended, reactivated and deleted once each, with an audit entry', async () => {
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner })
  const suspended = await tenants.suspendTenant({ tenant: 'acme', actor: owner })
  expect(suspended).toMatchObject({ status: 'suspended', suspendedAt: expect.any(Date) })
  await expect(tenants.suspendTenant({ tenant: 'acme' })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_STATE_CONFLICT',
  })
  expect(await tenants.reactivateTenant({ tenant: tenant.id })).toMatchObject({ status: 'active', suspendedAt: null })
  await expect(tenants.reactivateTenant({ tenant: 'acme' })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_STATE_CONFLICT',
  })
  expect(await tenants.deleteTenant({ tenant: 'acme' })).toMatchObject({
    status: 'deleted',
    deletedAt: expect.any(Date),
    databaseId: tenant.databaseId,
  })
  await expect(tenants.deleteTenant({ tenant: 'acme' })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_STATE_CONFLICT',
  })
  await expect(tenants.reactivateTenant({ tenant: 'acme' })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_STATE_CONFLICT',
  })
  expect(await sql('select state from tenant_databases where id = $1', [tenant.databaseId])).toEqual([
    { state: 'retired' },
  ])
  expect(
    await sql(
      "select actor_id, action, before, after from audit_log where tenant_id is not null and action <> 'tenant.create' order by id",
    ),
  ).toEqual([
    { actor_id: owner, action: 'tenant.suspend', before: { status: 'active' }, after: { status: 'suspended' } },
    { actor_id: null, action: 'tenant.reactivate', before: { status: 'suspended' }, after: { status: 'active' } },
    {
      actor_id: null,
      action: 'tenant.delete',
      before: { status: 'active' },
      after: { status: 'deleted', retentionDays: 30 },
    },
  ])
})

test('one of ten concurrent suspensions succeeds', async () => {
  await tenants.createTenant({ name: 'Acme', slug: 'acme', owner })
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => tenants.suspendTenant({ tenant: 'acme' })))
  expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
})

test('an unknown tenant is not found, whatever name is given', async () => {
  for (const name of ['nobody', '0190a000-0000-7000-8000-000000000000', '', 'UPPER', "x' or '1'='1", 'a\0b']) {
    await expect(tenants.getTenant(name)).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
    await expect(tenants.suspendTenant({ tenant: name })).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  }
})

test('tenants are listed in pages, by status', async () => {
  for (const slug of ['one', 'two', 'three']) await tenants.createTenant({ name: slug, slug, owner })
  await tenants.suspendTenant({ tenant: 'two' })
  const slugs = async (options?: Parameters<Tenants['listTenants']>[0]) =>
    (await tenants.listTenants(options)).map(({ slug }) => slug)
  expect(await slugs()).toEqual(['one', 'two', 'three'])
  expect(await slugs({ status: 'active' })).toEqual(['one', 'three'])
  const [first] = await tenants.listTenants({ limit: 1 })
  expect(await slugs({ after: first?.id, limit: 1 })).toEqual(['two'])
  await expect(tenants.listTenants({ after: 'x' })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  await expect(tenants.listTenants({ limit: 0 })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
})

test('a reserved database belongs to its creator while the lease lasts, and to the stock afterwards', async () => {
  const reserved = await databases.createTenantDatabase({ reservedFor: '00000000-0000-4000-8000-000000000000' })
  const first = await tenants.createTenant({ name: 'First', slug: 'first', owner })
  expect(first.databaseId).not.toBe(reserved.id)
  await sql('update tenant_databases set lease_expires_at = now() where id = $1', [reserved.id])
  const second = await tenants.createTenant({ name: 'Second', slug: 'second', owner })
  expect(second.databaseId).toBe(reserved.id)
})

test('a catalog without the role Owner creates no tenant', async () => {
  await sql("update roles set name = 'Boss' where name = 'Owner'")
  await expect(tenants.createTenant({ name: 'Acme', slug: 'acme', owner })).rejects.toThrow(/Owner is missing/)
  expect(await countOf('tenants')).toBe(0)
  expect(await sql('select state from tenant_databases')).toEqual([{ state: 'ready' }])
})

test('a creator that is cut off halfway leaves no tenant and no assigned database', async () => {
  await databases.createTenantDatabase()
  const blocker = await installation.catalog.pool.connect()
  await blocker.query('begin')
  await blocker.query('select pg_advisory_xact_lock(7205003, hashtext($1))', ['acme'])
  const cut = tenants.createTenant({ name: 'Acme', slug: 'acme', owner }).catch((error: unknown) => error)
  await vi.waitFor(async () => {
    const killed = await sql(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event = 'advisory' and query like '%create_tenant%'",
    )
    expect(killed).toHaveLength(1)
  }, 10_000)
  expect(await cut).toBeInstanceOf(Error)
  await blocker.query('rollback')
  blocker.release()
  expect([
    await countOf('tenants'),
    await countOf('user_tenants'),
    await countOf('audit_log where tenant_id is not null'),
  ]).toEqual([0, 0, 0])
  expect(await sql('select state from tenant_databases')).toEqual([{ state: 'ready' }])
  await expect(tenants.createTenant({ name: 'Acme', slug: 'acme', owner })).resolves.toMatchObject({ slug: 'acme' })
})
