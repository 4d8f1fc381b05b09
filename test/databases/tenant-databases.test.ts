import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { identityQuery, type ServerAccount } from '../../src/core/tenants/database-target.js'
import { withAdmin } from '../support/server.js'
import { createInstallation, type Installation } from './fixture.js'

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
})
afterEach(() => installation.drop())

async function queryAs(
  account: ServerAccount,
  text: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new Client(account)
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

const asSuperuser = (text: string, values: unknown[] = []) => withAdmin((admin) => admin.query(text, values))

const outcomeOf = (attempt: Promise<unknown>) =>
  attempt.then(
    () => 'connected',
    (error: unknown) => (error as { code?: string }).code,
  )

const stateOf = async (id: string) =>
  (await installation.catalog.pool.query('select state from tenant_databases where id = $1', [id])).rows[0]?.state as
    | string
    | undefined

test('A tenant’s role can connect to its own database, which has its identity row', async () => {
  const { databases } = installation.open()
  const database = await databases.createTenantDatabase()
  expect(database).toMatchObject({ state: 'ready', epoch: 1, name: database.roleName })
  expect(database.name).toBe(`${installation.prefix}${database.id.replaceAll('-', '')}`)
  const target = databases.targetOf(database)
  expect(target).toMatchObject({ databaseId: database.id, epoch: 1 })
  expect(await queryAs(target.account, identityQuery)).toEqual([
    {
      database_id: database.id,
      epoch: 1,
      database_name: database.name,
      role_name: database.roleName,
      has_settings: false,
    },
  ])
})

test('No tenant’s role can connect to another tenant’s database, the catalog or the template', async () => {
  const { databases } = installation.open()
  const built = []
  for (let count = 0; count < 3; count += 1) built.push(await databases.createTenantDatabase())
  const template = `${installation.prefix}template_${await databases.templateVersion()}`
  const everywhere = [...built.map((database) => database.name), installation.catalog.databaseName, template]
  await installation.catalog.pool.query(`revoke all on database "${installation.catalog.databaseName}" from public`)
  const outcomes = []
  const expected = []
  for (const database of built) {
    const { account } = databases.targetOf(database)
    for (const name of everywhere) {
      outcomes.push([name, await outcomeOf(queryAs({ ...account, database: name }, 'select 1'))])
      // 42501: no privilege CONNECT; 55000: not accepting connections at all.
      expected.push([name, name === database.name ? 'connected' : name === template ? '55000' : '42501'])
    }
  }
  expect(outcomes).toEqual(expected)
})

test('A tenant’s role has no attributes of its own, and is a member of the group role only', async () => {
  const { databases } = installation.open()
  const { roleName } = await databases.createTenantDatabase()
  const { rows } = await asSuperuser(
    `select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin,
       (select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where pg_authid.oid = pg_roles.oid) as scram,
       array(select roleid::regrole::text from pg_auth_members where member = pg_roles.oid) as groups
     from pg_roles where rolname = $1`,
    [roleName],
  )
  expect(rows).toEqual([
    {
      rolsuper: false,
      rolcreatedb: false,
      rolcreaterole: false,
      rolreplication: false,
      rolbypassrls: false,
      rolcanlogin: true,
      scram: true,
      groups: [`${installation.prefix}members`],
    },
  ])
})

test('A tenant’s role reads and writes its data, and cannot change schema, identity or ledger', async () => {
  await installation.writeSchema(
    '0001_orders.sql',
    `
    create table orders (id bigint generated always as identity primary key, note text, nr bigserial);
    create schema app; create table app.things (id int);
    create function twice(n int) returns int language sql as 'select n * 2';
    insert into orders (note) values ('seeded');`,
  )
  const { databases } = installation.open()
  const { account } = databases.targetOf(await databases.createTenantDatabase())
  expect(await queryAs(account, 'select note from orders')).toEqual([{ note: 'seeded' }])
  expect(await queryAs(account, "insert into orders (note) values ('own') returning note, twice(4)")).toEqual([
    { note: 'own', twice: 8 },
  ])
  await queryAs(
    account,
    'update orders set note = null; delete from orders; insert into app.things values (1); create temporary table t (id int)',
  )
  for (const forbidden of [
    'create table mine (id int)',
    'drop table orders',
    'alter table orders add column x int',
    'truncate orders',
    'create schema mine',
    'update tenants2fast.identity set epoch = 2',
    'delete from tenants2fast.identity',
    'select * from tenants2fast.schema_migrations',
    'delete from tenants2fast.schema_migrations',
    'create table tenants2fast.x (id int)',
    `set role ${account.user.replace(/[0-9a-f]{32}$/, 'members')}; create table mine (id int)`,
    'create database mine',
    'create role mine',
    "copy orders to program 'true'",
    'select * from pg_authid',
  ])
    await expect(queryAs(account, forbidden)).rejects.toMatchObject({ code: '42501' })
})

test('A wrong master secret gives a password that does not log in', async () => {
  const { databases } = installation.open()
  const database = await databases.createTenantDatabase()
  const { databases: others } = installation.open({ secret: Buffer.alloc(32, 7) })
  const { account } = others.targetOf(database)
  expect(account.password).not.toBe(databases.targetOf(database).account.password)
  const { rows } = await asSuperuser("select auth_method as method from pg_hba_file_rules where type = 'host' limit 1")
  // A server may trust local connections; then it does not check passwords.
  expect(await outcomeOf(queryAs(account, 'select 1'))).toBe(rows[0].method === 'trust' ? 'connected' : '28P01')
})

test('The server’s log of a build contains no password', async () => {
  const { databases } = installation.open()
  const database = await databases.createTenantDatabase()
  const { password } = databases.targetOf(database).account
  const { rows } = await asSuperuser('select rolpassword from pg_authid where rolname = $1', [database.roleName])
  expect(rows[0].rolpassword).not.toContain(password)
})

test('The row of a database is committed before the database is made', async () => {
  const { databases } = installation.open()
  await databases.templateVersion()
  // The build has to fail after its row. Its role's name is not known beforehand, so the group role is dropped instead.
  await withAdmin(
    (admin) => admin.query(`drop owned by "${installation.prefix}members"`),
    installation.catalog.databaseName,
  )
  await asSuperuser(`alter role "${installation.prefix}members" rename to "${installation.prefix}hidden"`)
  await installation.catalog.pool.query(`
    create table seen (id uuid);
    create function note_delete() returns trigger language plpgsql as $$ begin insert into seen values (old.id); return old; end $$;
    create trigger note_delete before delete on tenant_databases for each row execute function note_delete()`)
  await expect(databases.createTenantDatabase()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_BUILD_FAILED',
    statusCode: 503,
    message: expect.stringContaining('members'),
  })
  // The failed build has removed the row that it had committed, and left nothing else.
  expect((await installation.catalog.pool.query('select id from seen')).rows).toHaveLength(1)
  expect((await installation.catalog.pool.query('select id from tenant_databases')).rows).toEqual([])
  const left = await installation.onServer()
  expect(left.roles).toEqual([`${installation.prefix}hidden`, `${installation.prefix}owners`])
  expect(left.databases).toHaveLength(1)
})

