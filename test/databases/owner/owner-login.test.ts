import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Tenant } from '../../../src/index.js'
import { createTenantDatabaseRecords } from '../../../src/catalog/tenants/tenant-databases.js'
import { superuser, testWith } from '../../support/requirements.js'
import { withAdmin, withServerAccount } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

vi.setConfig({ testTimeout: 90_000 })

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
})
afterEach(() => installation.drop())

const rowsIn = (name: string, text: string, values: unknown[] = []) =>
  withAdmin(async (admin) => (await admin.query(text, values)).rows, name)

const roles = async () => (await installation.onServer()).roles
const groups = () => [`${installation.prefix}members`, `${installation.prefix}owners`]

async function createTenant(options: Parameters<Installation['open']>[0] = {}) {
  const { databases, tenants } = installation.open({ retentionDays: 0, ...options })
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  const database = await createTenantDatabaseRecords(installation.catalog.pool).find(tenant.databaseId ?? '')
  if (database === undefined) throw new Error('there is no row')
  return { databases, tenants, tenant: tenant as Tenant, database, name: database.name }
}

test('The owner login is made by the first migration that has files to run, and dropped with its database', async () => {
  const { tenants, tenant, name } = await createTenant()
  expect(await roles()).toEqual([name, ...groups()].toSorted())
  const { databases } = installation.open()
  await databases.initializeTenantSchema(tenant)
  expect(await roles()).not.toContain(`${name}_owner`)
  await installation.writeSchema('0002_items.sql', 'create table items (id int)')
  const newer = installation.open().databases
  await newer.initializeTenantSchema(tenant)
  expect(await roles()).toEqual([name, `${name}_owner`, ...groups()].toSorted())
  const owners = await rowsIn(
    name,
    "select relname, pg_get_userbyid(relowner) as owner from pg_class where relname ~ '^(orders|items)$' order by 1",
  )
  expect(owners.map(({ owner }) => owner)).toEqual([groups()[1], groups()[1]])
  // The server compares with the catalog what carries our comment: the login belongs to its database's row.
  expect(await newer.reconcile()).toMatchObject({ missing: [], unknown: [] })
  await tenants.deleteTenant({ tenant: 'acme' })
  await newer.dropTenantDatabase(tenant.databaseId ?? '')
  expect(await roles()).toEqual(groups())
})

test('A database without its login, or with one that was changed, is migrated all the same', async () => {
  const { tenant, name } = await createTenant()
  const login = `"${name}_owner"`
  await installation.writeSchema('0002_a.sql', 'create table a (id int)')
  await installation.open().databases.initializeTenantSchema(tenant)
  await withServerAccount(
    (account) =>
      account.query(
        `revoke all on database "${name}" from ${login}; revoke all on schema tenants2fast from ${login};
         revoke all on tenants2fast.schema_migrations from ${login}; drop role ${login}`,
      ),
    name,
  )
  await installation.writeSchema('0003_b.sql', 'create table b (id int)')
  await installation.open().databases.initializeTenantSchema(tenant)
  await withAdmin((admin) =>
    admin.query(
      `alter role ${login} password 'known'; alter role ${login} set search_path = 'evil'; grant ${login} to "${name}";
       revoke all on database "${name}" from ${login}`,
    ),
  )
  await installation.writeSchema('0004_c.sql', 'create table c (id int)')
  expect(await installation.open().databases.initializeTenantSchema(tenant)).toEqual(['0004_c.sql'])
  const { rows } = await withAdmin((admin) =>
    admin.query(
      `select pg_has_role($1::name, $2::name, 'member') as "isMember",
         (select count(*)::int from pg_db_role_setting where setrole = $2::regrole and setconfig::text ~ 'evil') as settings`,
      [name, `${name}_owner`],
    ),
  )
  expect(rows).toEqual([{ isMember: false, settings: 0 }])
})

