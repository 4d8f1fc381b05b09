import { Client } from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createTenantDatabaseRecords } from '../../src/catalog/tenants/tenant-databases.js'
import { TenancyError } from '../../src/core/errors/errors.js'
import { createOwnerHooks } from '../../src/databases/owner/owner-session.js'
import { isVerifierOf } from '../../src/databases/server/role-password.js'
import { applySqlFiles, readSqlFolder } from '../../src/postgres/files/sql-files.js'
import type { Tenant } from '../../src/index.js'
import type { TenantDatabases } from '../../src/databases/tenant-databases.js'
import { createInstallation, type Installation } from '../databases/fixture.js'
import { isPlainAdmin, withAdmin } from '../support/server.js'

vi.setConfig({ testTimeout: 120_000 })

// What a schema file of the application, and what it leaves in a tenant's database, can do beyond that database.

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
  // As opening an installation does.
  await rowsOf(`revoke all on database "${installation.catalog.databaseName}" from public`)
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
})
afterEach(() => installation.drop())

interface Migrated {
  readonly tenant: Tenant
  readonly name: string
  readonly id: string
  readonly databases: TenantDatabases
  asTenant(statement: string): Promise<string>
}

async function createTenant(slug: string): Promise<Migrated> {
  const { databases, tenants } = installation.open()
  const tenant = await tenants.createTenant({ name: slug, slug, owner: await installation.createUser() })
  const { rows } = await installation.catalog.pool.query(
    'select id, name, role_name as "roleName", epoch from tenant_databases where id = $1',
    [tenant.databaseId],
  )
  return {
    ...{ tenant, databases, name: rows[0].name, id: rows[0].id },
    async asTenant(statement) {
      const client = new Client(databases.targetOf(rows[0]).account)
      await client.connect()
      try {
        const result = await client.query(statement)
        return String(Object.values(result.rows[0] ?? {})[0])
      } catch (error) {
        return String((error as { code?: string }).code)
      } finally {
        await client.end()
      }
    },
  }
}

const rowsOf = (text: string, values: unknown[] = [], name?: string) =>
  withAdmin(async (admin) => (await admin.query(text, values)).rows, name)

/** Roles of the installation, with all that a role can be or belong to. */
const rolesOf = () =>
  rowsOf(
    `select rolname, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin, rolconnlimit, rolconfig,
       array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid order by 1) as groups
     from pg_roles r where starts_with(rolname, $1) order by 1`,
    [installation.prefix],
  )

test('A SECURITY DEFINER function of a file runs as nobody who could leave the tenant’s database', async () => {
  const victim = await createTenant('victim')
  const { tenant, asTenant, name } = await createTenant('acme')
  await installation.writeSchema(
    '0002_run.sql',
    `create function run(command text) returns text language plpgsql security definer as $$
       declare result text; begin
         if command like 'select%' then execute command into result; else execute command; end if; return coalesce(result, 'none'); end $$;
     create view roles_seen as select rolpassword from pg_authid;
     create function who() returns text language sql security definer as 'select current_user::text'`,
  )
  await installation.open().databases.initializeTenantSchema(tenant)
  expect(await asTenant('select who()')).toBe(`${installation.prefix}owners`)
  const catalog = installation.catalog.databaseName
  const refused = {
    "select pg_read_file('/etc/passwd')": '42501',
    "select pg_ls_dir('.')": '42501',
    "copy orders from program 'id'": '42501',
    "copy orders to '/tmp/t2f-orders'": '42501',
    "select lo_import('/etc/passwd')": '42501',
    "set role 'none'": '42501',
    [`alter role "${name}" superuser`]: '42501',
    'alter role current_user superuser': '42501',
    'create role evil': '42501',
    'create database evil': '25001',
    [`grant "${installation.prefix}owners" to "${name}"`]: '42501',
    [`grant "${name}_owner" to "${name}"`]: '42501',
    [`alter role "${name}_owner" password 'known'`]: '42501',
    [`grant connect on database "${catalog}" to "${name}"`]: '42501',
    [`alter database "${name}" connection limit 1`]: '42501',
    [`drop database "${victim.name}"`]: '25001',
    'select rolpassword from pg_authid limit 1': '42501',
    'create extension dblink': '42501',
    'create extension file_fdw': '42501',
    "create function c() returns int language c as 'x', 'y'": '42501',
    // In no function at all.
    "alter system set work_mem = '1MB'": '25001',
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'": '42501',
    "select tenants2fast.set_database_setting('work_mem', '5MB')": '42501',
    'delete from tenants2fast.schema_migrations': '42501',
    "insert into tenants2fast.schema_migrations values (99, 'x', 'y')": '42501',
    'update tenants2fast.identity set epoch = 9': '42501',
    'drop schema tenants2fast cascade': '42501',
  }
  for (const [command, code] of Object.entries(refused)) {
    expect(await asTenant(`select run($cmd$${command}$cmd$)`), command).toBe(code)
  }
  expect(await asTenant('select * from roles_seen')).toBe('42501')
  // The group is no way into another database, and nobody can log in as it.
  const { rows } = await withAdmin((admin) =>
    admin.query(
      `select datname, has_database_privilege($1::name, oid, 'connect') as "mayConnect" from pg_database
        where starts_with(datname, $2) or datname = $3`,
      [`${installation.prefix}owners`, installation.prefix, catalog],
    ),
  )
  expect(rows.length).toBeGreaterThan(3)
  expect(rows.filter(({ mayConnect }) => mayConnect)).toEqual([])
})

