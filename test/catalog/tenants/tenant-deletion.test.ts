import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Tenants } from '../../../src/catalog/tenants/tenants.js'
import type { TenantDatabases } from '../../../src/databases/tenant-databases.js'
import { withAdmin } from '../../support/server.js'
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
const create = (slug = 'acme') => tenants.createTenant({ name: 'Acme', slug, owner })
/** Ends the retention of everything that is deleted. */
const endRetention = () => sql("update tenant_databases set drop_after = now() where state = 'retired'")
const actions = async (tenantId: string) =>
  (await sql('select action from audit_log where tenant_id = $1 order by id', [tenantId])).map((row) => row.action)
const conflict = { code: 'TENANCY_TENANT_STATE_CONFLICT', statusCode: 409 }

test('undeleteTenant restores a tenant with its database and data, and its members’ access is read again', async () => {
  const tenant = await create()
  const [{ name }] = await sql('select name from tenant_databases')
  await withAdmin((admin) => admin.query('create table kept as select 42 as answer'), name)
  await tenants.deleteTenant({ tenant: 'acme' })
  const epochOf = async () => Number((await sql('select access_epoch from tenants'))[0].access_epoch)
  const before = await epochOf()
  expect(await tenants.undeleteTenant({ tenant: 'acme', actor: owner })).toMatchObject({
    id: tenant.id,
    status: 'active',
    deletedAt: null,
    databaseId: tenant.databaseId,
  })
  expect(await epochOf()).toBeGreaterThan(before)
  expect(await sql('select state, epoch, retired_at, drop_after from tenant_databases')).toEqual([
    { state: 'assigned', epoch: 1, retired_at: null, drop_after: null },
  ])
  expect(await databases.reconcile()).toMatchObject({ dropped: [] })
  const { rows } = await withAdmin((admin) => admin.query('select answer from kept'), name)
  expect(rows).toEqual([{ answer: 42 }])
  expect(await sql("select actor_id, before, after from audit_log where action = 'tenant.undelete'")).toEqual([
    { actor_id: owner, before: { status: 'deleted' }, after: { status: 'active' } },
  ])
  expect(await tenants.deleteTenant({ tenant: 'acme' })).toMatchObject({ status: 'deleted' })
})

test('a tenant that was suspended when it was deleted is suspended again when it is restored', async () => {
  await create()
  await tenants.suspendTenant({ tenant: 'acme' })
  await tenants.deleteTenant({ tenant: 'acme' })
  expect(await tenants.undeleteTenant({ tenant: 'acme' })).toMatchObject({
    status: 'suspended',
    suspendedAt: expect.any(Date),
  })
})

test('only a deleted tenant can be undeleted or purged', async () => {
  await create()
  await expect(tenants.undeleteTenant({ tenant: 'acme' })).rejects.toMatchObject(conflict)
  await expect(tenants.purgeTenant({ tenant: 'acme' })).rejects.toMatchObject(conflict)
  await tenants.suspendTenant({ tenant: 'acme' })
  await expect(tenants.purgeTenant({ tenant: 'acme' })).rejects.toMatchObject(conflict)
  await expect(tenants.undeleteTenant({ tenant: 'nobody' })).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  await expect(tenants.purgeTenant({ tenant: 'nobody' })).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  expect(await sql('select state from tenant_databases')).toEqual([{ state: 'assigned' }])
})

test('a tenant cannot be restored after its retention, and is removed with its database, memberships and roles', async () => {
  const tenant = await create()
  const other = await create('other')
  await sql("insert into roles (tenant_id, name) values ($1, 'Accountant')", [tenant.id])
  await tenants.deleteTenant({ tenant: 'acme' })
  await endRetention()
  await expect(tenants.undeleteTenant({ tenant: 'acme' })).rejects.toMatchObject(conflict)
  expect(await databases.reconcile()).toMatchObject({ dropped: [tenant.databaseId], purged: [tenant.id], failed: [] })
  await expect(tenants.getTenant(tenant.id)).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  expect(await sql('select tenant_id from user_tenants')).toEqual([{ tenant_id: other.id }])
  expect(await sql('select from roles where tenant_id is not null')).toEqual([])
  expect(await actions(tenant.id)).toEqual(['tenant.create', 'tenant.delete', 'tenant.dropped'])
})

