import { afterEach, expect, test } from 'vitest'
import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { renderDifferences } from '../../../src/index.js'
import { withAdmin } from '../../support/server.js'
import { collect, differencesOf, openFleet, type TestFleet } from './fixture.js'

let fleet: TestFleet
const opened = async (schema: string) => (fleet = await openFleet(schema))
afterEach(() => fleet.drop())

const outcomes = (results: readonly { tenant: { slug: string }; outcome: string }[]) =>
  Object.fromEntries(results.map(({ tenant, outcome }) => [tenant.slug, outcome]))

test('A tenant that was migrated step by step is the same as one that was cloned', async () => {
  const { tenancy, createTenant, writeSchema, open } = await opened(
    'create table notes (id int primary key, body text); create view bodies as select body from notes',
  )
  await createTenant('old')
  await writeSchema(
    '0002_more.sql',
    'alter table notes add made timestamptz default now(); alter table notes drop body cascade',
  )
  await writeSchema('0003_tags.sql', 'create table tags (note int references notes); create index on tags (note)')
  const newer = await open()
  const owner = (await newer.findUserByEmail('owner@example.com'))!.id
  await newer.createTenant({ name: 'young', slug: 'young', owner })
  expect(outcomes((await collect(newer)).results)).toEqual({ old: 'behind', young: 'same' })
  await newer.initializeTenantSchema('old')
  expect((await collect(newer)).report).toEqual({
    ...{ databases: 2, same: 2, different: 0, behind: 0, ahead: 0, failed: 0 },
  })
  expect(outcomes((await collect(tenancy)).results)).toEqual({ old: 'ahead', young: 'ahead' })
})

test('A database that is behind is compared only when that is asked', async () => {
  const { createTenant, writeSchema, open } = await opened('create table notes (id int)')
  await createTenant('old')
  await writeSchema('0002_tags.sql', 'create table tags (id int)')
  const newer = await open()
  expect((await collect(newer)).results).toMatchObject([{ outcome: 'behind', differences: [] }])
  expect((await collect(newer, { anyVersion: true })).results).toMatchObject([
    { outcome: 'different', differences: [{ object: 'table public.tags', change: 'missing' }] },
  ])
})

test('Unrelated objects in another order, and another tenant’s role in its place, are no difference', async () => {
  const objects = [
    'create table a (id serial)',
    'create table b (id serial)',
    'create function c() returns int language sql as $$ select 1 $$',
  ]
  const { tenancy, createTenant, databaseOf, runAsOwner } = await opened(objects.join(';'))
  await createTenant('acme')
  const role = quoteIdentifier(await databaseOf('acme'))
  await runAsOwner('acme', `drop table a, b; drop function c(); ${objects.toReversed().join(';')}`)
  expect(await differencesOf(tenancy, 'acme')).toEqual([])
  await runAsOwner('acme', `grant truncate on a to ${role}; create policy mine on b to ${role} using (true)`)
  const { results } = await collect(tenancy)
  expect(renderDifferences(results[0]!.differences)).toBe(
    'table public.a\n  + grant <tenant>: TRUNCATE\n' +
      'table public.b\n  + policy mine: permissive for all to <tenant> using (true)',
  )
})

test('Settings of the session, the database and the role do not change what is read', async () => {
  const { tenancy, createTenant, run } = await opened(
    `create table events (at timestamptz default '2020-01-02 03:04:05+00', span interval default '1 day 2 hours',
       ratio float8 default 0.1, raw bytea default '\\xff', "end" int)`,
  )
  await createTenant('acme')
  const settings = [
    'datestyle = $$German$$',
    'intervalstyle = $$sql_standard$$',
    'timezone = $$Asia/Tokyo$$',
    'quote_all_identifiers = on',
    'extra_float_digits = -15',
    'bytea_output = $$escape$$',
    'search_path = public, pg_catalog',
    'default_transaction_read_only = on',
    // Last: the next session would end at once.
    'statement_timeout = 1',
  ]
  for (const setting of settings) {
    await run(
      'acme',
      `set transaction read write; do $do$ begin execute format('alter database %I set ${setting}', current_database()); end $do$`,
    )
  }
  const found = await differencesOf(tenancy, 'acme')
  expect(found).toHaveLength(settings.length)
  expect(found.filter((one) => !one.startsWith('unexpected database: setting '))).toEqual([])
})

test('Hostile names are quoted, escaped in text, and functions named like built-in ones do not run', async () => {
  const { tenancy, createTenant, run } = await opened(
    `create table calls (what text); select tenants2fast.set_database_setting('search_path', 'public, pg_catalog')`,
  )
  await createTenant('acme')
  const name = `x"'; drop table calls; --\u001b[2J\u202e`
  const bad = `returns text language plpgsql as $f$ begin insert into public.calls values ('run'); return 'evil'; end $f$`
  const signatures = [
    'quote_ident(text)',
    'quote_ident(name)',
    'concat_ws(text, text)',
    'pg_get_functiondef(oid)',
    'sha256(bytea)',
    'format_type(oid, int)',
    'pg_get_userbyid(oid)',
  ]
  await run(
    'acme',
    `create table public."${name.replaceAll('"', '""')}" (id int);
     ${signatures.map((signature) => `create function public.${signature} ${bad}`).join(';')};
     create function public.same("char", "char") returns boolean language plpgsql as $f$ begin insert into public.calls values ('op'); return false; end $f$;
     create operator public.= (leftarg = "char", rightarg = "char", function = public.same);
     create schema "tenants2fast.x"; create table "tenants2fast.x".t (id int)`,
  )
  const { results } = await collect(tenancy)
  const text = renderDifferences(results[0]!.differences)
  expect(text).toContain(`table public."x""'; drop table calls; --\\u{1b}[2J\\u{202e}"`)
  expect(text).not.toMatch(/\p{Cc}(?<!\n)|\p{Cf}/u)
  expect(results[0]!.differences.map(({ object }) => object)).toEqual(
    expect.arrayContaining([
      'function public.sha256(bytea)',
      'operator public.=(pg_catalog."char",pg_catalog."char")',
      'table "tenants2fast.x".t',
    ]),
  )
  const { rows } = await withAdmin(
    (client) => client.query('select what from public.calls'),
    await fleet.databaseOf('acme'),
  )
  expect(rows).toEqual([])
})

