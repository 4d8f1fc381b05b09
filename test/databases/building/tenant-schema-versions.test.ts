import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createTenantDatabaseRecords } from '../../../src/catalog/tenants/tenant-databases.js'
import type { Tenancy, Tenant } from '../../../src/index.js'
import { createTenantDatabases } from '../../../src/databases/tenant-databases.js'
import { createTestAccount } from '../../support/account.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { uniqueName, urlOf, withAdmin } from '../../support/server.js'

vi.setConfig({ testTimeout: 90_000 })

// Two releases of an application: the later one has one more file.
let installation: Installation
let older: string
let newer: string
let owner: string

beforeEach(async () => {
  installation = createInstallation()
  older = await folder({ '0001_orders.sql': 'create table orders (id int)' })
  newer = await folder({
    '0001_orders.sql': 'create table orders (id int)',
    '0002_items.sql': 'create table items (id int)',
  })
})
afterEach(async () => {
  await installation.drop()
  await Promise.all([older, newer].map((path) => rm(path, { recursive: true })))
})

async function folder(files: Readonly<Record<string, string>>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 't2f-release-'))
  for (const [name, sql] of Object.entries(files)) await writeFile(join(path, name), sql)
  return path
}

/** Opens a process of a release. */
function open(schemaDir: string, env: Readonly<Record<string, string>> = {}): Promise<Tenancy> {
  return installation.open({ schemaDir, env })
}
const createOwner = async (tenancy: Tenancy) => {
  const user = await tenancy.createUser({ email: `${uniqueName()}@example.com`, name: 'O', emailVerified: true })
  owner = user.id
}
const create = (tenancy: Tenancy, slug: string) => tenancy.createTenant({ name: slug, slug, owner })
const inCatalog = (text: string, values: unknown[] = []) =>
  withAdmin(async (admin) => (await admin.query(text, values)).rows, installation.catalogName)
const versions = async () =>
  (
    await inCatalog(
      `select slug, schema_version::int as version from tenants join tenant_databases d on d.id = database_id order by slug`,
    )
  ).map(({ slug, version }) => [slug, version])
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'served',
    (error: unknown) => (error as { code?: string }).code,
  )
/** Repeats the request while the tenant is being migrated, as a client does after 503. */
async function use(tenancy: Tenancy, tenant: Pick<Tenant, 'slug' | 'databaseId'>, text: string) {
  for (; ; await sleep(100)) {
    try {
      return await tenancy.getTenantPool(tenant).query(text)
    } catch (error) {
      if ((error as { code?: string }).code !== 'TENANCY_DATABASE_SCHEMA_BEHIND') throw error
    }
  }
}
const behindOf = async (tenancy: Tenancy) => (await tenancy.listTenants({ behind: true })).map(({ slug }) => slug)

test('A tenant that a process of the previous release creates is migrated before the new release serves it', async () => {
  const before = await open(older)
  await createOwner(before)
  const after = await open(newer)
  await create(after, 'fresh')
  const tenant = await create(before, 'old')
  expect(await versions()).toEqual([
    ['fresh', 2],
    ['old', 1],
  ])
  expect(await behindOf(after)).toEqual(['old'])
  expect(await behindOf(before)).toEqual([])
  // Several requests at once, as from one page.
  const answers = await Promise.all(Array.from({ length: 8 }, () => use(after, tenant, 'select * from items')))
  expect(answers.map(({ rowCount }) => rowCount)).toEqual(answers.map(() => 0))
  expect(await behindOf(after)).toEqual([])
  expect(await versions()).toEqual([
    ['fresh', 2],
    ['old', 2],
  ])
  // The process of the previous release still works with both.
  for (const slug of ['old', 'fresh']) {
    expect((await before.getTenantPool(await before.getTenant(slug)).query('select * from orders')).rowCount).toBe(0)
    expect(await before.initializeTenantSchema(slug)).toEqual([])
  }
})

test('A tenant that is undeleted gets the schema files that it missed before it is served', async () => {
  const before = await open(older)
  await createOwner(before)
  const tenant = await create(before, 'acme')
  await before.deleteTenant({ tenant: 'acme' })
  const after = await open(newer, { TENANT_SCHEMA_BEHIND: 'refuse' })
  expect(await behindOf(after)).toEqual([])
  expect((await after.listTenants({ behind: true, status: 'deleted' })).map(({ slug }) => slug)).toEqual(['acme'])
  await after.undeleteTenant({ tenant: 'acme' })
  expect(await versions()).toEqual([['acme', 2]])
  expect((await after.getTenantPool(tenant).query('select * from items')).rowCount).toBe(0)
})

test('A tenant whose data does not fit the files that it missed stays deleted, and the error names tenant, file and line', async () => {
  const before = await open(older)
  await createOwner(before)
  const tenant = await create(before, 'acme')
  await before.getTenantPool(tenant).query('insert into orders values (1), (1)')
  await before.deleteTenant({ tenant: 'acme' })
  await writeFile(join(newer, '0002_items.sql'), 'create table items (id int);\n\nalter table orders add unique (id);')
  const after = await open(newer)
  await expect(after.undeleteTenant({ tenant: 'acme' })).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_FAILED',
    message: expect.stringMatching(
      /^Tenant "acme": 0002_items.sql, line 3 \(statement 2\): could not create unique index/,
    ),
  })
  expect(await after.getTenant('acme')).toMatchObject({ status: 'deleted' })
  // A release whose files fit the data can undelete the tenant.
  expect(await before.undeleteTenant({ tenant: 'acme' })).toMatchObject({ status: 'active' })
})

