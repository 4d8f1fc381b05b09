import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Tenant } from '../../../src/index.js'
import { quoteLiteral } from '../../../src/postgres/text/quote.js'
import type { TenantDatabases } from '../../../src/databases/tenant-databases.js'
import { createTestDatabase } from '../../support/catalog.js'
import { superuser, testWith } from '../../support/requirements.js'
import { withAdmin, withServerAccount } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

vi.setConfig({ testTimeout: 90_000 })

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
})
afterEach(() => installation.drop())

const query = async (databaseName: string, text: string, values: unknown[] = []) =>
  withAdmin(async (admin) => (await admin.query(text, values)).rows, databaseName)

async function createTenant(): Promise<{ tenant: Tenant; name: string }> {
  const { tenants } = installation.open()
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  const { rows } = await installation.catalog.pool.query('select name from tenant_databases where id = $1', [
    tenant.databaseId,
  ])
  return { tenant, name: rows[0].name }
}

/** Opens another process, which reads the folder as it is now. */
const reopen = (options: Parameters<Installation['open']>[0] = {}): TenantDatabases =>
  installation.open(options).databases

/** Statements of a file that change its session, each with a query that shows the change. */
const leaks = {
  "select pg_catalog.set_config('search_path', '', false)": "current_setting('search_path') <> ''",
  "set search_path = 'elsewhere'": "current_setting('search_path') <> 'elsewhere'",
  'set statement_timeout = 1234': "current_setting('statement_timeout') <> '1234ms'",
  'set lock_timeout = 4321': "current_setting('lock_timeout') <> '4321ms'",
  'set idle_in_transaction_session_timeout = 999': "current_setting('idle_in_transaction_session_timeout') <> '999ms'",
  "set default_tablespace = 'pg_default'": "current_setting('default_tablespace') = ''",
  'set row_security = off': "current_setting('row_security') = 'on'",
  'set check_function_bodies = false': "current_setting('check_function_bodies') = 'on'",
  "set client_encoding = 'LATIN1'": "current_setting('client_encoding') = 'UTF8'",
  'set default_transaction_read_only = on': "current_setting('default_transaction_read_only') = 'off'",
  "set application_name = 'file'": "current_setting('application_name') <> 'file'",
  "select set_config('my.setting', 'x', false)": "coalesce(current_setting('my.setting', true), '') = ''",
  'reset role': 'current_user <> session_user',
  'set role none': 'current_user <> session_user',
  'create temp table leftover (id int)': "to_regclass('pg_temp.leftover') is null",
  'prepare leftover as select 1': "not exists (select from pg_prepared_statements where name = 'leftover')",
  'declare leftover cursor with hold for select 1': "not exists (select from pg_cursors where name = 'leftover')",
  'listen leftover': 'not exists (select from pg_listening_channels())',
} as const

test('Settings of one schema file are gone for the next file and for the ledger', async () => {
  const kinds = Object.entries(leaks)
  for (const [index, [statement, isGone]] of kinds.entries()) {
    const number = String(index * 2 + 1).padStart(4, '0')
    await installation.writeSchema(`${number}_leak.sql`, `create table t${index} (id int);\n${statement};`)
    const next = String(index * 2 + 2).padStart(4, '0')
    const message = statement.replaceAll("'", "''")
    await installation.writeSchema(
      `${next}_next.sql`,
      `do $$ begin if not (${isGone}) then raise exception 'leaked: ${message}'; end if; end $$; create table n${index} (id int)`,
    )
  }
  const { name } = await createTenant()
  expect(await query(name, 'select count(*)::int from tenants2fast.schema_migrations')).toEqual([
    { count: kinds.length * 2 },
  ])
  // An existing tenant gets the same.
  const tables = await query(name, "select count(*)::int from pg_tables where schemaname = 'public'")
  expect(tables).toEqual([{ count: kinds.length * 2 }])
})

test('Settings of a schema file hold for all of its further statements', async () => {
  await installation.writeSchema(
    '0001_own.sql',
    `create schema app; set search_path = app; create table things (id int);
     set constraints all deferred;
     create function app.check_path() returns trigger language plpgsql as $$
       begin perform 1 from things; return new; end $$;
     create constraint trigger late after insert on things deferrable initially deferred
       for each row execute function app.check_path();
     insert into things values (1);`,
  )
  const { name } = await createTenant()
  expect(await query(name, 'select id from app.things')).toEqual([{ id: 1 }])
})

