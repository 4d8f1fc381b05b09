import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FleetResult, Tenancy, Tenant } from '../../src/index.js'
import { quoteIdentifier } from '../../src/postgres/text/quote.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { repository, startNode } from '../support/processes/node-process.js'
import { withAdmin } from '../support/server.js'

const count = 12

let installation: Installation
let folder: string
/** The previous release, which knows the first file and serves while the newer ones migrate. */
let older: Tenancy
let tenants: Tenant[]
let newest = 1

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-fleet-'))
  await writeFile(join(folder, '0001_items.sql'), 'create table items (id int primary key, name text not null);')
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder })
  older = await installation.open()
  const owner = await older.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
  tenants = []
  for (let index = 1; index <= count; index += 1) {
    tenants.push(await older.createTenant({ name: 'T', slug: `tenant-${index}`, owner: owner.id }))
  }
  const pool = older.getTenantPool(tenants[0] as Tenant)
  await pool.query("insert into items values (1, 'one')")
}, 60_000)
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

/** Adds a file to the schema: what is opened from now on is a newer release. Returns its name. */
async function addFile(sql: string): Promise<string> {
  newest += 1
  const name = `${String(newest).padStart(4, '0')}_change.sql`
  await writeFile(join(folder, name), sql)
  return name
}

const removeFile = async (name: string) => {
  await rm(join(folder, name))
  newest -= 1
}

const inCatalog = <Row extends object>(sql: string, values: unknown[] = []) =>
  withAdmin(async (admin) => (await admin.query<Row>(sql, values)).rows, installation.catalogName)

const databaseOf = async (tenant: Tenant | undefined): Promise<string> => {
  const [row] = await inCatalog<{ name: string }>('select name from tenant_databases where id = $1', [
    tenant?.databaseId,
  ])
  return row?.name ?? ''
}

/** Reads, in every tenant's database, how often a file is in the ledger. */
async function ledgerOf(name: string): Promise<number[]> {
  const counts: number[] = []
  for (const tenant of tenants) {
    const rows = await withAdmin(
      async (admin) =>
        (
          await admin.query<{ count: number }>(
            'select count(*)::int as count from tenants2fast.schema_migrations where name = $1',
            [name],
          )
        ).rows,
      await databaseOf(tenant),
    )
    counts.push(rows[0]?.count ?? -1)
  }
  return counts
}

/** Connections that were opened to tenants' databases until now. A session counts at its end at the latest: none is open. */
async function tenantConnections(): Promise<number> {
  return withAdmin(async (admin) => {
    const open = async () => {
      const { rowCount } = await admin.query(
        'select from pg_stat_activity where starts_with(datname, $1) and not starts_with(usename, $1)',
        [installation.prefix],
      )
      return rowCount
    }
    await expect.poll(open, { timeout: 10_000 }).toBe(0)
    const { rows } = await admin.query<{ count: number }>(
      `select sum(sessions)::int as count from pg_stat_database
        where starts_with(datname, $1) and datname not like '%template%'`,
      [installation.prefix],
    )
    return rows[0]?.count ?? 0
  })
}

const once = Array.from({ length: count }, () => 1)

test('Every tenant gets the files that it lacks, and a second run makes no connection to a tenant', async () => {
  const name = await addFile('alter table items add column note text')
  const newer = await installation.open()
  expect(await newer.fleet.status()).toMatchObject({
    ...{ version: 2, behind: count, versions: [{ version: 1, tenants: count }] },
  })
  const results: FleetResult[] = []
  const report = await newer.fleet.migrate({ onResult: (result) => void results.push(result) })
  expect(report).toMatchObject({ version: 2, migrated: count, failed: 0, current: 0, remaining: 0, failures: [] })
  expect(results.map(({ tenant }) => tenant.slug).toSorted()).toEqual(tenants.map(({ slug }) => slug).toSorted())
  for (const result of results) expect(result).toMatchObject({ outcome: 'migrated', applied: [name] })
  expect(await ledgerOf(name)).toEqual(once)
  expect(await newer.fleet.status()).toMatchObject({ behind: 0, versions: [{ version: 2, tenants: count }] })

  const before = await tenantConnections()
  expect(await newer.fleet.migrate()).toMatchObject({ migrated: 0, current: count })
  expect(await newer.fleet.migrate({ verify: true })).toMatchObject({ migrated: 0, current: count })
  const verified = await tenantConnections()
  expect(verified).toBe(before + count)
  expect(await newer.fleet.migrate()).toMatchObject({ migrated: 0, current: count })
  expect(await newer.fleet.migrate({ tenants: ['tenant-1', tenants[1]?.id ?? ''] })).toMatchObject({ current: 2 })
  expect(await tenantConnections()).toBe(verified)
  await newer.close()
})

