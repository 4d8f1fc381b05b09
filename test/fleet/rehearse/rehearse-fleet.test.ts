import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RehearsedFile, RehearsedTenant, Tenancy, Tenant } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { repository, startNode } from '../../support/processes/node-process.js'
import { urlOf, withAdmin } from '../../support/server.js'

const first = `
create table items (id int primary key, name text not null);
create table parts (id int primary key, item_id int not null references items, text text not null default repeat('x', 200));`

/** Not in the template, which is made of the files when the newer release is opened. */
const sleepsOnData = 'do $$ begin if exists (select from items) then perform pg_sleep(600); end if; end $$'

let installation: Installation
let folder: string
/** The previous release, which serves while the newer one rehearses. */
let older: Tenancy
let tenants: Tenant[]

const poolOf = (index: number) => older.getTenantPool(tenants[index] as Tenant)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-rehearse-'))
  await writeFile(join(folder, '0001_items.sql'), first)
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder })
  older = await installation.open()
  const owner = await older.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
  tenants = []
  for (let index = 0; index < 6; index += 1) {
    tenants.push(await older.createTenant({ name: 'T', slug: `tenant-${index}`, owner: owner.id }))
  }
  // The first one is by far the largest; the last one is small and unlike the others.
  await poolOf(0).query("insert into items select n, 'name' from generate_series(1, 5000) n")
  await poolOf(0).query('insert into parts (id, item_id) select n, n % 5000 + 1 from generate_series(1, 30000) n')
  for (const index of [1, 2, 3, 4]) {
    await poolOf(index).query("insert into items select n, 'name' from generate_series(1, 10) n")
    await poolOf(index).query('insert into parts (id, item_id) select n, n from generate_series(1, 5) n')
  }
  await poolOf(5).query("insert into items values (1, 'only')")
  for (const { databaseId } of tenants) await onDatabase(databaseId, 'analyze')
}, 120_000)
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

const inCatalog = <Row extends object>(sql: string, values: unknown[] = []) =>
  withAdmin(async (admin) => (await admin.query<Row>(sql, values)).rows, installation.catalogName)

async function onDatabase(databaseId: string | null, sql: string): Promise<void> {
  const [row] = await inCatalog<{ name: string }>('select name from tenant_databases where id = $1', [databaseId])
  await withAdmin((admin) => admin.query(sql), row?.name)
}

/** Opens the release that has these files on top, runs `work`, and takes them away again. */
async function withFiles<Result>(sql: readonly string[], work: (newer: Tenancy) => Promise<Result>): Promise<Result> {
  const names = sql.map((_, index) => join(folder, `000${index + 2}_change.sql`))
  for (const [index, name] of names.entries()) await writeFile(name, sql[index] ?? '')
  try {
    const newer = await installation.open()
    const result = await work(newer)
    await newer.close()
    return result
  } finally {
    for (const name of names) await rm(name)
  }
}

const fileOf = (tenant: RehearsedTenant | undefined, index = 0): RehearsedFile | undefined =>
  tenant?.rehearsal?.files[index]

const copies = () =>
  inCatalog<{ name: string }>("select name from tenant_databases where state in ('building', 'dropping')")

