import { createHash } from 'node:crypto'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Tenant } from '../../../src/index.js'
import type { TenantDatabases } from '../../../src/databases/tenant-databases.js'
import { withAdmin, withServerAccount } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'
import { makeOld } from './old-database.js'

vi.setConfig({ testTimeout: 90_000 })

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
})
afterEach(() => installation.drop())

const rowsIn = (name: string, text: string) => withAdmin(async (admin) => (await admin.query(text)).rows, name)

/** One object of every kind that a plain administrator can make. */
const schema = `
  create schema app;
  create type app.mood as enum ('good');
  create type app.point as (x int, y int);
  create domain app.percentage as int check (value < 101);
  create type app.span as range (subtype = int);
  create table app.notes (id bigint generated always as identity primary key, body text, nr serial, mood app.mood);
  create table app.parts (id int) partition by list (id);
  create table app.parts_one partition of app.parts for values in (1);
  create table plain (id serial primary key);
  create view bodies as select body from app.notes;
  create materialized view app.counted as select count(*) from plain;
  create sequence counter;
  create function app.twice(n int) returns int language sql as 'select n * 2';
  create function secret() returns text language sql security definer as 'select current_user::text';
  create procedure app.clean() language sql as 'delete from plain';
  create aggregate app.total (int) (sfunc = int4pl, stype = int, initcond = '0');
  create function same(int, int) returns boolean language sql as 'select $1 = $2';
  create operator app.=== (leftarg = int, rightarg = int, function = same);
  create collation app.german (locale = 'C');
  create statistics app.related on id, body from app.notes;
  create text search configuration app.words (copy = simple);
  create text search dictionary app.entries (template = simple);
  create table audit (id int); revoke update, delete on audit from MEMBERS;
  create table hidden (id int); revoke all on hidden from MEMBERS;
  create function closed() returns int language sql as 'select 1'; revoke all on function closed() from public, MEMBERS;
  alter default privileges in schema app grant truncate on tables to MEMBERS;
  alter default privileges revoke execute on functions from public;
  select lo_create(4711);
`

/** Every privilege of the group on every object of the application, and what it will have on objects to come. */
const privilegesOf = (members: string) => `
  select format('%s %s', kind, name) as object, array_agg(x.privilege_type || ' ' || x.is_grantable order by x.privilege_type) as privileges
    from (
      select 'relation' as kind, oid::regclass::text as name, relacl as acl, relnamespace as ns from pg_class
      union all select 'routine', oid::regprocedure::text, proacl, pronamespace from pg_proc
      union all select 'type', oid::regtype::text, typacl, typnamespace from pg_type
      union all select 'schema', nspname, nspacl, oid from pg_namespace
    ) o, aclexplode(acl) x
   where ns in (select oid from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'tenants2fast'))
     and x.grantee = '${members}'::regrole
   group by 1
  union all
  select format('default %s %s', defaclobjtype, defaclnamespace::regnamespace), array_agg(x.privilege_type || ' ' || x.is_grantable order by x.privilege_type)
    from pg_default_acl, aclexplode(defaclacl) x where x.grantee = '${members}'::regrole group by 1
  order by 1`

/** Owners of the application's objects, with what belongs to each. */
const ownersIn = `
  select pg_get_userbyid(owner) as owner, count(*)::int from (
    select relowner as owner, relnamespace as ns from pg_class where relkind <> 'i' and relkind <> 'I' and relkind <> 't'
    union all select proowner, pronamespace from pg_proc
    union all select typowner, typnamespace from pg_type
    union all select nspowner, oid from pg_namespace
    union all select oprowner, oprnamespace from pg_operator
    union all select opfowner, opfnamespace from pg_opfamily
    union all select collowner, collnamespace from pg_collation
    union all select stxowner, stxnamespace from pg_statistic_ext
    union all select cfgowner, cfgnamespace from pg_ts_config
    union all select dictowner, dictnamespace from pg_ts_dict
    union all select lomowner, 'public'::regnamespace from pg_largeobject_metadata
  ) o where ns in (select oid from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'tenants2fast'))
  group by 1 order by 1`