test('A file that fails stops the run, nothing of it stays, and the corrected file finishes', async () => {
  const broken = await addFile('alter table items add column price int; select 1 / 0')
  // The template is built at the start and would refuse the file: it fails on tenants' rows only.
  await writeFile(
    join(folder, broken),
    'alter table items add column price int; select 1 / count(*) from items where id = 2',
  )
  await expect(installation.open()).rejects.toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_FAILED' })
  await writeFile(
    join(folder, broken),
    "alter table items add column price int; do $$ begin if current_database() !~ 'template' then raise exception 'no'; end if; end $$",
  )
  const newer = await installation.open()
  const report = await newer.fleet.migrate({ stopAfter: 2 })
  expect(report).toMatchObject({ migrated: 0, stopped: 'failures' })
  expect(report.failed).toBeLessThanOrEqual(3)
  expect(report.failed + report.remaining).toBe(count)
  expect(report.failures[0]).toMatchObject({
    applied: [],
    error: { code: 'TENANCY_DATABASE_SCHEMA_FAILED', message: expect.stringContaining(broken) },
  })
  expect(await ledgerOf(broken)).toEqual(once.map(() => 0))
  await newer.close()

  await removeFile(broken)
  const corrected = await addFile('alter table items add column price int')
  const next = await installation.open()
  expect(await next.fleet.migrate()).toMatchObject({ migrated: count, failed: 0 })
  expect(await ledgerOf(corrected)).toEqual(once)
  await next.close()
})

test('A tenant that failed is in the status with its error, file and attempts, until a migration succeeds', async () => {
  const failing = await addFile(
    "do $$ begin if current_database() !~ 'template' then raise exception 'no %', 'luck'; end if; end $$",
  )
  const newer = await installation.open()
  await newer.fleet.migrate({ tenants: ['tenant-1', 'tenant-2'] })
  await newer.fleet.migrate({ tenants: ['tenant-2'] })
  const status = await newer.fleet.status()
  expect(status).toMatchObject({
    ...{ failed: 2, behind: count },
    tenantsFailed: [
      { slug: 'tenant-2', code: 'TENANCY_DATABASE_SCHEMA_FAILED', file: failing, attempts: 2, version: 3 },
      { slug: 'tenant-1', attempts: 1, failedAt: expect.any(Date) },
    ],
  })
  expect(status.tenantsFailed[0]?.message).toMatch(/^Tenant "tenant-2": 0004_change\.sql, line 1.*: no luck$/)
  expect(await newer.fleet.status({ limit: 0 })).toMatchObject({ failed: 2, tenantsFailed: [] })
  await newer.close()
  // A release that does not have the file knows nothing of its failure, and leaves it.
  await older.initializeTenantSchema('tenant-1')
  expect(await older.fleet.status()).toMatchObject({ failed: 2 })

  await removeFile(failing)
  await addFile('select 1')
  const corrected = await installation.open()
  expect(await corrected.fleet.migrate({ tenants: ['tenant-1'] })).toMatchObject({ migrated: 1 })
  expect(await corrected.fleet.status()).toMatchObject({ failed: 1, tenantsFailed: [{ slug: 'tenant-2' }] })
  expect(await corrected.fleet.migrate()).toMatchObject({ migrated: count - 1, failed: 0 })
  expect(await corrected.fleet.status()).toMatchObject({ failed: 0, tenantsFailed: [] })
  await corrected.close()
})

