import * as fc from 'fast-check'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FleetExecResult, FleetRow, Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { withAdmin } from '../support/server.js'

const count = 3
let installation: Installation
let folder: string
let tenancy: Tenancy

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-exec-'))
  await writeFile(join(folder, '0001_items.sql'), 'create table items (id int primary key, name text)')
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder })
  tenancy = await installation.open()
  const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
  for (let index = 1; index <= count; index += 1) {
    const tenant = await tenancy.createTenant({ name: 'T', slug: `tenant-${index}`, owner })
    await tenancy
      .getTenantPool(tenant)
      .query('insert into items select n, $1 from generate_series(1, 20) n', [tenant.slug])
  }
}, 60_000)
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

async function exec(sql: string, options: object = {}): Promise<FleetExecResult> {
  const results: FleetExecResult[] = []
  await tenancy.fleet.exec({ sql, tenants: ['tenant-1'], onResult: (result) => results.push(result), ...options })
  return results[0] as FleetExecResult
}
const itemsLeft = async () => {
  const { rows } = await tenancy
    .getTenantPool(await tenancy.getTenant('tenant-1'))
    .query<{ count: number }>("select count(*)::int as count from items where name = 'tenant-1'")
  return rows[0]?.count
}

test('Rows come with their tenant, values are sent as values, and the run is in the audit log without them', async () => {
  const rows: FleetRow[] = []
  const report = await tenancy.fleet.exec({
    sql: 'select name, count(*)::int as items from items where name = $1 or id < $2 group by name',
    params: ["x'; drop table items; --", 6],
    onRow: (row) => rows.push(row),
  })
  expect(report).toMatchObject({ done: count, failed: 0, skipped: 0, remaining: 0 })
  const byTenant = rows.toSorted((a, b) => (a.tenant.slug < b.tenant.slug ? -1 : 1))
  expect(byTenant.map(({ tenant, row }) => [tenant.slug, row['name'], row['items']])).toEqual(
    Array.from({ length: count }, (_, index) => [`tenant-${index + 1}`, `tenant-${index + 1}`, 5]),
  )
  const { rows: audit } = await withAdmin(
    (admin) => admin.query("select after from audit_log where action = 'fleet.exec' order by seq"),
    installation.catalogName,
  )
  expect(audit).toMatchObject([
    { after: { phase: 'begin', write: false, tenants: 'all', sql: expect.stringContaining('select name') } },
    { after: { phase: 'end', done: count } },
  ])
  expect(JSON.stringify(audit)).not.toContain('drop table')
})

test('Each statement of a script has its result, and no more rows than were asked for are read', async () => {
  const result = await exec('select id from items order by id; select 1 as one; show search_path', { maxRows: 7 })
  expect(result.statements).toMatchObject([
    { command: '', rowCount: null, isTruncated: true },
    { command: 'SELECT', rows: [{ one: 1 }], rowCount: 1, isTruncated: false },
    { rows: [{ search_path: expect.stringContaining('public') }] },
  ])
  expect(result.statements[0]?.rows).toEqual(Array.from({ length: 7 }, (_, index) => ({ id: index + 1 })))
})

test('Without write, nothing that a script tries writes: the server refuses it', async () => {
  const before = await itemsLeft()
  for (const sql of [
    'delete from items',
    'drop table items',
    'create table other (id int)',
    'set transaction read write; delete from items',
    "select set_config('transaction_read_only', 'off', true); delete from items",
    'set default_transaction_read_only = off; delete from items',
    'set session characteristics as transaction read write; delete from items',
    'reset all; delete from items',
    'reset role; delete from items',
    'do $$ begin commit; delete from items; end $$',
    'do $$ begin delete from items; end $$',
    'with gone as (delete from items returning id) select * from gone',
    'create procedure p() language plpgsql as $$ begin commit; end $$; call p()',
    "do $$ begin execute 'commit'; end $$; delete from items",
    'explain analyze delete from items',
    'prepare x as delete from items; execute x',
  ]) {
    const { outcome, error } = await exec(sql)
    expect([sql, outcome]).toEqual([sql, 'failed'])
    expect(error, sql).toMatchObject({ code: 'TENANCY_DATABASE_STATEMENT_FAILED' })
  }
  expect(await itemsLeft()).toBe(before)
})