test('A login with more rights than an owner’s, made by somebody else, is not used', async () => {
  const { tenant, name } = await createTenant()
  await withAdmin((admin) => admin.query(`create role "${name}_owner" login createdb`))
  await installation.writeSchema('0002_a.sql', 'create table a (id int)')
  await expect(installation.open().databases.initializeTenantSchema(tenant)).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_UNAVAILABLE',
    message: expect.stringContaining('can do more than the owner'),
  })
})

test('Work as the owner makes objects of the application, which the tenant can use, and cannot touch our schema', async () => {
  const { databases, database, name } = await createTenant()
  const made = await databases.withOwner(database, 'acme', async (client) => {
    await client.query('create table public.seeded (id int); insert into public.seeded values (1)')
    await expect(client.query('delete from tenants2fast.schema_migrations')).rejects.toMatchObject({ code: '42501' })
    return (await client.query<{ who: string }>('select current_user as who')).rows[0]?.who
  })
  expect(made).toBe(groups()[1])
  expect(await databases.ownerAccountOf(database.id)).toMatchObject({ user: `${name}_owner`, database: name })
  expect(await rowsIn(name, `select has_table_privilege($1::name, 'public.seeded', 'insert') as may`, [name])).toEqual([
    { may: true },
  ])
  await expect(
    databases.withOwner(database, 'acme', async () => {
      throw new Error('of the caller')
    }),
  ).rejects.toThrow('of the caller')
})

test('A template leaves no login behind, and one that a dead process left is removed', async () => {
  const { databases } = installation.open()
  await databases.templateVersion()
  expect(await roles()).toEqual(groups())
  const left = `${installation.prefix}template_building_owner`
  await withServerAccount((account) => account.query(`create role "${left}" login`))
  expect((await databases.reconcile()).templates).toEqual([`${installation.prefix}template_building`])
  expect(await roles()).toEqual(groups())
})

test('Extensions of the list are there before the files run, in the template and in existing databases', async () => {
  const { tenant, name } = await createTenant()
  await installation.writeSchema(
    '0002_words.sql',
    'create extension if not exists citext; create table words (word citext primary key)',
  )
  const options = { extensions: ['citext', 'pg_trgm'] }
  const { databases } = installation.open(options)
  expect(await databases.initializeTenantSchema(tenant)).toEqual(['0002_words.sql'])
  const built = await databases.createTenantDatabase()
  const query = `select extname, extnamespace::regnamespace::text as schema from pg_extension where extname in ('citext', 'pg_trgm') order by 1`
  const expected = [
    { extname: 'citext', schema: 'public' },
    { extname: 'pg_trgm', schema: 'public' },
  ]
  expect(await rowsIn(name, query)).toEqual(expected)
  expect(await rowsIn(built.name, query)).toEqual(expected)
  const used = await rowsIn(name, `set role "${name}"; insert into words values ('A')`).then(() =>
    rowsIn(name, "select has_function_privilege($1::name, 'similarity(text,text)', 'execute') as may", [name]),
  )
  expect(used).toEqual([{ may: true }])
  // A name that is removed from the list drops nothing, and makes another template.
  const fewer = installation.open({ extensions: ['citext'] }).databases
  expect(await fewer.templateVersion()).not.toBe(await databases.templateVersion())
  await fewer.initializeTenantSchema(tenant)
  expect(await rowsIn(name, query)).toEqual(expected)
})

test('An extension that the server does not have is refused before anything is built', async () => {
  await expect(
    installation.open({ extensions: ['citext', 'no-such_one'] }).databases.templateVersion(),
  ).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_INVALID',
    message: expect.stringContaining('no-such_one'),
  })
  expect(await installation.onServer()).toEqual({ databases: [], roles: [] })
})

testWith(superuser, 'An extension that is not trusted works from the list, and not from a file', async () => {
  await installation.writeSchema(
    '0001_orders.sql',
    'create extension if not exists pageinspect; create table orders (id int)',
  )
  await expect(installation.open().databases.templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_FAILED',
    message: expect.stringMatching(/^0001_orders.sql, line 1.*permission denied.*TENANT_EXTENSIONS/),
  })
  await installation.open({ extensions: ['pageinspect'] }).databases.templateVersion()
})
