import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Tenant } from '../../../src/index.js'
import { withAdmin, withServerAccount } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int); create schema app')
})
afterEach(() => installation.drop())

const queryIn = (name: string, text: string) => withAdmin(async (admin) => (await admin.query(text)).rows, name)

interface Attacked {
  readonly tenant: Tenant
  readonly name: string
  readonly role: string
  /** Runs statements as the tenant's role; returns the SQLSTATE of each, or `done`. */
  asTenant(...statements: string[]): Promise<string[]>
}

async function createTenant(): Promise<Attacked> {
  const { databases, tenants } = installation.open()
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  const { rows } = await installation.catalog.pool.query(
    'select id, name, role_name as "roleName", epoch from tenant_databases where id = $1',
    [tenant.databaseId],
  )
  const { account } = databases.targetOf(rows[0])
  return {
    tenant,
    name: rows[0].name,
    role: rows[0].roleName,
    async asTenant(...statements) {
      const client = new Client(account)
      await client.connect()
      const outcomes: string[] = []
      for (const statement of statements) {
        const outcome = await client.query(statement).then(
          () => 'done',
          (error: unknown) => String((error as { code?: string }).code),
        )
        outcomes.push(outcome)
      }
      await client.end()
      return outcomes
    },
  }
}

/** Statements by which a role can try to change the privileges of itself and its group. */
const attacks = (name: string, role: string, members: string) => [
  `drop owned by "${members}"`,
  `drop owned by "${role}"`,
  `drop owned by "${members}", "${role}" cascade`,
  `revoke "${members}" from "${role}"`,
  `revoke all on database "${name}" from "${role}"`,
  `revoke all on all tables in schema public from "${members}"`,
  `revoke all on schema public, app, tenants2fast from "${members}"`,
  `revoke all on tenants2fast.identity from "${members}"`,
  `alter default privileges revoke all on tables from "${members}"`,
  `alter default privileges for role "${members}" revoke all on tables from "${members}"`,
  `alter default privileges for role postgres revoke all on tables from "${members}"`,
  `alter default privileges in schema app revoke all on tables from "${members}"`,
  `reassign owned by "${members}" to "${role}"`,
]

test('After any change that a tenant can make to its privileges, it can use the tables of the next migration', async () => {
  const { tenant, name, role, asTenant } = await createTenant()
  const members = `${installation.prefix}members`
  await asTenant(...attacks(name, role, members))
  await installation.writeSchema(
    '0002_items.sql',
    `create table items (id int generated always as identity primary key, nr serial); create view seen as select * from items;
     create table app.things (id int); create schema late; create table late.more (id int);
     create type mood as enum ('good'); create function twice(n int) returns int language sql as 'select n * 2';
     create sequence counter`,
  )
  expect(await installation.open().databases.initializeTenantSchema(tenant)).toEqual(['0002_items.sql'])
  const uses = [
    'insert into items default values',
    'select * from seen',
    'insert into app.things values (twice(1))',
    'insert into late.more values (1)',
    "select 'good'::mood, nextval('counter')",
    'delete from orders',
  ]
  expect(await asTenant(...uses)).toEqual(uses.map(() => 'done'))
  // It can do nothing that it could not do before.
  expect(
    await asTenant('create table mine (id int)', 'select * from tenants2fast.schema_migrations', 'truncate items'),
  ).toEqual(['42501', '42501', '42501'])
})