test('A process that refuses tenants that are behind answers 503 until the tenant is migrated', async () => {
  const before = await open(older)
  await createOwner(before)
  const tenant = await create(before, 'acme')
  const after = await open(newer, { TENANT_SCHEMA_BEHIND: 'refuse' })
  const refusal = after.getTenantPool(tenant).query('select 1')
  await expect(refusal).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_BEHIND',
    statusCode: 503,
    retryAfterSeconds: 1,
    message: expect.stringContaining('"acme" has schema 1, this process demands 2'),
  })
  await expect(
    after.runWithTenant({ tenant: 'acme' }, () => after.getTenantPool(tenant).query('select 1')),
  ).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_BEHIND',
  })
  expect((await before.getTenantPool(tenant).query('select 1')).rowCount).toBe(1)
  // Another process of the new release, such as a job.
  const job = await open(newer)
  expect(await job.initializeTenantSchema(tenant.id)).toEqual(['0002_items.sql'])
  expect((await after.getTenantPool(tenant).query('select * from items')).rowCount).toBe(0)
})

test('A tenant whose migration fails is refused, and other tenants are served', async () => {
  const before = await open(older)
  await createOwner(before)
  const [bad, good] = [await create(before, 'bad'), await create(before, 'good')]
  await before.getTenantPool(bad).query('insert into orders values (1), (1)')
  await writeFile(join(newer, '0002_items.sql'), 'alter table orders add unique (id)')
  const after = await open(newer)
  const refused = codeOf(after.getTenantPool(bad).query('select 1'))
  expect((await use(after, good, 'select 1')).rowCount).toBe(1)
  expect(await refused).toBe('TENANCY_DATABASE_SCHEMA_BEHIND')
  await vi.waitUntil(() => installation.log.some(({ level }) => level === 'error'), 20_000)
  expect(await codeOf(after.getTenantPool(bad).query('select 1'))).toBe('TENANCY_DATABASE_SCHEMA_BEHIND')
  expect(await behindOf(after)).toEqual(['bad'])
  const logged = installation.log.filter(({ level }) => level === 'error')
  expect(logged.map(({ message }) => message)).toEqual([
    expect.stringMatching(
      /could not be migrated: Tenant "bad": 0002_items.sql, line 1 \(statement 1\): could not create/,
    ),
  ])
  // After its data is repaired, the next request is served.
  await before.getTenantPool(bad).query('delete from orders')
  await vi.waitUntil(async () => (await codeOf(after.getTenantPool(bad).query('select 1'))) === 'served', 20_000)
})

test('A long migration refuses its own tenant and delays no other', async () => {
  const before = await open(older)
  await createOwner(before)
  const [slow, late] = [await create(before, 'slow'), await create(before, 'late')]
  await writeFile(
    join(newer, '0002_items.sql'),
    `do $$ begin
       if current_database() = '${(await inCatalog('select name from tenant_databases where id = $1', [slow.databaseId]))[0].name}' then
         perform pg_sleep(5);
       end if;
     end $$`,
  )
  const after = await open(newer)
  const current = await create(after, 'current')
  const page = Array.from({ length: 12 }, () => codeOf(after.getTenantPool(slow).query('select 1')))
  expect(await codeOf(after.getTenantPool(current).query('select 1'))).toBe('served')
  await vi.waitUntil(async () => (await codeOf(after.getTenantPool(late).query('select 1'))) === 'served', 20_000)
  expect(new Set(await Promise.all(page))).toEqual(new Set(['TENANCY_DATABASE_SCHEMA_BEHIND']))
  await vi.waitUntil(async () => (await codeOf(after.getTenantPool(slow).query('select 1'))) === 'served', 20_000)
})

test('Tenants that the old release creates while the new one migrates are found by the next listing of tenants that are behind', async () => {
  const before = await open(older)
  await createOwner(before)
  for (const slug of ['t-1', 't-2', 't-3']) await create(before, slug)
  const after = await open(newer)
  const creating = (async () => {
    for (const slug of ['t-4', 't-5', 't-6']) await create(before, slug)
  })()
  const migrate = async () => {
    let last: string | undefined
    for (;;) {
      const page = await after.listTenants({ behind: true, limit: 2, after: last })
      for (const tenant of page) await after.initializeTenantSchema(tenant.id)
      if (page.length === 0) return
      last = page.at(-1)?.id
    }
  }
  await migrate()
  await creating
  await migrate()
  expect(await behindOf(after)).toEqual([])
  expect(new Set((await versions()).map(([, version]) => version))).toEqual(new Set([2]))
})