test('A database that cannot be reached, and one that is another’s, are results and end nothing', async () => {
  const { tenancy, createTenant, databaseOf } = await opened('create table notes (id int)')
  for (const slug of ['gone', 'other', 'well']) await createTenant(slug)
  const gone = quoteIdentifier(await databaseOf('gone'))
  await withAdmin((admin) => admin.query(`alter database ${gone} allow_connections false`))
  await withAdmin((admin) => admin.query('update tenants2fast.identity set epoch = 9'), await databaseOf('other'))
  const { report, results } = await collect(tenancy)
  expect(report).toMatchObject({ databases: 3, same: 1, failed: 2 })
  expect(results.find(({ tenant }) => tenant.slug === 'gone')).toMatchObject({
    outcome: 'failed',
    error: { code: 'TENANCY_DATABASE_UNAVAILABLE', message: expect.stringContaining('"gone"') as string },
  })
  expect(results.find(({ tenant }) => tenant.slug === 'other')?.error?.code).toBe('TENANCY_DATABASE_IDENTITY_MISMATCH')
  await withAdmin((admin) => admin.query(`alter database ${gone} allow_connections true`))
})

test('A table that somebody has locked does not make the check wait for ever', async () => {
  const { tenancy, createTenant, databaseOf } = await opened(
    'create table notes (id int); create view v as select id from notes',
  )
  await createTenant('acme')
  await withAdmin(
    async (client) => {
      await client.query('begin; lock table public.v, public.notes')
      const { results } = await collect(tenancy)
      expect(['same', 'failed']).toContain(results[0]?.outcome)
      await client.query('rollback')
    },
    await databaseOf('acme'),
  )
  expect(await differencesOf(tenancy, 'acme')).toEqual([])
})

test('Only the named tenants are checked; an unknown one is refused before anything is read', async () => {
  const { tenancy, createTenant } = await opened('create table notes (id int)')
  const a = await createTenant('acme')
  await createTenant('beta')
  expect(outcomes((await collect(tenancy, { tenants: [a.id] })).results)).toEqual({ acme: 'same' })
  await expect(tenancy.fleet.check({ tenants: [] })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  await expect(tenancy.fleet.check({ tenants: ['acme', 'nobody'] })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
  await expect(tenancy.fleet.check({ parallelism: 0 })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
})

test('Suspended tenants are checked, deleted ones only when they are named', async () => {
  const { tenancy, createTenant } = await opened('create table notes (id int)')
  for (const slug of ['here', 'rest', 'left']) await createTenant(slug)
  await tenancy.suspendTenant({ tenant: 'rest' })
  await tenancy.deleteTenant({ tenant: 'left' })
  expect(outcomes((await collect(tenancy)).results)).toEqual({ here: 'same', rest: 'same' })
  expect(outcomes((await collect(tenancy, { tenants: ['left'] })).results)).toEqual({ left: 'same' })
})

test('An aborted check rejects with the reason, and so does one whose onResult throws', async () => {
  const { tenancy, createTenant } = await opened('create table notes (id int)')
  for (const slug of ['acme', 'beta', 'city']) await createTenant(slug)
  const abort = new AbortController()
  const seen: string[] = []
  const reason = new Error('enough')
  const check = tenancy.fleet.check({
    parallelism: 1,
    signal: abort.signal,
    onResult({ tenant }) {
      seen.push(tenant.slug)
      abort.abort(reason)
    },
  })
  await expect(check).rejects.toBe(reason)
  expect(seen).toHaveLength(1)
  await expect(tenancy.fleet.check({ signal: abort.signal })).rejects.toBe(reason)
  const failing = tenancy.fleet.check({ onResult: () => Promise.reject(reason) })
  await expect(failing).rejects.toBe(reason)
})

test('Processes that check at once do not disturb each other, and leave no copy of the template', async () => {
  const { tenancy, createTenant, open, installation } = await opened('create table notes (id int)')
  await createTenant('acme')
  const others = [tenancy, await open(), await open()]
  const reports = await Promise.all(others.map((one) => one.fleet.check()))
  for (const report of reports) expect(report).toMatchObject({ databases: 1, same: 1 })
  const { databases } = await installation.onServer()
  expect(databases.filter((name) => name.startsWith(`${installation.prefix}template_`))).toHaveLength(1)
})

test('A template that was dropped is made again for the check', async () => {
  const { tenancy, createTenant, installation } = await opened('create table notes (id int)')
  await createTenant('acme')
  const { databases } = await installation.onServer()
  const template = quoteIdentifier(databases.find((name) => name.startsWith(`${installation.prefix}template_`))!)
  await withAdmin(async (admin) => {
    await admin.query(`alter database ${template} is_template false`)
    await admin.query(`drop database ${template}`)
  })
  expect((await collect(tenancy)).report).toMatchObject({ databases: 1, same: 1 })
})
