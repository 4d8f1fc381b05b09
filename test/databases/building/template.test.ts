import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { urlOf, withAdmin, withServerAccount } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
})
afterEach(() => installation.drop())

const templates = async () =>
  (await installation.onServer()).databases.filter((name) => name.startsWith(`${installation.prefix}template_`))
const query = (databaseName: string, text: string) =>
  withAdmin(async (admin) => (await admin.query(text)).rows, databaseName)

test('A template accepts no connections, carries the comment of its installation, and has the schema', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
  const { databases } = installation.open()
  const name = `${installation.prefix}template_${await databases.templateVersion()}`
  const rows = await query(
    'postgres',
    `select datistemplate, datallowconn, datacl::text from pg_database where datname = '${name}'`,
  )
  expect(rows).toMatchObject([{ datistemplate: true, datallowconn: false }])
  expect(rows[0].datacl).not.toMatch(/[{,]=/)
  const database = await databases.createTenantDatabase()
  expect(await query(database.name, 'select name from tenants2fast.schema_migrations')).toEqual([
    { name: '0001_orders.sql' },
  ])
  expect(await query(database.name, 'select count(*)::int from orders')).toEqual([{ count: 0 }])
})

test('Processes that start at once build one template', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int); select pg_sleep(0.2)')
  const opened = [installation.open(), installation.open(), installation.open()]
  const versions = await Promise.all(opened.map(({ databases }) => databases.templateVersion()))
  expect(new Set(versions).size).toBe(1)
  expect(await templates()).toEqual([`${installation.prefix}template_${versions[0]}`])
})

test('A changed schema folder gives a new template, and the old template is dropped', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
  const before = await installation.open().databases.templateVersion()
  await installation.writeSchema('0002_items.sql', 'create table items (id int)')
  const { databases } = installation.open()
  const after = await databases.templateVersion()
  expect(after).not.toBe(before)
  expect(await templates()).toEqual([`${installation.prefix}template_${after}`])
  expect(
    await query((await databases.createTenantDatabase()).name, 'select to_regclass($$items$$) is not null as found'),
  ).toEqual([{ found: true }])
})

test('A process whose template was dropped by a newer process makes it again', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
  const { databases: older } = installation.open()
  await older.templateVersion()
  await installation.writeSchema('0002_items.sql', 'create table items (id int)')
  await installation.open().databases.templateVersion()
  await expect(older.createTenantDatabase()).resolves.toMatchObject({ state: 'ready' })
})

test('Ready databases of an older schema are not assigned', async () => {
  const { databases: older } = installation.open()
  await older.createTenantDatabase()
  await installation.writeSchema('0001_items.sql', 'create table items (id int)')
  const { tenants } = installation.open()
  const { databaseId } = await tenants.createTenant({
    name: 'Acme',
    slug: 'acme',
    owner: await installation.createUser(),
  })
  const { rows } = await installation.catalog.pool.query('select name from tenant_databases where id = $1', [
    databaseId,
  ])
  expect(await query(rows[0].name, 'select to_regclass($$items$$) is not null as found')).toEqual([{ found: true }])
})

test('A bad SQL file fails the template with file, line and PostgreSQL’s message, and leaves nothing behind', async () => {
  await installation.writeSchema('0001_good.sql', 'create table good (id int)')
  await installation.writeSchema(
    '0002_bad.sql',
    "-- hunter2\ncreate table bad (id nonsense, secret text default 'hunter2')",
  )
  const { databases, tenants } = installation.open()
  const failure = await tenants
    .createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
    .catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_FAILED' })
  expect((failure as Error).message).toBe('0002_bad.sql, line 2, column 22: type "nonsense" does not exist')
  expect((await installation.onServer()).databases).toEqual([])
  expect((await installation.catalog.pool.query('select from tenant_databases')).rowCount).toBe(0)
  expect((await installation.catalog.pool.query('select from tenants')).rowCount).toBe(0)
  // After the correction, the same process continues.
  await installation.writeSchema('0002_bad.sql', 'create table bad (id int)')
  await expect(databases.createTenantDatabase()).resolves.toMatchObject({ state: 'ready' })
})

test('A schema file that ends its transaction, or cannot run in one, is refused', async () => {
  await installation.writeSchema('0001_commit.sql', 'create table a (id int); commit; create table b (id int)')
  await expect(installation.open().databases.templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
  })
  await installation.writeSchema('0001_commit.sql', 'create table a (id int); create index concurrently i on a (id)')
  await expect(installation.open().databases.templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
    message: expect.stringContaining('no-transaction'),
  })
  expect((await installation.onServer()).databases).toEqual([])
})