test('Two processes together fill the stock to its target and no further', async () => {
  const one = installation.open({ readyTarget: 4 })
  const two = installation.open({ readyTarget: 4 })
  await Promise.all([one.databases.fillStock(), two.databases.fillStock()])
  const { rows } = await installation.catalog.pool.query(
    'select state, count(*)::int from tenant_databases group by state',
  )
  expect(rows).toEqual([{ state: 'ready', count: 4 }])
  expect((await installation.onServer()).databases).toHaveLength(5)
})

test('A retired database that is due is dropped with its role, its row and its tenant; any other is refused', async () => {
  const { databases, tenants } = installation.open({ retentionDays: 0 })
  const owner = await installation.createUser()
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner })
  const id = tenant.databaseId as string
  await expect(databases.dropTenantDatabase(id)).rejects.toMatchObject({ code: 'TENANCY_TENANT_STATE_CONFLICT' })
  await tenants.deleteTenant({ tenant: 'acme' })
  await databases.dropTenantDatabase(id)
  expect(await stateOf(id)).toBeUndefined()
  await expect(tenants.getTenant('acme')).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  const { databases: names, roles } = await installation.onServer()
  expect(names).toHaveLength(1)
  expect(roles).toEqual([`${installation.prefix}members`, `${installation.prefix}owners`])
})

test('Dropping a database waits for another process that is dropping it', async () => {
  const { databases, tenants } = installation.open({ retentionDays: 0 })
  const { databases: other } = installation.open()
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  await tenants.deleteTenant({ tenant: 'acme' })
  const id = tenant.databaseId as string
  await Promise.all([databases.dropTenantDatabase(id), other.dropTenantDatabase(id), databases.dropTenantDatabase(id)])
  expect((await installation.onServer()).databases).toHaveLength(1)
})

test('A retired database is dropped while its tenant is still connected', async () => {
  const { databases, tenants } = installation.open({ retentionDays: 0 })
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  const { rows } = await installation.catalog.pool.query(
    'select id, server_id as "serverId", name, role_name as "roleName", epoch from tenant_databases where id = $1',
    [tenant.databaseId],
  )
  const client = new Client(databases.targetOf(rows[0]).account)
  client.on('error', () => {})
  await client.connect()
  await tenants.deleteTenant({ tenant: 'acme' })
  await databases.dropTenantDatabase(tenant.databaseId as string)
  await expect(client.query('select 1')).rejects.toThrow(/terminat|not queryable|Connection/i)
})

test('Close waits for the build under way, and nothing is built afterwards', async () => {
  const { databases } = installation.open()
  await databases.templateVersion()
  const underWay = databases.createTenantDatabase()
  const closed = databases.close()
  await expect(underWay).resolves.toMatchObject({ state: 'ready' })
  await closed
  await expect(databases.createTenantDatabase()).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
})

test('A prefix that leaves no room for an id, or is ambiguous, is refused', () => {
  for (const prefix of ['', 'A_', '1_', 'a-b', 'a"b', 'x'.repeat(32)]) {
    expect(() => installation.open({ prefix })).toThrow(RangeError)
  }
})

test('A build on a server that does not answer fails with the code of a failed build', async () => {
  const { databases } = installation.open({ server: { ...installation.server, port: 1 } })
  await expect(databases.createTenantDatabase()).rejects.toMatchObject({ code: 'TENANCY_DATABASE_BUILD_FAILED' })
})