test('a slug is free only when the drop of its database is verified', async () => {
  const tenant = await create()
  await tenants.deleteTenant({ tenant: 'acme' })
  await endRetention()
  const [{ name }] = await sql('select name from tenant_databases')
  // This drop fails, as a drop does while a replication slot blocks it.
  await withAdmin((admin) => admin.query(`alter database "${name}" is_template true`))
  expect(await databases.reconcile()).toMatchObject({ dropped: [], failed: [tenant.databaseId] })
  await expect(create()).rejects.toMatchObject({ code: 'TENANCY_TENANT_SLUG_TAKEN' })
  await withAdmin((admin) => admin.query(`alter database "${name}" is_template false`))
  await databases.reconcile()
  expect(await create()).toMatchObject({ slug: 'acme', status: 'active' })
})

test('a purge drops the database at once, records the actor, and frees the slug', async () => {
  const tenant = await create()
  await tenants.deleteTenant({ tenant: 'acme' })
  await tenants.purgeTenant({ tenant: 'acme', actor: owner })
  const onServer = await installation.onServer()
  expect(onServer.databases).toHaveLength(1)
  expect(await sql('select from tenant_databases')).toEqual([])
  expect(await sql("select actor_id, before from audit_log where action = 'tenant.purge'")).toMatchObject([
    { actor_id: owner, before: { slug: 'acme' } },
  ])
  expect(await actions(tenant.id)).toEqual(['tenant.create', 'tenant.delete', 'tenant.purge', 'tenant.dropped'])
  expect((await create()).id).not.toBe(tenant.id)
})

test('a purge that cannot drop the database now is final all the same, and the reconciler drops it later', async () => {
  const tenant = await create()
  await tenants.deleteTenant({ tenant: 'acme' })
  const [{ name }] = await sql('select name from tenant_databases')
  await withAdmin((admin) => admin.query(`alter database "${name}" is_template true`))
  await expect(tenants.purgeTenant({ tenant: 'acme' })).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_UNAVAILABLE',
    statusCode: 503,
  })
  await expect(tenants.undeleteTenant({ tenant: 'acme' })).rejects.toMatchObject(conflict)
  await withAdmin((admin) => admin.query(`alter database "${name}" is_template false`))
  expect(await databases.reconcile()).toMatchObject({ purged: [tenant.id] })
})

test('when an undelete and a drop happen at the same moment, one succeeds and the other changes nothing', async () => {
  for (let round = 0; round < 6; round += 1) {
    const tenant = await create()
    await tenants.deleteTenant({ tenant: 'acme' })
    await sql("update tenant_databases set drop_after = now() + interval '20 milliseconds'")
    const [undeleted] = await Promise.all([
      tenants.undeleteTenant({ tenant: 'acme' }).then(
        () => true,
        (error: unknown) => (error as { code?: string }).code,
      ),
      databases.reconcile(),
      new Promise((resolve) => setTimeout(resolve, round * 5)).then(() => databases.reconcile()),
    ])
    const rows = await sql(
      'select tenants.status, state from tenants left join tenant_databases on database_id = tenant_databases.id',
    )
    if (undeleted === true) expect(rows).toEqual([{ status: 'active', state: 'assigned' }])
    else expect(undeleted).toBe('TENANCY_TENANT_STATE_CONFLICT')
    expect(rows.length === 0 || (rows[0].status === 'deleted') === (rows[0].state !== 'assigned')).toBe(true)
    if (undeleted === true) await tenants.deleteTenant({ tenant: 'acme' })
    await endRetention()
    await databases.reconcile()
    expect(await sql('select from tenants where id = $1', [tenant.id])).toEqual([])
  }
}, 60_000)

test('the retention of a tenant is the one that was configured when it was deleted', async () => {
  const { tenants: brief } = installation.open({ retentionDays: 0 })
  await create('first')
  await tenants.deleteTenant({ tenant: 'first' })
  await create('second')
  await brief.deleteTenant({ tenant: 'second' })
  const { dropped } = await installation.open({ retentionDays: 0 }).databases.reconcile()
  expect(dropped).toHaveLength(1)
  expect(await tenants.undeleteTenant({ tenant: 'first' })).toMatchObject({ status: 'active' })
  const days = await sql("select before, after from audit_log where action = 'tenant.delete' order by id")
  expect(days.map((row) => row.after.retentionDays)).toEqual([30, 0])
})

test('a purge of a tenant whose database is already dropped removes the tenant', async () => {
  const tenant = await create()
  await tenants.deleteTenant({ tenant: 'acme' })
  await sql('update tenants set database_id = null where id = $1', [tenant.id])
  await tenants.purgeTenant({ tenant: 'acme' })
  await expect(tenants.getTenant('acme')).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  await sql("update tenant_databases set drop_after = now() where state = 'retired'")
  await databases.reconcile()
})