test('The owner login of a database connects to no other: no tenant’s, no template, not the catalog', async () => {
  const victim = await createTenant('victim')
  const { databases, tenant, id } = await createTenant('acme')
  await installation.writeSchema('0002_items.sql', 'create table items (id int)')
  await installation.open().databases.initializeTenantSchema(tenant)
  const account = await databases.ownerAccountOf(id)
  const connect = async (database: string) => {
    const client = new Client({ ...account, database })
    try {
      await client.connect()
      await client.query('select 1')
      return 'connected'
    } catch (error) {
      return String((error as { code?: string }).code)
    } finally {
      await client.end()
    }
  }
  expect(await connect(account.database)).toBe('connected')
  const template = (await installation.onServer()).databases.find((name) => name.includes('template')) ?? ''
  expect(await connect(victim.name)).toBe('42501')
  expect(await connect(installation.catalog.databaseName)).toBe('42501')
  expect(['42501', '55000']).toContain(await connect(template))
})

/** Runs a file in a tenant's database as a migration does; the template, which would refuse it first, does not get it. */
async function runFile(databases: TenantDatabases, id: string, sql: string): Promise<'harmless'> {
  const { prefix, schemaDir, catalog } = installation
  const database = await createTenantDatabaseRecords(catalog.pool).find(id)
  if (database === undefined) throw new Error('the row is gone')
  const codes = {
    invalid: 'TENANCY_DATABASE_SCHEMA_INVALID',
    failed: 'TENANCY_DATABASE_SCHEMA_FAILED',
    blocked: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
  } as const
  const files = await readSqlFolder(schemaDir, codes)
  await databases.withOwner(database, 'acme', async (client) => {
    await client.query('reset role')
    const hooks = createOwnerHooks({ members: `${prefix}members`, owners: `${prefix}owners` })
    const file = { version: 3, name: '0003_hostile.sql', up: sql, inTransaction: true, checksum: 'x' }
    await applySqlFiles(client, [...files, file], { schema: 'tenants2fast', codes, ...hooks })
  })
  return 'harmless'
}

