import { count, eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { Kysely, PostgresDialect } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isReadable, readableTables } from '../../src/catalog/reading/readable-columns.js'
import * as tables from '../../src/catalog/tables.js'
import type { Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { superuser, testWith } from '../support/requirements.js'
import { withAdmin } from '../support/server.js'

let installation: Installation
let tenancy: Tenancy
let owner: string

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
  owner = (await tenancy.createUser({ email: 'ada@example.com', emailVerified: true })).id
  await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner })
})
afterAll(() => installation.drop())

const admin = () => tenancy.accountsHost().catalog
const denied = { code: '42501' }
const roleName = async () =>
  (await tenancy.catalog.query<{ name: string }>('select current_user as name')).rows[0]!.name

interface ColumnRow {
  readonly table: string
  readonly column: string
  readonly isBytes: boolean
}
const columns = async () =>
  (
    await admin().query<ColumnRow>(
      `select table_name::text as table, column_name::text as column, data_type = 'bytea' as "isBytes"
       from information_schema.columns where table_schema = 'public' order by 1, ordinal_position`,
    )
  ).rows

test('Nothing is made on the server before it is first used', async () => {
  const before = await installation.onServer()
  expect(before.roles.filter((name) => name.includes('reader'))).toEqual([])
  expect((await tenancy.catalog.query('select slug from tenants')).rows).toEqual([{ slug: 'acme' }])
  const { roles } = await installation.onServer()
  expect(roles.filter((name) => name.includes('reader'))).toEqual([await roleName()])
})

test('Drizzle and Kysely read by it, in transactions as well', async () => {
  const db = drizzle(tenancy.catalog)
  const { tenants, userTenants, users } = tables
  const members = await db
    .select({ slug: tenants.slug, members: count() })
    .from(tenants)
    .innerJoin(userTenants, eq(userTenants.tenantId, tenants.id))
    .groupBy(tenants.slug)
  expect(members).toEqual([{ slug: 'acme', members: 1 }])
  expect(await db.transaction((one) => one.select().from(users))).toMatchObject([{ id: owner }])
  const kysely = new Kysely<{ tenants: { slug: string } }>({ dialect: new PostgresDialect({ pool: tenancy.catalog }) })
  expect(await kysely.selectFrom('tenants').select('slug').execute()).toEqual([{ slug: 'acme' }])
  await kysely.destroy()
  // It is not the caller's to end.
  expect((await tenancy.catalog.query('select 1 as one')).rows).toEqual([{ one: 1 }])
})

test('Every table of the catalog is decided about: a new one cannot be read until somebody says so', async () => {
  const found = new Set((await columns()).map(({ table }) => table))
  expect(Object.keys(readableTables).toSorted()).toEqual([...found].toSorted())
  expect(isReadable({ table: 'new_table', column: 'id', isBytes: false })).toBe(false)
  expect(isReadable({ table: 'constructor', column: 'id', isBytes: false })).toBe(false)
  expect(isReadable({ table: 'tenants', column: 'key', isBytes: true })).toBe(false)
})

test('What sounds like a secret is not readable, and each column is readable exactly as it is written', async () => {
  const suspicious = /hash|secret|password|token|sealed|salt|verifier|private/
  const open: string[] = []
  for (const row of await columns()) {
    const name = `${row.table}.${row.column}`
    const select = tenancy.catalog.query(`select "${row.column}" from "${row.table}" limit 1`)
    if (isReadable(row)) {
      await expect(select, name).resolves.toBeTruthy()
      if (suspicious.test(row.column)) open.push(name)
    } else await expect(select, name).rejects.toMatchObject(denied)
  }
  // Each with its reason: hashes of entries and archives, and counters.
  expect(open).toEqual(['audit_chains.hash', 'audit_log.hash', 'users.token_epoch', 'users.tokens_valid_after'])
})

test('It cannot write, whatever a session sets, nor become somebody who can', async () => {
  const statements = [
    "update tenants set name = 'x'",
    'delete from audit_log',
    "insert into audit_log (action) values ('x')",
    'truncate tenants',
    'create table x ()',
    'create temp table x ()',
    'create schema x',
    'alter table tenants disable trigger all',
    `grant select on user_credentials to public`,
    "select nextval(pg_get_serial_sequence('audit_log', 'id'))",
    'select bump_tenant_epoch(id) from tenants',
    'select pg_read_file($$/etc/passwd$$)',
    'select rolpassword from pg_authid',
    'copy tenants to program $$true$$',
    'do $$ begin lock table tenants in exclusive mode; end $$',
    'create role x',
  ]
  const client = await tenancy.catalog.connect()
  try {
    expect((await client.query('show default_transaction_read_only')).rows).toEqual([
      { default_transaction_read_only: 'on' },
    ])
    await client.query('set default_transaction_read_only = off')
    for (const statement of statements) {
      await expect(client.query(statement), statement).rejects.toMatchObject(denied)
    }
    const { rows: owners } = await admin().query<{ name: string }>('select quote_ident(current_user) as name')
    for (const statement of ['set role', 'set session authorization']) {
      await expect(client.query(`${statement} ${owners[0]!.name}`), statement).rejects.toMatchObject(denied)
    }
    await client.query('reset role')
    await client.query('reset session authorization')
    const leak = 'do $$ begin reset role; perform password from user_credentials; end $$'
    await expect(client.query(leak)).rejects.toMatchObject(denied)
    await client.query('set default_transaction_read_only = on')
    const { rows } = await client.query(
      'select rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user',
    )
    expect(rows).toEqual([{ rolsuper: false, rolcreaterole: false, rolcreatedb: false }])
  } finally {
    client.release(true)
  }
})