const file = (version: number, sql: string) => ({
  ...{ version, sql, name: `${String(version).padStart(4, '0')}_file.sql` },
  checksum: createHash('sha256').update(sql).digest('hex'),
})

interface OldTenant {
  readonly tenant: Tenant
  readonly name: string
  readonly databases: TenantDatabases
  asTenant(...statements: string[]): Promise<string[]>
}

/** A tenant whose database is as the earlier release has left it, with `sql` as its only file. */
async function createOldTenant(sql: string): Promise<OldTenant> {
  const { prefix } = installation
  const { databases, tenants } = installation.open()
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  const id = tenant.databaseId ?? ''
  const { rows } = await installation.catalog.pool.query(
    'select id, name, role_name as "roleName", epoch from tenant_databases where id = $1',
    [id],
  )
  const first = file(1, sql.replaceAll('MEMBERS', `"${prefix}members"`))
  await installation.writeSchema(first.name, first.sql)
  await makeOld({ prefix, name: rows[0].name, id }, [first])
  const { account } = databases.targetOf(rows[0])
  return {
    ...{ tenant, name: rows[0].name, databases },
    async asTenant(...statements) {
      const client = new Client(account)
      await client.connect()
      const outcomes: string[] = []
      for (const statement of statements) {
        outcomes.push(
          await client.query(statement).then(
            () => 'done',
            (error: { code?: string }) => String(error.code),
          ),
        )
      }
      await client.end()
      return outcomes
    },
  }
}

test('An old database is given to its owners at its next migration: same privileges, and the next file works', async () => {
  const { tenant, name, asTenant } = await createOldTenant(schema)
  const { prefix } = installation
  const before = await rowsIn(name, privilegesOf(`${prefix}members`))
  expect(before.length).toBeGreaterThan(20)
  // A table that the tenant may own, and a hand-made one of another role.
  await withAdmin(
    (admin) =>
      admin.query(`grant create on schema app to "${name}"; set role "${name}"; create table app.mine (id int)`),
    name,
  )
  await installation.writeSchema(
    '0002_more.sql',
    `alter table app.notes add note text; create table app.late (id serial); create function app.later() returns int language sql as 'select 1';
     drop function app.twice(int); alter type app.mood add value 'bad'; drop schema if exists nothing`,
  )
  const { databases } = installation.open()
  expect(await databases.initializeTenantSchema(tenant)).toEqual(['0002_more.sql'])
  const owners = await rowsIn(name, ownersIn)
  expect(owners.map(({ owner }) => owner)).toEqual([name, `${prefix}owners`])
  // The table of the tenant, its type, and the array of it.
  expect(owners[0].count).toBe(3)
  await rowsIn(name, 'drop table app.mine, app.late; drop function app.later()')
  const after = await rowsIn(name, privilegesOf(`${prefix}members`))
  expect(after).toEqual(before.filter(({ object }) => object !== 'routine app.twice(integer)'))
  expect(
    await asTenant(
      "insert into app.notes (body) values ('x')",
      'select * from bodies',
      "select nextval('counter')",
      'call app.clean()',
      'insert into audit values (1)',
      'delete from audit',
      'select * from hidden',
      'select closed()',
      'create table app.another (id int)',
    ),
  ).toEqual(['done', 'done', 'done', 'done', 'done', '42501', '42501', '42501', 'done'])
  const { rows } = await withAdmin((admin) => admin.query('select secret() as who'), name)
  expect(rows).toEqual([{ who: `${prefix}owners` }])
  // Nothing is left to do.
  await databases.initializeTenantSchema(tenant)
  expect(installation.log.filter((line) => line.includes('given to their owner'))).toHaveLength(1)
  await rowsIn(name, `drop table app.another; revoke create on schema app from "${name}"`)
})

