import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { FleetResult, Tenancy, Tenant } from '../../../src/index.js'
import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { withAdmin } from '../../support/server.js'

let installation: Installation
let folder: string
let tenancy: Tenancy
let tenant: Tenant
let database: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-plain-'))
  await add('0001_items.sql', 'create table items (id int primary key)')
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder })
  tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
  tenant = await tenancy.createTenant({ name: 'T', slug: 'acme', owner: owner.id })
  const [row] = await admin<{ name: string }>('select name from tenant_databases where id = $1', [tenant.databaseId])
  database = row?.name ?? ''
  // The first migration makes the owner login.
  await add('0002_first.sql', 'alter table items add column first text')
  expect(await migrate()).toMatchObject({ outcome: 'migrated', applied: ['0002_first.sql'] })
})
afterEach(async () => {
  await installation?.drop()
  await rm(folder, { recursive: true })
})

const add = (name: string, sql: string) => writeFile(join(folder, name), sql)

const admin = <Row extends object>(sql: string, values: unknown[] = [], where = installation.catalogName) =>
  withAdmin(async (client) => (await client.query<Row>(sql, values)).rows, where)

const inside = <Row extends object>(sql: string) => admin<Row>(sql, [], database)

/** Migrates the tenant by a new release. */
async function migrate(): Promise<FleetResult | undefined> {
  const newer = await installation.open()
  const results: FleetResult[] = []
  await newer.fleet.migrate({ tenants: [tenant.slug], onResult: (result) => void results.push(result) })
  await newer.close()
  return results[0]
}

const ledger = async () =>
  (await inside<{ name: string }>('select name from tenants2fast.schema_migrations order by version')).map(
    ({ name }) => name,
  )

test('Plain files make objects of the application’s owner, which the tenant can use', async () => {
  await add('0003_orders.sql', 'create table orders (id bigserial primary key); -- the last comment')
  await add('0004_note.sql', 'alter table orders add column note text')
  expect(await migrate()).toMatchObject({ applied: ['0003_orders.sql', '0004_note.sql'] })
  const owners = await inside<{ owner: string }>(
    "select distinct tableowner as owner from pg_tables where schemaname = 'public'",
  )
  expect(owners).toEqual([{ owner: `${installation.prefix}owners` }])
  await tenancy.getTenantPool(tenant).query("insert into orders (note) values ('x')")
})

test('A migration restores what the tenant has dropped, and applies a plain file once', async () => {
  await tenancy.getTenantPool(tenant).query(`drop owned by ${quoteIdentifier(`${installation.prefix}members`)}`)
  await add('0003_note.sql', 'alter table items add column note text')
  expect(await migrate()).toMatchObject({ outcome: 'migrated', applied: ['0003_note.sql'] })
  const [row] = await inside<{ isThere: boolean }>(
    `select has_schema_privilege('${installation.prefix}members', 'tenants2fast', 'usage') as "isThere"`,
  )
  expect(row?.isThere).toBe(true)
  expect(await ledger()).toEqual(['0001_items.sql', '0002_first.sql', '0003_note.sql'])
})

test('A plain file that the catalog has forgotten is not applied again', async () => {
  const before = await admin<{ version: number; fingerprint: string }>(
    'select schema_version::int as version, schema_fingerprint as fingerprint from tenant_databases where id = $1',
    [tenant.databaseId],
  )
  await add('0003_note.sql', 'alter table items add column note text')
  await migrate()
  await admin('update tenant_databases set schema_version = $2, schema_fingerprint = $3 where id = $1', [
    ...[tenant.databaseId, before[0]?.version, before[0]?.fingerprint],
  ])
  expect(await migrate()).toMatchObject({ outcome: 'current', applied: [] })
  expect(await ledger()).toEqual(['0001_items.sql', '0002_first.sql', '0003_note.sql'])
})

test('A plain file waits for a lock as long as any other', async () => {
  await add('0003_note.sql', 'alter table items add column note text')
  const migrating = await withAdmin(async (client) => {
    await client.query('begin; lock table items')
    const result = migrate()
    // A second try has begun when a session waits that has told nobody of a short limit.
    const waits = async () =>
      (
        await admin(
          "select from pg_locks where not granted and relation is not null and waitstart < now() - interval '200 ms'",
        )
      ).length
    await expect.poll(waits, { timeout: 20_000 }).toBeGreaterThan(0)
    await client.query('rollback')
    return { result }
  }, database)
  expect(await migrating.result).toMatchObject({ outcome: 'migrated', applied: ['0003_note.sql'] })
})

// The whole file is sent as one message, behind statements of ours: where it failed is told in lines of the file. In the tenant
// alone, a column is missing and another one is there.
test.each([
  [
    'a plain file with CRLF',
    "comment on table items is 'one\r\ntwo';\r\n\r\n-- again; and again\r\nalter table items\r\n  add column second text;\r\ncomment on table items is null;\r\n",
    ', line 5 (statement 2): column "second" of relation "items" already exists',
  ],
  [
    'a plain file whose first statement fails',
    '-- one\n\nalter table items drop column first; comment on table items is null',
    ', line 3 (statement 1): column "first" of relation "items" does not exist',
  ],
  [
    'a file with text of several bytes and CRLF',
    "comment on table items is 'Größe 社會 👩\u200D👩 é;';\r\n-- 👍; 💶\r\n\r\nalter table items add column second text;\r\n",
    ', line 4 (statement 2): column "second" of relation "items" already exists',
  ],
  [
    'a file with text of several bytes, whose server names the position',
    "comment on table items is 'Größe 社會 👩\u200D👩 é';\r\n/* 👍\r\n */ alter table items add column a int;\r\nselect '💶', first from items;\r\n",
    ', line 4, column 13: column "first" does not exist',
  ],
])('The error of %s names file, line and place', async (_, text, place) => {
  await inside('alter table items drop column first, add column second text')
  await add('0003_fails.sql', text)
  const result = await migrate()
  expect(result).toMatchObject({ outcome: 'failed', applied: [] })
  expect(result?.error?.message).toContain(`0003_fails.sql${place}`)
  expect(await ledger()).toEqual(['0001_items.sql', '0002_first.sql'])
})