testWith(superuser, 'It makes no large objects', async () => {
  const client = await tenancy.catalog.connect()
  try {
    await client.query('set default_transaction_read_only = off')
    for (const call of ['lo_creat(-1)', 'lo_create(0)', "lo_from_bytea(0, 'x')", "lo_import('/etc/hostname')"]) {
      await expect(client.query(`select ${call}`), call).rejects.toMatchObject(denied)
    }
  } finally {
    client.release(true)
  }
  expect((await admin().query('select from pg_largeobject_metadata')).rowCount).toBe(0)
})

test('A password that it has given itself locks no process out', async () => {
  const other = await installation.open()
  await other.catalog.query('select 1')
  const client = await tenancy.catalog.connect()
  try {
    await client.query('set default_transaction_read_only = off')
    await client.query("alter role current_user password 'mine'")
  } finally {
    client.release(true)
  }
  // As many as may connect: none of them is an older one.
  const held = await Promise.all([tenancy.catalog.connect(), tenancy.catalog.connect(), tenancy.catalog.connect()])
  for (const one of held) one.release(true)
  expect((await tenancy.catalog.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  expect((await other.catalog.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  await other.close()
})

test('A column that is added later, and sounds like a secret, is not given', async () => {
  await admin().query('alter table event_subscriptions add column signing_secret text, add column note text')
  const second = await installation.open()
  try {
    await second.catalog.query('select note from event_subscriptions')
    await expect(second.catalog.query('select signing_secret from event_subscriptions')).rejects.toMatchObject(denied)
  } finally {
    await second.close()
    await admin().query('alter table event_subscriptions drop column signing_secret, drop column note')
  }
})

test('It reaches no database of a tenant', async () => {
  const { databases } = await installation.onServer()
  const name = await roleName()
  const { rows } = await withAdmin((client) =>
    client.query<{ name: string }>(
      `select datname as name from pg_database where datname = any ($1) and has_database_privilege($2, oid, 'connect')`,
      [databases, name],
    ),
  )
  expect(rows).toEqual([{ name: installation.catalogName }])
})

test('What somebody gave it besides is taken away when the next process uses it, and what is missing is given', async () => {
  const name = await roleName()
  await admin().query(`grant all on user_credentials, tenants to "${name}"`)
  await admin().query(`revoke all on users from "${name}"`)
  await withAdmin((client) => client.query(`alter role "${name}" password 'other'`))
  await withAdmin((client) => client.query(`alter role "${name}" set statement_timeout = 1`))
  const second = await installation.open()
  expect((await second.catalog.query('select email from users')).rows).toEqual([{ email: 'ada@example.com' }])
  await expect(second.catalog.query('select password from user_credentials')).rejects.toMatchObject(denied)
  await expect(
    second.catalog.query("begin; set transaction read write; update tenants set name = 'x'"),
  ).rejects.toMatchObject(denied)
  expect((await second.catalog.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '30s' }])
  await second.close()
})

test('A role that can do more than it should is refused, and used again once that is over', async () => {
  const name = await roleName()
  await withAdmin((client) => client.query(`alter role "${name}" createdb`))
  const second = await installation.open()
  await expect(second.catalog.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CONFIG_INVALID' })
  await withAdmin((client) => client.query(`alter role "${name}" nocreatedb`))
  await admin().query('grant select on user_credentials to public')
  await expect(second.catalog.connect()).rejects.toMatchObject({ code: 'TENANCY_CONFIG_INVALID' })
  await admin().query('revoke select on user_credentials from public')
  expect((await second.catalog.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  await second.close()
})

test('Twenty queries at once share three connections; processes that begin at once make one role', async () => {
  const pids = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const { rows } = await tenancy.catalog.query<{ pid: number }>('select pg_backend_pid() as pid, pg_sleep(0.01)')
      return rows[0]!.pid
    }),
  )
  expect(new Set(pids).size).toBeLessThanOrEqual(3)
  const other = createInstallation()
  try {
    const opened = [await other.open(), await other.open(), await other.open()]
    const answers = await Promise.all(opened.map(({ catalog }) => catalog.query('select count(*)::int from tenants')))
    expect(answers.map(({ rows }) => rows)).toEqual([[{ count: 0 }], [{ count: 0 }], [{ count: 0 }]])
  } finally {
    await other.drop()
  }
})

test('A query that takes too long is ended, and none is answered once the tenancy is closed', async () => {
  const { rows } = await tenancy.catalog.query('show statement_timeout')
  expect(rows).toEqual([{ statement_timeout: '30s' }])
  const second = await installation.open()
  await second.catalog.query('select 1')
  await second.close()
  await expect(second.catalog.query('select 1')).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
  const third = await installation.open()
  await third.close()
  await expect(third.catalog.connect()).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
})