test('Objects of an extension, of our own schema, and those that only a superuser may own keep their owners', async () => {
  const { tenant, name } = await createOldTenant('create extension citext; create table notes (id int, body citext)')
  const query = `select 'extension' as what, pg_get_userbyid(extowner) as owner from pg_extension where extname = 'citext'
    union all select 'function', pg_get_userbyid(proowner) from pg_proc where proname = 'citextin'
    union all select relname, pg_get_userbyid(relowner) from pg_class where relnamespace = 'tenants2fast'::regnamespace order by 1`
  const before = await rowsIn(name, query)
  await installation.open().databases.initializeTenantSchema(tenant)
  expect(await rowsIn(name, query)).toEqual(before)
  expect(await rowsIn(name, "select pg_get_userbyid(relowner) as owner from pg_class where relname = 'notes'")).toEqual(
    [{ owner: `${installation.prefix}owners` }],
  )
})

test('A migration that dies while it gives objects over leaves all or nothing, and the next one finishes', async () => {
  const { tenant, name } = await createOldTenant('create table a (id int); create table b (id int)')
  const before = await rowsIn(name, ownersIn)
  const blocker = new Client({ ...installation.server, database: name })
  await blocker.connect()
  await blocker.query('begin; lock table b in access share mode')
  const { databases } = installation.open({ schemaLockTimeoutMs: 60_000 })
  const dying = databases.initializeTenantSchema(tenant).catch((error: unknown) => error)
  await expect
    .poll(() =>
      withAdmin(
        async (admin) =>
          (
            await admin.query(
              "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'",
              [name],
            )
          ).rowCount,
      ),
    )
    .toBeGreaterThan(0)
  expect(await dying).toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE' })
  expect(await rowsIn(name, ownersIn)).toEqual(before)
  // A lock that is not to be had in time is an error of its own.
  await expect(
    installation.open({ schemaLockTimeoutMs: 20 }).databases.initializeTenantSchema(tenant),
  ).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
  })
  await blocker.end()
  await installation.open().databases.initializeTenantSchema(tenant)
  expect((await rowsIn(name, ownersIn)).map(({ owner }) => owner)).toEqual([`${installation.prefix}owners`])
})

test('What an earlier release migrates after this one is given over again', async () => {
  const { tenant, name, asTenant } = await createOldTenant('create table a (id int)')
  const { prefix } = installation
  await installation.open().databases.initializeTenantSchema(tenant)
  // As the earlier release does it: default privileges of its account, then the file.
  const second = file(2, 'create table b (id int)')
  await withServerAccount(
    (account) =>
      account.query(
        `alter default privileges grant select, insert, update, delete on tables to "${prefix}members"; ${second.sql};
         insert into tenants2fast.schema_migrations values (2, '${second.name}', '${second.checksum}')`,
      ),
    name,
  )
  await installation.writeSchema(second.name, second.sql)
  await installation.writeSchema('0003_file.sql', 'alter table b add note text')
  expect(await installation.open().databases.initializeTenantSchema(tenant)).toEqual(['0003_file.sql'])
  expect((await rowsIn(name, ownersIn)).map(({ owner }) => owner)).toEqual([`${prefix}owners`])
  expect(await asTenant('insert into b values (1)')).toEqual(['done'])
})

test('The repair of a role in an old database restores what that database has, and finds nothing missing in a whole one', async () => {
  const { tenant, asTenant, databases } = await createOldTenant('create table a (id int)')
  const id = tenant.databaseId ?? ''
  expect(await databases.restoreRole(id)).toEqual([])
  await asTenant(`drop owned by "${installation.prefix}members"`)
  expect(await databases.restoreRole(id)).toEqual(['privileges'])
  expect(await asTenant('insert into a values (1)')).toEqual(['done'])
})