test('A statement that takes longer than the run allows fails with a code and is rolled back', async () => {
  const slow = await addFile(
    "create table slow (id int); do $$ begin if current_database() !~ 'template' then perform pg_sleep(30); end if; end $$",
  )
  const newer = await installation.open()
  const report = await newer.fleet.migrate({ tenants: ['tenant-1'], statementTimeoutMs: 100 })
  expect(report).toMatchObject({ failed: 1 })
  expect(report.failures[0]?.error).toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_FAILED',
    message: expect.stringContaining('a statement took longer than 100 ms (statementTimeoutMs)'),
  })
  expect(await ledgerOf(slow)).toEqual(once.map(() => 0))
  await newer.close()
  await removeFile(slow)
  await addFile('create table slow (id int)')
  const corrected = await installation.open()
  expect(await corrected.fleet.migrate()).toMatchObject({ migrated: count })
  await corrected.close()
})

test('A run is about the tenants with a label, also of those that are named', async () => {
  await addFile('create table labelled (id int)')
  const newer = await installation.open()
  for (const tenant of ['tenant-1', 'tenant-2']) await newer.setTenantLabels({ tenant, labels: ['beta', 'eu'] })
  expect(await newer.fleet.migrate({ label: 'beta', tenants: ['tenant-2', 'tenant-3'] })).toMatchObject({ migrated: 1 })
  expect(await newer.fleet.migrate({ label: 'nobody' })).toMatchObject({ migrated: 0, current: 0 })
  expect(await newer.fleet.migrate({ label: 'beta' })).toMatchObject({ migrated: 1, current: 1 })
  expect((await newer.fleet.check({ label: 'eu' })).databases).toBe(2)
  expect(await newer.fleet.migrate()).toMatchObject({ migrated: count - 2 })
  await newer.close()
})

test('Tenants that cannot be reached are results with their error, and the others are migrated', async () => {
  await addFile('create table extras (id int)')
  const newer = await installation.open()
  const name = await databaseOf(tenants[3])
  await withAdmin((admin) => admin.query(`alter database ${quoteIdentifier(name)} with allow_connections false`))
  const report = await newer.fleet.migrate()
  expect(report).toMatchObject({ migrated: count - 1, failed: 1, remaining: 0 })
  expect(report.failures).toMatchObject([
    { tenant: { slug: 'tenant-4' }, outcome: 'failed', error: { code: 'TENANCY_DATABASE_UNAVAILABLE' } },
  ])
  expect(await newer.fleet.status()).toMatchObject({ behind: 1, tenantsBehind: [{ slug: 'tenant-4', version: 6 }] })
  await withAdmin((admin) => admin.query(`alter database ${quoteIdentifier(name)} with allow_connections true`))
  expect(await newer.fleet.migrate()).toMatchObject({ migrated: 1, current: count - 1 })
  await newer.close()
})

const runner = `
  import { createTenancy } from ${JSON.stringify(join(repository, 'dist/index.js'))}
  const tenancy = await createTenancy()
  console.log('open')
  const report = await tenancy.fleet.migrate({ onResult: ({ outcome }) => console.log('result ' + outcome) })
  console.log(JSON.stringify(report))
  await tenancy.close()`
const reportOf = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, number>

test('Two runners at once apply each file once, and neither has a failure', async () => {
  const name = await addFile('create table twice (id int)')
  const processes = [1, 2].map(() => startNode([], { env: installation.env, program: runner }))
  for (const each of processes) expect(await each.ended, each.stderr).toBe(0)
  const reports = processes.map(({ stdout }) => reportOf(stdout))
  expect(reports.map(({ failed }) => failed)).toEqual([0, 0])
  expect(reports.reduce((sum, { migrated = 0 }) => sum + migrated, 0)).toBe(count)
  expect(await ledgerOf(name)).toEqual(once)
})

test('What a killed runner left is finished by the next one', async () => {
  const name = await addFile('create table killed (id int); select pg_sleep(0.05)')
  const killed = startNode([], { env: installation.env, program: runner })
  await killed.printed('result migrated')
  killed.kill('SIGKILL')
  await killed.ended
  const next = await installation.open()
  const report = await next.fleet.migrate()
  expect(report).toMatchObject({ failed: 0, remaining: 0, stopped: undefined })
  expect(report.migrated).toBeLessThan(count)
  expect(report.migrated + report.current).toBe(count)
  expect(await ledgerOf(name)).toEqual(once)
  await next.close()
})