test('Without write, what PostgreSQL lets a read-only transaction do is rolled back: large objects up to 15', async () => {
  await exec("select lo_from_bytea(4711, 'x')")
  const { rows } = await tenancy
    .getTenantPool(await tenancy.getTenant('tenant-1'))
    .query('select oid from pg_largeobject_metadata')
  expect(rows).toEqual([])
})

test('A script cannot begin or end a transaction, however it is written', async () => {
  const control = fc.constantFrom(
    ...['commit', 'COMMIT', 'end', 'rollback', 'abort', 'begin', 'start transaction', 'savepoint a', 'release a'],
    ...[
      'commit and chain',
      "prepare transaction 'x'",
      'commit prepared $$x$$',
      'rollback to a',
      'copy items from stdin',
    ],
  )
  const before = fc.constantFrom(
    '',
    'select 1;',
    '/* ; */',
    '-- x\n',
    ';;',
    "select '; --' ;",
    'select $a$;$a$;',
    'select "a;" from items;',
  )
  await fc.assert(
    fc.asyncProperty(before, control, fc.boolean(), async (first, second, write) => {
      await expect(tenancy.fleet.exec({ sql: `${first}${second}; delete from items`, write })).rejects.toMatchObject({
        code: 'TENANCY_REQUEST_INVALID',
      })
    }),
    { numRuns: 60 },
  )
  expect(await itemsLeft()).toBe(20)
})

test('With write, a script is one transaction: all of it or nothing, as the owner of the objects', async () => {
  const failed = await exec("insert into items values (100, 'w'); select 1 / 0", { write: true })
  expect(failed).toMatchObject({
    outcome: 'failed',
    statements: [],
    error: { message: expect.stringContaining('zero') },
  })
  const done = await exec(
    "alter table items add column note text; insert into items values (100, 'w', 'n'); select note from items where id = 100",
    { write: true },
  )
  expect(done.statements.at(-1)).toMatchObject({ rows: [{ note: 'n' }] })
  const deferred = await exec(
    'alter table items add constraint late unique (note) deferrable initially deferred; ' +
      "insert into items values (101, 'w', 'n')",
    { write: true },
  )
  expect(deferred).toMatchObject({ outcome: 'failed', error: { code: 'TENANCY_DATABASE_STATEMENT_FAILED' } })
  expect((await exec("delete from items where name = 'w'", { write: true })).statements).toMatchObject([
    { command: 'DELETE', rowCount: 1 },
  ])
})

test('A statement that takes too long, and a tenant that cannot be read, are results of their own', async () => {
  const slow = await exec('select pg_sleep(30)', { statementTimeoutMs: 100 })
  expect(slow.error).toMatchObject({ message: expect.stringContaining('statement timeout') })
  const report = await tenancy.fleet.exec({
    sql: "select 1 / (case when name = 'tenant-2' then 0 else 1 end) from items",
  })
  expect(report).toMatchObject({ done: count - 1, failed: 1, failures: [{ tenant: { slug: 'tenant-2' } }] })
  await expect(
    tenancy.fleet.exec({ sql: 'select 1', onRow: () => Promise.reject(new Error('the pipe is closed')) }),
  ).rejects.toThrow('the pipe is closed')
})

test('Empty scripts and values for several statements are refused before anything runs', async () => {
  for (const input of [
    ...[{ sql: '' }, { sql: ' ; -- x' }, { sql: 'select 1; select 2', params: [1] }, { sql: 'select 1\0' }, {}],
    ...[
      { sql: 'select 1', maxRows: 0 },
      { sql: 'select 1', statementTimeoutMs: 0 },
      { sql: 'select 1', label: 'a b' },
    ],
  ]) {
    await expect(tenancy.fleet.exec(input as never), JSON.stringify(input)).rejects.toMatchObject({
      code: 'TENANCY_REQUEST_INVALID',
    })
  }
})