test('the largest and the most different tenants are rehearsed, and nothing of them is changed or left', async () => {
  const before = await installation.onServer()
  const sql = ['alter table items alter column id type bigint;', 'alter table items add column note text;']
  const progress: unknown[] = []
  const report = await withFiles(sql, (newer) =>
    newer.fleet.rehearse({ tenants: 1, onProgress: (each) => progress.push(each) }),
  )
  expect(report.tenants.map(({ tenant, chosenBy }) => [tenant.slug, chosenBy])).toEqual([
    ['tenant-0', 'size'],
    ['tenant-5', 'difference'],
  ])
  const [largest] = report.tenants
  expect(fileOf(largest)).toMatchObject({
    name: '0002_change.sql',
    rewritten: ['public.items'],
    locks: expect.arrayContaining([{ relation: 'public.items', mode: 'ACCESS EXCLUSIVE' }]) as unknown,
  })
  expect(fileOf(largest, 1)).toMatchObject({
    ...{ name: '0003_change.sql', rewritten: [], written: [] },
    locks: [{ relation: 'public.items', mode: 'ACCESS EXCLUSIVE' }],
  })
  expect(largest?.rehearsal?.isSample).toBe(false)
  expect(report.problems).toEqual(
    ['tenant-0', 'tenant-5'].map((tenant) => ({
      ...{ tenant, file: '0002_change.sql' },
      message: 'writes public.items anew',
    })),
  )
  expect(report.estimate).toEqual({ tenants: 6, ms: expect.any(Number) as number })
  expect(progress).toEqual([
    { planned: 2, done: 1, failed: 1 },
    { planned: 2, done: 2, failed: 2 },
  ])
  // The newer release's template has replaced the older one.
  const kept = (names: readonly string[]) => names.filter((name) => !name.includes('template'))
  const after = await installation.onServer()
  expect({ databases: kept(after.databases), roles: after.roles }).toEqual({
    ...{ databases: kept(before.databases), roles: before.roles },
  })
  expect(await inCatalog('select distinct schema_version::int as version from tenant_databases')).toEqual([
    { version: 1 },
  ])
  const [entry] = await inCatalog<{ after: object }>(
    "select after from audit_log where action = 'fleet.rehearse' order by id desc limit 1",
  )
  expect(entry?.after).toMatchObject({ tenants: 2, problems: 2, estimate: { tenants: 6 } })
}, 60_000)

test('a file that only one tenant’s rows break is found; later files are not tried', async () => {
  const sql = ['create unique index parts_item on parts (item_id);', 'alter table items add column note text;']
  const report = await withFiles(sql, (newer) => newer.fleet.rehearse({ tenants: 1 }))
  expect(report.tenants.map(({ rehearsal }) => rehearsal?.files.length)).toEqual([1, 2])
  expect(fileOf(report.tenants[0])?.error).toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_FAILED',
    message: expect.stringContaining('could not create unique index') as string,
  })
  expect(report.problems.map(({ file }) => file)).toEqual(['0002_change.sql'])
}, 60_000)

test('a tenant works on while it is copied and rehearsed', async () => {
  let isOver = false
  let writes = 0
  const use = async () => {
    for (; !isOver; writes += 1) {
      await poolOf(0).query("insert into items values ($1, 'new') on conflict (id) do update set name = 'newer'", [
        10_000 + (writes % 50),
      ])
    }
  }
  const sql = ['select pg_sleep(0.3); alter table items add column note text;']
  const working = use()
  const report = await withFiles(sql, (newer) => newer.fleet.rehearse({ tenants: 1 })).finally(() => {
    isOver = true
  })
  await working
  expect(report.problems).toEqual([])
  expect(writes).toBeGreaterThan(10)
}, 60_000)

test('of a large database the copy has a sample whose references hold', async () => {
  const sql = ['alter table parts validate constraint parts_item_id_fkey; alter table parts add column note text;']
  const report = await withFiles(sql, (newer) => newer.fleet.rehearse({ tenants: 1, sampleAboveBytes: 10_000_000 }))
  const [largest, other] = report.tenants
  expect(largest?.bytes).toBeGreaterThan(10_000_000)
  expect(largest?.rehearsal?.isSample).toBe(true)
  expect(largest?.rehearsal?.copyBytes).toBeLessThan(largest?.bytes ?? 0)
  expect(fileOf(largest)?.error).toBeUndefined()
  expect(other?.rehearsal?.isSample).toBe(false)
}, 60_000)