test('A schema folder that is missing, or has badly named or duplicate files, is refused with every problem', async () => {
  await installation.writeSchema('0001_a.sql', '')
  await installation.writeSchema('0001_b.sql', '')
  await installation.writeSchema('three.sql', '')
  await expect(installation.open().databases.templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
    message: expect.stringMatching(/0001_a.sql and 0001_b.sql have the same number; three.sql is not named/),
  })
  const missing = installation.open({ schemaDir: `${installation.schemaDir}/nowhere` })
  await expect(missing.databases.templateVersion()).rejects.toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_INVALID' })
})

test('A half-made template is never used', async () => {
  const { databases } = installation.open()
  await withServerAccount((admin) => admin.query(`create database "${installation.prefix}template_building"`))
  const database = await databases.createTenantDatabase()
  expect(database.state).toBe('ready')
  expect(await templates()).toEqual([`${installation.prefix}template_${await databases.templateVersion()}`])
})

test('A half-made template of a dead process is replaced by the next process', async () => {
  await installation.writeSchema('0001_slow.sql', 'create table slow (id int); select pg_sleep(20)')
  const { databases } = installation.open()
  const dying = databases.templateVersion().catch((error: unknown) => error)
  await withAdmin(async (admin) => {
    const unfinished = `${installation.prefix}template_building`
    for (let killed = 0; killed === 0; await sleep(20)) {
      const { rows } = await admin.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and query like '%pg_sleep%'`,
        [unfinished],
      )
      killed = rows.length
    }
  })
  expect(await dying).toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_FAILED' })
  await installation.writeSchema('0001_slow.sql', 'create table slow (id int)')
  await expect(databases.createTenantDatabase()).resolves.toMatchObject({ state: 'ready' })
})

test('Another installation with the same prefix keeps its template', async () => {
  const other = await createInstallation()
  try {
    const theirs = other.open({ prefix: installation.prefix })
    await theirs.databases.templateVersion()
    await installation.open().databases.templateVersion()
    expect(await templates()).toHaveLength(2)
    await theirs.databases.close()
  } finally {
    await other.drop()
  }
})

test('Pending schema files are applied to an existing tenant database once, and a failing one leaves nothing behind', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
  const first = installation.open()
  const tenant = await first.tenants.createTenant({
    name: 'Acme',
    slug: 'acme',
    owner: await installation.createUser(),
  })
  expect(await first.databases.initializeTenantSchema(tenant)).toEqual([])
  await installation.writeSchema('0002_items.sql', 'create table items (id int)')
  const one = installation.open()
  const two = installation.open()
  const applied = await Promise.all([
    one.databases.initializeTenantSchema(tenant),
    two.databases.initializeTenantSchema(tenant),
  ])
  expect(applied.flat()).toEqual(['0002_items.sql'])
  const { rows } = await installation.catalog.pool.query(
    'select id, server_id as "serverId", name, role_name as "roleName", epoch from tenant_databases where id = $1',
    [tenant.databaseId],
  )
  // The tenant's role may use what the later file made.
  const client = new Client(one.databases.targetOf(rows[0]).account)
  await client.connect()
  await client.query('insert into items values (1)')
  await client.end()
  // The template can be built with this file, but this tenant's data does not fit it.
  await installation.writeSchema('0003_unique.sql', 'create table extra (id int); alter table items add check (id > 1)')
  await expect(installation.open().databases.initializeTenantSchema(tenant)).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_FAILED',
    message: expect.stringContaining('0003_unique.sql'),
  })
  expect(await query(rows[0].name, 'select to_regclass($$extra$$) is null as gone')).toEqual([{ gone: true }])
  await rm(`${installation.schemaDir}/0003_unique.sql`)
  await installation.writeSchema('0001_orders.sql', 'create table orders (id bigint)')
  await expect(installation.open().databases.initializeTenantSchema(tenant)).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
  })
})

test('Migrating a tenant without a database, or whose database is gone, is refused', async () => {
  const { databases, tenants } = installation.open()
  await expect(databases.initializeTenantSchema({ slug: 'none', databaseId: null })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_STATE_CONFLICT',
  })
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  const { rows } = await installation.catalog.pool.query('select name from tenant_databases')
  await withAdmin((admin) => admin.query(`drop database "${rows[0].name}"`))
  await expect(databases.initializeTenantSchema(tenant)).rejects.toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  expect(urlOf(rows[0].name)).toContain(rows[0].name)
})

test('A group role that has rights of its own is not used', async () => {
  const members = `${installation.prefix}members`
  await withAdmin((admin) => admin.query(`create role "${members}" createdb`))
  await expect(installation.open().databases.templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_BUILD_FAILED',
    message: expect.stringContaining(members),
  })
  expect((await installation.onServer()).databases).toEqual([])
})