test('The next migration grants the tenant what was made while the default privileges were missing', async () => {
  const { tenant, role, name, asTenant } = await createTenant()
  await asTenant(`drop owned by "${installation.prefix}members"`)
  // As an earlier release has migrated it.
  await withServerAccount(
    (account) =>
      account.query(
        `create table public.items (id int, nr serial); create schema "Late one"; create table "Late one"."A b" (id int);
         create table public.secret (id int); revoke all on public.secret from public;
         insert into tenants2fast.schema_migrations values (2, '0002_items.sql', '')`,
      ),
    name,
  )
  // A file may give a table to another owner, who then decides about it.
  await queryIn(
    name,
    `grant create on schema public to pg_monitor; set role pg_monitor; create table public.monitors (id int);
     reset role; revoke create on schema public from pg_monitor`,
  )
  const uses = ['insert into items (id) values (1)', 'select * from "Late one"."A b"']
  expect(await asTenant(...uses)).toEqual(['42501', '42501'])
  const { databases } = installation.open()
  expect(await databases.initializeTenantSchema(tenant)).toEqual([])
  expect(await asTenant(...uses)).toEqual(['done', 'done'])
  expect(await asTenant('select * from secret', 'select * from monitors')).toEqual(['42501', '42501'])
  expect(installation.log.filter((line) => line.startsWith('warn: Privileges of a tenant'))).toHaveLength(1)
  // Nothing is left to restore.
  await databases.initializeTenantSchema(tenant)
  expect(await databases.restoreRole(tenant.databaseId ?? '')).toEqual([])
  expect(installation.log.filter((line) => line.startsWith('warn: Privileges of a tenant'))).toHaveLength(1)
  expect(role).toBe(name)
  await queryIn(name, 'drop table public.monitors')
})

test('Privileges that a schema file revokes stay revoked', async () => {
  const { tenant, asTenant } = await createTenant()
  const members = `"${installation.prefix}members"`
  await installation.writeSchema(
    '0002_audit.sql',
    `create table audit (id int); revoke update, delete on audit from ${members};
     create table hidden (id int); revoke all on hidden from ${members}`,
  )
  const { databases } = installation.open()
  await databases.initializeTenantSchema(tenant)
  await asTenant(`drop owned by ${members}`)
  expect(await databases.restoreRole(tenant.databaseId ?? '')).toEqual(['privileges'])
  await databases.initializeTenantSchema(tenant)
  expect(
    await asTenant('insert into audit values (1)', 'delete from audit', 'select * from hidden', 'delete from orders'),
  ).toEqual(['done', '42501', '42501', 'done'])
})

test('A role that an operator removed from its group, or whose CONNECT was revoked, gets both back', async () => {
  const { tenant, name, role, asTenant } = await createTenant()
  const members = `${installation.prefix}members`
  const id = tenant.databaseId ?? ''
  await queryIn(name, `revoke "${members}" from "${role}"`)
  // It does not even see the schema.
  expect(await asTenant('select * from orders')).toEqual(['42P01'])
  const { databases } = installation.open()
  expect(await databases.restoreRole(id)).toEqual(['privileges'])
  expect(await asTenant('select * from orders')).toEqual(['done'])
  await queryIn(
    name,
    `revoke all on database "${name}" from "${role}"; revoke all on tenants2fast.identity from "${members}"`,
  )
  expect(await databases.restoreRole(id)).toEqual(['privileges'])
  expect(await asTenant('select * from tenants2fast.identity', 'create temp table t (id int)')).toEqual([
    'done',
    'done',
  ])
})

test('A tenant that keeps dropping its default privileges during a migration still gets them on its new tables', async () => {
  const { tenant, asTenant } = await createTenant()
  const files = Array.from({ length: 12 }, (_, index) => index + 2)
  for (const number of files) {
    const name = `${String(number).padStart(4, '0')}_t.sql`
    await installation.writeSchema(name, `create table t${number} (id int); select pg_sleep(0.02)`)
  }
  const { databases } = installation.open()
  await databases.templateVersion()
  let isDone = false
  const attack = async () => {
    while (!isDone) await asTenant(...Array.from({ length: 20 }, () => `drop owned by "${installation.prefix}members"`))
  }
  const attacking = [attack(), attack()]
  expect(await databases.initializeTenantSchema(tenant)).toHaveLength(files.length)
  isDone = true
  await Promise.all(attacking)
  const uses = files.map((number) => `insert into t${number} values (1)`)
  expect(await asTenant(...uses)).toEqual(uses.map(() => 'done'))
})