test('An existing tenant gets a schema file that starts as a dump does, and the files after it', async () => {
  await installation.writeSchema('0001_first.sql', 'create table first (id int)')
  const { tenant, name } = await createTenant()
  await installation.writeSchema('0002_dump.sql', preamble + 'CREATE TABLE public.dumped (id integer);')
  await installation.writeSchema('0003_after.sql', 'create table after (id int); insert into dumped values (1)')
  expect(await reopen().initializeTenantSchema(tenant)).toEqual(['0002_dump.sql', '0003_after.sql'])
  expect(await query(name, 'select to_regclass($$public.after$$) is not null as found')).toEqual([{ found: true }])
})

// As pg_dump 15 begins.
const preamble = `--
-- PostgreSQL database dump
--
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
`

const pgDump = ['/usr/lib/postgresql/18/bin/pg_dump', '/usr/lib/postgresql/15/bin/pg_dump'].find((path) =>
  existsSync(path),
)
const pgDumpProgram = { isMet: pgDump !== undefined, need: 'pg_dump: install postgresql-client' }
testWith(pgDumpProgram, 'The output of pg_dump is a valid schema file', async ({ skip }) => {
  const source = await createTestDatabase()
  try {
    await source.pool.query(`
      create table orders (id bigint generated always as identity primary key, note text default ';');
      create function total() returns bigint language sql begin atomic select count(*) from orders; end;
      create index on orders (note)`)
    const dumped = await promisify(execFile)(pgDump!, ['--schema-only', '--no-owner', '--no-acl', source.url]).catch(
      (error: Error) => error,
    )
    if (dumped instanceof Error) {
      expect(dumped.message).toContain('server version mismatch')
      skip(`needs a pg_dump as new as the server: ${pgDump} is older`)
      return
    }
    await installation.writeSchema('0001_dump.sql', dumped.stdout)
    await installation.writeSchema('0002_more.sql', "insert into orders (note) values ('more')")
    const { name } = await createTenant()
    expect(await query(name, 'select total()::int')).toEqual([{ total: 1 }])
  } finally {
    await source.drop()
  }
})

test('A migration waits for an open transaction, and queries that queue behind it are served meanwhile', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
  const { tenant, name } = await createTenant()
  await installation.writeSchema('0002_column.sql', 'alter table orders add column note text')
  const databases = reopen({ schemaLockTimeoutMs: 100 })
  await withAdmin(async (reader) => {
    await reader.query('begin; select * from orders')
    const migration = databases.initializeTenantSchema(tenant)
    await withAdmin(async (other) => {
      const waiting = `select count(*)::int from pg_locks where not granted and relation = 'orders'::regclass`
      await vi.waitUntil(async () => (await other.query(waiting)).rows[0].count > 0, { timeout: 20_000, interval: 5 })
      // Queues behind the migration, and waits as long as it does.
      expect((await other.query('select * from orders')).rowCount).toBe(0)
    }, name)
    await reader.query('commit')
    expect(await migration).toEqual(['0002_column.sql'])
  }, name)
})

test('A lock that is never released fails the migration with tenant, file, line and the session that holds it', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
  const { tenant, name } = await createTenant()
  await installation.writeSchema('0002_column.sql', "select 'first';\n\nalter table orders\n add column note text;")
  // An account may see the details of its own sessions.
  await withServerAccount(async (reader) => {
    await reader.query("set application_name = 'month''s report'")
    const [{ pid }] = (await reader.query('select pg_backend_pid() as pid')).rows
    await reader.query('begin; select * from orders')
    const failure = await reopen({ schemaLockTimeoutMs: 60 })
      .initializeTenantSchema(tenant)
      .catch((error: unknown) => error)
    expect(failure).toMatchObject({
      code: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
      statusCode: 503,
      message: expect.stringMatching(
        new RegExp(
          `^Tenant "acme": 0002_column.sql, line 3 \\(statement 2\\): a lock could not be had within 60 ms, 8 times; ` +
            `held by process ${pid} \\(application "month's report", its transaction is \\d+ s old\\)`,
        ),
      ),
    })
    // Nothing of the file is left, and no lock.
    expect((await reader.query('select * from orders')).fields.map((field) => field.name)).toEqual(['id'])
    await reader.query('commit')
  }, name)
  expect(await reopen().initializeTenantSchema(tenant)).toEqual(['0002_column.sql'])
})

test('The wait for another migration of the same database has a limit', async () => {
  const { applySqlFiles } = await import('../../../src/postgres/files/sql-files.js')
  const { name } = await createTenant()
  const ledger = {
    schema: 'tenants2fast',
    lock: { key: '7205002', timeoutMs: 100, what: 'this database' },
    codes: {
      invalid: 'TENANCY_DATABASE_SCHEMA_INVALID',
      failed: 'TENANCY_DATABASE_SCHEMA_FAILED',
      blocked: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
    },
  } as const
  await withAdmin(async (holder) => {
    await holder.query('select pg_advisory_lock(7205002)')
    await withAdmin(async (client) => {
      await expect(applySqlFiles(client, [], ledger)).rejects.toMatchObject({
        code: 'TENANCY_DATABASE_LOCK_TIMEOUT',
        message: expect.stringContaining('the lock of this database'),
      })
    }, name)
  }, name)
})