/** Files that try to keep more than their objects; each fails as a whole, or leaves nothing. */
const hostile = (name: string, prefix: string): Record<string, 'fails' | 'harmless'> => ({
  'drop schema tenants2fast cascade': 'fails',
  'delete from tenants2fast.schema_migrations': 'fails',
  "reset role; insert into tenants2fast.schema_migrations values (7, '0007_later.sql', 'x')": 'fails',
  "reset role; update tenants2fast.schema_migrations set checksum = 'x'": 'fails',
  'reset role; delete from tenants2fast.schema_migrations': 'fails',
  'reset role; drop table tenants2fast.identity': 'fails',
  'reset role; update tenants2fast.identity set epoch = 2': 'fails',
  'reset role; create table tenants2fast.mine (id int)': 'fails',
  'reset role; alter role current_user superuser': 'fails',
  "reset role; alter role current_user set search_path = 'evil'": 'fails',
  'reset role; alter role current_user connection limit 1000': 'fails',
  [`reset role; grant "${name}_owner" to "${name}"`]: 'fails',
  [`reset role; grant "${prefix}owners" to "${name}"`]: 'fails',
  [`grant "${prefix}owners" to "${name}"`]: 'fails',
  [`grant "${prefix}members" to "${prefix}owners"`]: 'fails',
  [`reset role; grant connect on database "${name}" to public`]: 'harmless',
  [`alter database "${name}" owner to "${name}_owner"`]: 'fails',
  'set session authorization postgres': 'fails',
  'create role evil': 'fails',
  "copy orders from program 'id'": 'fails',
  "select lo_import('/etc/passwd')": 'fails',
  'create extension dblink': 'fails',
  'create event trigger e on ddl_command_end execute function suppress_redundant_updates_trigger()': 'fails',
  'create foreign data wrapper w': 'fails',
  'create publication everything for all tables': 'fails',
  'commit; select 1': 'fails',
  "reset role; alter role current_user password 'known'": 'harmless',
  'reset role; create table made (id serial); create function f() returns int language sql as $$select 1$$': 'harmless',
  'reset role; alter default privileges grant all on tables to public': 'harmless',
  'set session authorization default; create schema made': 'harmless',
  // Temporary objects that stand for what the function of our own schema, which runs as the administrator, looks up.
  [`create function public.evil() returns text language plpgsql as $$ begin
       execute 'create role "${prefix}evil" superuser'; return 'user'; exception when others then return 'user'; end $$;
     create temporary view pg_settings as select 'work_mem'::text as name, public.evil() as context;
     create temporary view pg_available_extensions as select public.evil() as name;
     reset role; select tenants2fast.set_database_setting('work_mem', '5MB');
     select tenants2fast.set_database_setting('app.some', '5MB')`]:
    // An administrator who is no superuser may not set what PostgreSQL does not know.
    isPlainAdmin() ? 'fails' : 'harmless',
  [`create function public.evil_check() returns boolean language plpgsql as $$ begin
       execute 'create role "${prefix}evil" superuser'; return true; exception when others then return true; end $$;
     create domain pg_temp.text as pg_catalog.text check (public.evil_check());
     create domain pg_temp.name as pg_catalog.name check (public.evil_check());
     select tenants2fast.set_database_setting('work_mem', '5MB')`]: 'harmless',
})

test('A hostile file gains nothing: what it may not do fails and is rolled back, and what it makes belongs to the group', async () => {
  const { tenant, name, id } = await createTenant('acme')
  const { prefix } = installation
  await installation.writeSchema('0002_items.sql', 'create table items (id int)')
  const { databases } = installation.open()
  await databases.initializeTenantSchema(tenant)
  const account = await databases.ownerAccountOf(id)
  const before = await rolesOf()
  const ledger = () => rowsOf('select version, name from tenants2fast.schema_migrations order by 1', [], name)
  const acl = () => rowsOf('select datacl::text from pg_database where datname = $1', [name])
  const privileges = await acl()
  const identity = await rowsOf('select * from tenants2fast.identity', [], name)
  const applied = await ledger()
  for (const [sql, outcome] of Object.entries(hostile(name, prefix))) {
    const failure = await runFile(databases, id, sql).catch((error: unknown) => error)
    expect([sql, failure instanceof TenancyError ? 'fails' : failure]).toEqual([sql, outcome])
    if (outcome === 'harmless') await rowsOf('delete from tenants2fast.schema_migrations where version = 3', [], name)
    expect(await ledger(), sql).toEqual(applied)
    expect(await rolesOf(), sql).toEqual(before)
    expect(await acl(), sql).toEqual(privileges)
  }
  expect(await rolesOf()).toEqual(before)
  expect(await rowsOf('select * from tenants2fast.identity', [], name)).toEqual(identity)
  const owned = await rowsOf(
    `select count(*)::int as count from pg_shdepend where refobjid = $1::regrole and deptype = 'o'
       and objid not in (select oid from pg_default_acl)`,
    [`"${name}_owner"`],
    name,
  )
  expect(owned).toEqual([{ count: 0 }])
  // The login has the password that only the runner can derive.
  const client = new Client(account)
  await client.connect()
  await client.end()
  const { rows } = await withAdmin((admin) =>
    admin.query('select rolpassword as verifier from pg_authid where rolname = $1', [account.user]),
  )
  expect(isVerifierOf(rows[0].verifier, account.password)).toBe(true)
})