test('no tenant can connect to a copy, and no tenant gets it', async () => {
  let refusal: unknown
  const sql = ['select pg_sleep(1); alter table items add column note text']
  await withFiles(sql, async (newer) => {
    const rehearsing = newer.fleet.rehearse({ tenants: 1 })
    let copy: { name: string } | undefined
    while (copy === undefined) {
      const [found] = await copies()
      const isThere = found && (await installation.onServer()).databases.includes(found.name)
      if (isThere) copy = found
    }
    const target = await targetOfTenant(5)
    refusal = await connectionError({ ...target, database: copy.name })
    const owner = await older.createUser({ email: 'another@example.com', name: 'O', emailVerified: true })
    const created = await newer.createTenant({ name: 'N', slug: 'newcomer', owner: owner.id })
    const [row] = await inCatalog<{ name: string }>('select name from tenant_databases where id = $1', [
      created.databaseId,
    ])
    expect(row?.name).not.toBe(copy.name)
    await rehearsing
    await newer.deleteTenant({ tenant: created.id })
  })
  expect(refusal).toMatchObject({ code: '42501' })
  expect(await copies()).toEqual([])
}, 60_000)

/** Name and password of a tenant's role, which a client of it knows. */
async function targetOfTenant(index: number): Promise<{ user: string; password: string }> {
  const [row] = await inCatalog<{ name: string }>('select role_name as name from tenant_databases where id = $1', [
    tenants[index]?.databaseId,
  ])
  const password = 'known to the tenant'
  await withAdmin((admin) => admin.query(`alter role "${row?.name}" password '${password}'`))
  return { user: row?.name ?? '', password }
}

async function connectionError(account: { user: string; password: string; database: string }): Promise<unknown> {
  const url = new URL(urlOf(account.database))
  url.username = account.user
  url.password = account.password
  const client = new Client({ connectionString: url.href })
  return client.connect().then(
    () => client.end(),
    (error: unknown) => error,
  )
}

test('a tenant whose structure differs is a problem and no error', async () => {
  await onDatabase(tenants[0]?.databaseId ?? null, 'create table extra (id int)')
  try {
    const report = await withFiles(['select 1'], (newer) => newer.fleet.rehearse({ tenants: 1 }))
    expect(report.tenants[0]).toMatchObject({ error: { code: 'TENANCY_DATABASE_COPY_REFUSED' } })
    expect(report.problems).toEqual([
      expect.objectContaining({
        tenant: 'tenant-0',
        file: undefined,
        message: expect.stringContaining('extra') as string,
      }),
    ])
    expect(report.tenants[1]?.rehearsal?.files).toHaveLength(1)
  } finally {
    await onDatabase(tenants[0]?.databaseId ?? null, 'drop table extra')
  }
}, 60_000)

test('aborting ends the rehearsal and drops the copy', async () => {
  const abort = new AbortController()
  const report = await withFiles([sleepsOnData], async (newer) => {
    const rehearsing = newer.fleet.rehearse({ tenants: 2, signal: abort.signal })
    while ((await sleeping()) === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    abort.abort()
    return rehearsing
  })
  expect(report).toMatchObject({ stopped: 'signal', tenants: [], problems: [], estimate: undefined })
  expect(await copies()).toEqual([])
}, 60_000)

/** How many copies run a file that sleeps. */
const sleeping = () =>
  withAdmin(async (admin) => {
    const { rowCount } = await admin.query(
      "select from pg_stat_activity where starts_with(datname, $1) and query like '%pg_sleep(600)%' and wait_event = 'PgSleep'",
      [installation.prefix],
    )
    return rowCount ?? 0
  })

test('a fleet that is up to date is not rehearsed', async () => {
  const report = await older.fleet.rehearse()
  expect(report).toMatchObject({ tenants: [], problems: [], estimate: undefined, stopped: undefined })
})

const program = `
import { createTenancy } from ${JSON.stringify(join(repository, 'dist/index.js'))}
const tenancy = await createTenancy()
await tenancy.fleet.rehearse({ tenants: 1 })
`

test('what a killed process leaves is dropped by the reconciler', async () => {
  await withFiles([sleepsOnData], async (newer) => {
    const killed = startNode([], { env: installation.env, program })
    while ((await sleeping()) === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    const [copy] = await copies()
    killed.kill('SIGKILL')
    await killed.ended
    while ((await installation.onServer()).databases.includes(copy?.name ?? '')) await newer.reconcile()
    const { databases, roles } = await installation.onServer()
    expect([...databases, ...roles]).not.toContain(copy?.name)
  })
  expect(await copies()).toEqual([])
}, 60_000)