test('Schema files named with 0000, with dates, and in Prisma’s folders are applied in the order of their numbers', async () => {
  await installation.writeSchema(
    '0000_curvy_name.sql',
    'create table a (id int);--> statement-breakpoint\ncreate index on a (id)',
  )
  await installation.writeSchema('0001_next.sql', 'create table b (id int)')
  await installation.writeSchema('1711929600_unix.sql', 'create table c (id int)')
  await installation.writeSchema('20240101120000_dated.sql', 'create table d (id int)')
  await mkdir(`${installation.schemaDir}/20250101120000_init`)
  await writeFile(`${installation.schemaDir}/20250101120000_init/migration.sql`, 'create table e (id int)')
  await mkdir(`${installation.schemaDir}/meta`)
  await writeFile(`${installation.schemaDir}/meta/0000_snapshot.json`, '{}')
  const { name } = await createTenant()
  expect(await query(name, 'select version::text, name from tenants2fast.schema_migrations order by version')).toEqual([
    { version: '0', name: '0000_curvy_name.sql' },
    { version: '1', name: '0001_next.sql' },
    { version: '1711929600', name: '1711929600_unix.sql' },
    { version: '20240101120000', name: '20240101120000_dated.sql' },
    { version: '20250101120000', name: '20250101120000_init/migration.sql' },
  ])
  expect((await installation.catalog.pool.query('select schema_version::text from tenant_databases')).rows).toEqual([
    { schema_version: '20250101120000' },
  ])
})

test('A ledger of short numbers takes files with long numbers once, and applies nothing again', async () => {
  await installation.writeSchema('0000_a.sql', 'create table a (id int)')
  const { tenant, name } = await createTenant()
  const typeOf = async () =>
    (
      await query(
        name,
        `select format_type(atttypid, null) as type from pg_attribute
          where attrelid = 'tenants2fast.schema_migrations'::regclass and attname = 'version'`,
      )
    )[0].type
  expect(await typeOf()).toBe('integer')
  await installation.writeSchema('20240101120000_b.sql', 'create table b (id int)')
  expect(await reopen().initializeTenantSchema(tenant)).toEqual(['20240101120000_b.sql'])
  expect(await typeOf()).toBe('bigint')
  await installation.writeSchema('99999999999999_c.sql', 'create table c (id int)')
  expect(await reopen().initializeTenantSchema(tenant)).toEqual(['99999999999999_c.sql'])
  expect(await reopen().initializeTenantSchema(tenant)).toEqual([])
  await installation.writeSchema('0001_late.sql', 'create table late (id int)')
  await expect(reopen().initializeTenantSchema(tenant)).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
    message:
      'Tenant "acme": 0001_late.sql comes before 99999999999999_c.sql, which was applied: give it a higher number',
  })
})

test('Duplicate numbers of different width, mixed short and long numbers, and a folder without its file are refused with every problem', async () => {
  await installation.writeSchema('0001_a.sql', '')
  await installation.writeSchema('00001_b.sql', '')
  await installation.writeSchema('123_c.sql', '')
  await installation.writeSchema('123456789012345_d.sql', '')
  await installation.writeSchema('0005_E.SQL', '')
  await expect(reopen().templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
    message: expect.stringMatching(
      /00001_b.sql and 0001_a.sql have the same number; 0005_E.SQL is not named .*; 123456789012345_d.sql is not named .*; 123_c.sql is not named/,
    ),
  })
  for (const name of ['0001_a.sql', '00001_b.sql', '123_c.sql', '123456789012345_d.sql', '0005_E.SQL']) {
    await installation.removeSchema(name)
  }
  await mkdir(`${installation.schemaDir}/20250101120000_init`)
  await expect(reopen().templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
    message: '20250101120000_init/migration.sql cannot be read as UTF-8 text',
  })
})