test('Requests of both releases go on while a tenant is migrated, and see the new column afterwards', async () => {
  const before = 'select * from items where id = 1'
  await addFile("alter table items add column late text default 'x'; select pg_sleep(0.2)")
  const newer = await installation.open()
  const pool = older.getTenantPool(tenants[0] as Tenant)
  let isRunning = true
  let served = 0
  const serving = (async () => {
    while (isRunning) {
      const { rows } = await pool.query(before)
      expect(rows).toMatchObject([{ id: 1, name: 'one' }])
      served += 1
    }
  })()
  const report = await newer.fleet.migrate({ tenants: ['tenant-1'] })
  isRunning = false
  await serving
  expect(report).toMatchObject({ migrated: 1 })
  expect(served).toBeGreaterThan(0)
  const { rows } = await newer.getTenantPool(tenants[0] as Tenant).query(before)
  expect(rows).toMatchObject([{ late: 'x' }])
  await newer.close()
})

test('More tenants at a time than the server has connections for are refused before anything runs', async () => {
  await addFile('create table many (id int)')
  const [server] = await inCatalog<{ max: number }>("select current_setting('max_connections')::int as max")
  // As many processes as fit the server: less than 50 connections each, with ten to tenants.
  const processes = Math.floor(((server?.max ?? 0) - 10) / 50)
  const newer = await installation.open({
    env: { TENANT_PROCESSES: String(processes), TENANT_MAX_CONNECTIONS: '10' },
  })
  await expect(newer.fleet.migrate({ parallelism: 64 })).rejects.toMatchObject({
    code: 'TENANCY_CONNECTION_BUDGET_TOO_LARGE',
  })
  expect(await newer.fleet.status()).toMatchObject({ versions: [{ tenants: expect.any(Number) }, expect.anything()] })
  await newer.close()
})

test('Options of another shape or out of range are refused before anything runs', async () => {
  const refused = [
    ...[
      { parallelism: 0 },
      { parallelism: 1.5 },
      { parallelism: 65 },
      { lockTimeoutMs: -1 },
      { tenants: [] },
      { tenants: 'all' },
    ],
    ...[{ canary: 0 }, { canary: -1 }, { canary: '0%' }, { canary: '101%' }, { canary: '-1%' }, { canary: '5' }],
    ...[{ stopAfter: -3 }, { stopAfter: '' }, { stopAfter: 'NaN%' }, { stopAfter: '1e1%' }, { stopAfter: Infinity }],
    ...[{ signal: new AbortController() }, { onResult: 'log' }, { onProgress: {} }, { label: 'a b' }, { actor: 'me' }],
    ...[{ statementTimeoutMs: 0 }, { statementTimeoutMs: 1.5 }],
  ]
  for (const options of refused) {
    const key = Object.keys(options)[0] ?? ''
    await expect(older.fleet.migrate(options as never), JSON.stringify(options)).rejects.toMatchObject({
      code: 'TENANCY_REQUEST_INVALID',
      message: expect.stringContaining(key),
    })
  }
  await expect(older.fleet.status({ limit: -1 })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
})

test('A run that looks into every ledger works on each tenant once, also where the last change of it was long ago', async () => {
  const name = await addFile('alter table items add column first text')
  await inCatalog("update tenant_databases set updated_at = now() - interval '1 day' where state = 'assigned'")
  const newer = await installation.open()
  const slugs: string[] = []
  const report = await newer.fleet.migrate({ verify: true, onResult: ({ tenant }) => void slugs.push(tenant.slug) })
  expect(report).toMatchObject({ migrated: count, current: 0, failed: 0, remaining: 0 })
  expect(slugs.toSorted()).toEqual(tenants.map(({ slug }) => slug).toSorted())
  expect(await ledgerOf(name)).toEqual(once)
  await newer.close()
})