test('When a process dies between ledger and catalog, the next use of the tenant corrects the version in the catalog', async () => {
  const before = await open(older)
  await createOwner(before)
  const tenant = await create(before, 'acme')
  const after = await open(newer)
  const { config } = after
  const catalog = new Client({ connectionString: urlOf(installation.catalogName) })
  await catalog.connect()
  const dying = createTenantDatabases({
    records: {
      ...createTenantDatabaseRecords({
        query: (text: string, values: unknown[]) => catalog.query(text, values),
      } as never),
      recordSchema: () => Promise.reject(new Error('killed')),
    },
    server: { ...config.server!, password: config.server!.password, database: installation.catalogName },
    prefix: config.databasePrefix,
    secret: config.secret!,
    schemaDir: newer,
    readyTarget: 0,
    logger: installation.logger,
  })
  await expect(dying.initializeTenantSchema(tenant)).rejects.toThrow('killed')
  await dying.close()
  await catalog.end()
  const [{ name }] = await inCatalog('select name from tenant_databases where id = $1', [tenant.databaseId])
  const ledger = await withAdmin(
    async (admin) => (await admin.query('select max(version)::int from tenants2fast.schema_migrations')).rows,
    name,
  )
  expect(ledger).toEqual([{ max: 2 }])
  expect([await versions(), await behindOf(after)]).toEqual([[['acme', 1]], ['acme']])
  expect((await use(after, tenant, 'select * from items')).rowCount).toBe(0)
  expect([await versions(), await behindOf(after)]).toEqual([[['acme', 2]], []])
})

test('A database of unknown version counts as behind until it is used or migrated, and is served', async () => {
  const tenancy = await open(older, { TENANT_SCHEMA_BEHIND: 'refuse' })
  await createOwner(tenancy)
  const [one, two] = [await create(tenancy, 'one'), await create(tenancy, 'two')]
  // As a release left them that did not record versions.
  await inCatalog('update tenant_databases set schema_version = null, schema_fingerprint = null')
  expect(await behindOf(tenancy)).toEqual(['one', 'two'])
  expect((await use(tenancy, one, 'select * from orders')).rowCount).toBe(0)
  expect(await behindOf(tenancy)).toEqual(['two'])
  expect(await tenancy.initializeTenantSchema(two.id)).toEqual([])
  expect(await behindOf(tenancy)).toEqual([])
})

test('A catalog that is ahead of a database, as after a restore, is corrected by the next migration', async () => {
  const tenancy = await open(newer)
  await createOwner(tenancy)
  const tenant = await create(tenancy, 'acme')
  const [{ name }] = await inCatalog('select name from tenant_databases where id = $1', [tenant.databaseId])
  await withAdmin(
    (admin) => admin.query('delete from tenants2fast.schema_migrations where version = 2; drop table items'),
    name,
  )
  expect(await tenancy.initializeTenantSchema(tenant.id)).toEqual(['0002_items.sql'])
  expect(await versions()).toEqual([['acme', 2]])
})

test('An edited schema file causes a warning at the start, does not stop its tenants, and fails the next migration by name', async () => {
  const before = await open(older)
  await createOwner(before)
  const tenant = await create(before, 'acme')
  await writeFile(join(older, '0001_orders.sql'), 'create table orders (id bigint)')
  expect(installation.log.filter(({ message }) => message.includes('was edited'))).toEqual([])
  const edited = await open(older)
  expect(installation.log.filter(({ message }) => message.includes('was edited'))).toEqual([
    expect.objectContaining({ level: 'warn', fields: { databases: 1 } }),
  ])
  expect((await edited.getTenantPool(tenant).query('select 1')).rowCount).toBe(1)
  await expect(edited.initializeTenantSchema(tenant.id)).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
    message: expect.stringContaining('Tenant "acme": 0001_orders.sql was edited'),
  })
})

test('An installation without schema files has no tenant that is behind', async () => {
  const empty = await folder({})
  const tenancy = await open(empty)
  await createOwner(tenancy)
  const tenant = await create(tenancy, 'acme')
  await inCatalog('update tenant_databases set schema_version = null')
  expect((await tenancy.getTenantPool(tenant).query('select 1')).rowCount).toBe(1)
  expect(await behindOf(tenancy)).toEqual([])
  await rm(empty, { recursive: true })
})

test('An administrator with only CREATEDB and CREATEROLE brings tenants up to date', async () => {
  const account = await createTestAccount('createdb createrole')
  const url = account.url
  const before = await open(older, { TENANT_DATABASE_URL: url })
  await createOwner(before)
  const tenant = await create(before, 'acme')
  await before.getTenantPool(tenant).query(`drop owned by "${installation.prefix}members"`)
  const gone = await create(before, 'gone')
  await before.deleteTenant({ tenant: 'gone' })
  await before.close()
  const after = await open(newer, { TENANT_DATABASE_URL: url })
  expect((await use(after, tenant, 'select * from items')).rowCount).toBe(0)
  await after.undeleteTenant({ tenant: 'gone' })
  expect((await use(after, gone, 'select * from items')).rowCount).toBe(0)
  expect(await behindOf(after)).toEqual([])
  await after.close()
  await installation.drop()
  await account.drop()
})