test('An SQL error without a position names the failed statement: in a block, at the end, and behind semicolons', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int primary key)')
  const { tenant } = await createTenant()
  const failing = {
    'insert into orders values (1);\ninsert into orders values (2);\n\n  insert into orders values (1)':
      'line 4 (statement 3)',
    "select ';';;; \n do $$ begin\n raise exception 'hunter2 is not in it'; end $$; select 1": 'line 2 (statement 2)',
    'insert into orders values (1);\nselect 1/0; select 2': 'line 2 (statement 2)',
  }
  for (const [sql, place] of Object.entries(failing)) {
    await installation.writeSchema('0002_bad.sql', sql)
    const failure = await reopen()
      .initializeTenantSchema(tenant)
      .catch((error: unknown) => error)
    // Some fail in the template already, which belongs to no tenant.
    expect((failure as Error).message).toMatch(/^(Tenant "acme": )?0002_bad.sql, /)
    expect((failure as Error).message).toContain(`0002_bad.sql, ${place}: `)
    expect((failure as Error).message).not.toContain('insert into')
  }
  // Deferred until the end of the file.
  await installation.writeSchema(
    '0002_bad.sql',
    'create table items (o int references orders deferrable initially deferred); insert into items values (9)',
  )
  await expect(reopen().templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_FAILED',
    message: expect.stringMatching(/^0002_bad.sql: insert or update on table "items" violates foreign key/),
  })
})

// Before PostgreSQL 16, custom settings take a superuser.
testWith(superuser, 'Database settings of schema files reach existing and new tenants alike', async () => {
  await installation.writeSchema('0001_schema.sql', 'create schema app; create schema "odd, name"')
  const { tenant, name: existing } = await createTenant()
  const settings = [
    ['search_path', String.raw`app, "odd, name", "$user", public`],
    ['statement_timeout', '90s'],
    ['my.greeting', String.raw`it's \ "quoted", = here`],
    ['my.empty', ''],
    ['DateStyle', 'ISO, DMY'],
    ['timezone', 'Europe/Berlin'],
    ['default_transaction_isolation', 'repeatable read'],
    ['intervalstyle', 'iso_8601'],
  ] as const
  await installation.writeSchema(
    '0002_settings.sql',
    settings
      .map(
        ([name, value]) => `select tenants2fast.set_database_setting(${quoteLiteral(name)}, ${quoteLiteral(value)});`,
      )
      .join('\n'),
  )
  const databases = reopen()
  await databases.initializeTenantSchema(tenant)
  const built = await databases.createTenantDatabase()
  const settingsOf = async (name: string) =>
    (
      await query(
        name,
        `select setconfig from pg_db_role_setting where setrole = 0
          and setdatabase = (select oid from pg_database where datname = current_database())`,
      )
    )[0]?.setconfig
  expect(await settingsOf(built.name)).toHaveLength(settings.length)
  expect(await settingsOf(built.name)).toEqual(await settingsOf(existing))
  const client = new Client(databases.targetOf(built).account)
  await client.connect()
  expect((await client.query('select current_schemas(false)::text[] as schemas')).rows).toEqual([
    { schemas: ['app', 'odd, name', 'public'] },
  ])
  await client.end()
})

test('A schema file cannot set what loads code, changes the role, or only an administrator may set', async () => {
  const refused = [
    ...['local_preload_libraries', 'session_preload_libraries', 'role', 'session_authorization'],
    ...['session_replication_role', 'temp_file_limit', 'log_statement', 'plperl.on_plperl_init', 'auto_explain.x'],
  ]
  for (const name of refused) {
    await installation.writeSchema('0001_settings.sql', `select tenants2fast.set_database_setting('${name}', 'x')`)
    await expect(reopen().templateVersion()).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_SCHEMA_FAILED',
      message: expect.stringMatching(/^0001_settings.sql.* is for administrators: .*TENANT_EXTENSIONS/),
    })
  }
  // As a statement it takes the owner of the database, and the message says what to do instead.
  await installation.writeSchema(
    '0001_settings.sql',
    "do $$ begin execute format('alter database %I set work_mem = %L', current_database(), '5MB'); end $$",
  )
  await expect(reopen().templateVersion()).rejects.toMatchObject({
    message: expect.stringMatching(/^0001_settings.sql.*must be owner of database .*set_database_setting/),
  })
})

test('A setting that an administrator gave the template and that loads code is not copied, and a warning names it', async () => {
  await installation.writeSchema('0001_settings.sql', "select tenants2fast.set_database_setting('work_mem', '5MB')")
  const { databases } = installation.open()
  const template = `${installation.prefix}template_${await databases.templateVersion()}`
  await withAdmin((admin) => admin.query(`alter database "${template}" set local_preload_libraries = 'nothing'`))
  const { name } = await reopen().createTenantDatabase()
  const rows = await query(
    'postgres',
    'select setconfig from pg_db_role_setting join pg_database on pg_database.oid = setdatabase where datname = $1',
    [name],
  )
  expect(rows).toEqual([{ setconfig: ['work_mem=5MB'] }])
  expect(installation.log.filter((line) => line.startsWith('warn: The schema gives'))).toHaveLength(1)
})
