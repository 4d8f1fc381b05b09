import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FleetResult, Tenancy, Tenant } from '../../src/index.js'
import { quoteIdentifier } from '../../src/postgres/text/quote.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { runCommandLine } from '../support/processes/command-line.js'
import { withAdmin } from '../support/server.js'

const count = 33

let installation: Installation
let folder: string
let tenants: Tenant[]
const schema = () => join(folder, 'schema')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-bad-input-'))
  for (const part of ['schema', 'seeds']) await mkdir(join(folder, part))
  await writeFile(join(schema(), '0001_items.sql'), 'create table items (id int)')
  await writeFile(join(folder, 'seeds/0001_item.sql'), 'insert into items values (1)')
  installation = createInstallation({ TENANT_SCHEMA_DIR: schema(), TENANT_SEED_DIR: join(folder, 'seeds') })
  const older = await installation.open()
  const owner = (await older.createUser({ email: 'owner@example.com', emailVerified: true })).id
  tenants = []
  for (let index = 1; index <= count; index += 1) {
    tenants.push(await older.createTenant({ name: 'T', slug: `tenant-${index}`, owner }))
  }
  await older.close()
})
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

const nameOf = (tenant: Tenant | undefined) => `${installation.prefix}${tenant?.databaseId?.replaceAll('-', '')}`

/** Runs everything over the fleet: its reports. */
async function everything(tenancy: Tenancy) {
  const migrate = await tenancy.fleet.migrate({ stopAfter: '10%', parallelism: 4 })
  const exec = await tenancy.fleet.exec({ sql: 'select 1', stopAfter: '10%', parallelism: 4 })
  const seed = await tenancy.fleet.seed({ stopAfter: '10%', parallelism: 4 })
  const failedChecks: string[] = []
  const check = await tenancy.fleet.check({
    parallelism: 4,
    onResult: ({ tenant, outcome, error }) => {
      if (outcome === 'failed') failedChecks.push(`${tenant.slug} ${(error as { code?: string }).code}`)
    },
  })
  return { migrate, exec, seed, check, failedChecks }
}

test('Of 33 databases one is gone, and one lets nobody in: the first is a result of every run, and all others are done', async () => {
  await writeFile(join(schema(), '0002_notes.sql'), 'create table notes (id int)')
  const [gone, closed] = [tenants[4], tenants[20]].map((tenant) => quoteIdentifier(nameOf(tenant)))
  const elsewhere = quoteIdentifier(`${installation.prefix}elsewhere`)
  await withAdmin(async (admin) => {
    await admin.query(`alter database ${gone} rename to ${elsewhere}`)
    const { rows } = await admin.query<{ role: string }>(
      'select rolname as role from pg_roles where starts_with(rolname, $1)',
      [installation.prefix],
    )
    await admin.query(`revoke connect on database ${closed} from public`)
    for (const { role } of rows) await admin.query(`revoke all on database ${closed} from ${quoteIdentifier(role)}`)
  })
  const tenancy = await installation.open()
  const failures = [{ tenant: { slug: 'tenant-5' }, error: { code: 'TENANCY_DATABASE_UNAVAILABLE' } }]
  const others = { failed: 1, failures, remaining: 0, stopped: undefined }
  expect(await everything(tenancy)).toMatchObject({
    // Whoever migrates a database restores the privileges that it needs.
    migrate: { ...others, migrated: count - 1 },
    exec: { ...others, done: count - 1 },
    check: { same: count - 1, behind: 1, failed: 0 },
    failedChecks: [],
  })
  expect(await tenancy.fleet.status()).toMatchObject({
    ...{ behind: 1, tenantsBehind: [{ slug: 'tenant-5' }] },
    ...{ failed: 1, tenantsFailed: [{ slug: 'tenant-5', code: 'TENANCY_DATABASE_UNAVAILABLE' }] },
  })
  await withAdmin((admin) => admin.query(`alter database ${elsewhere} rename to ${gone}`))
  expect(await tenancy.fleet.migrate()).toMatchObject({ migrated: 1, current: count - 1, failed: 0 })

  // The same when all are up to date.
  await withAdmin((admin) => admin.query(`alter database ${gone} rename to ${elsewhere}`))
  expect(await everything(tenancy)).toMatchObject({
    migrate: { current: count, failed: 0 },
    exec: { ...others, done: count - 1 },
    seed: { ...others, seeded: count - 1 },
    check: { same: count - 1, failed: 1 },
    failedChecks: ['tenant-5 TENANCY_DATABASE_UNAVAILABLE'],
  })
  expect(await tenancy.fleet.migrate({ verify: true })).toMatchObject({ ...others, current: count - 1 })
  expect(await tenancy.fleet.status()).toMatchObject({ behind: 0, failed: 1, tenantsFailed: [{ slug: 'tenant-5' }] })
  await withAdmin((admin) => admin.query(`alter database ${elsewhere} rename to ${gone}`))
  expect(await tenancy.fleet.migrate({ verify: true })).toMatchObject({ failed: 0, current: count })
  expect(await tenancy.fleet.status()).toMatchObject({ behind: 0, failed: 0, tenantsFailed: [] })
  await tenancy.close()
})

test('A file that was renamed after it ran is named by each tenant that has it, and nothing is applied', async () => {
  await rename(join(schema(), '0002_notes.sql'), join(schema(), '0002_remarks.sql'))
  const tenancy = await installation.open()
  const refused = (report: { readonly failures: readonly FleetResult[] }) =>
    report.failures.map(({ applied, error }) => [applied, (error as { code?: string }).code, error?.message])
  const verified = await tenancy.fleet.migrate({ verify: true, stopAfter: 1, parallelism: 1 })
  expect(refused(verified)).toEqual([
    [[], 'TENANCY_DATABASE_SCHEMA_INVALID', expect.stringMatching(/0002_notes\.sql was applied .* renamed/)],
  ])
  await tenancy.close()

  await writeFile(join(schema(), '0003_more.sql'), 'create table more (id int)')
  const newer = await installation.open()
  const report = await newer.fleet.migrate({ stopAfter: 1, parallelism: 1 })
  expect(report).toMatchObject({ migrated: 0, failed: 1, remaining: count - 1 })
  expect(refused(report)).toEqual(refused(verified))
  const found: unknown[] = []
  await newer.fleet.exec({ sql: "select to_regclass('more') as more", onRow: ({ row }) => found.push(row['more']) })
  expect(found).toEqual(tenants.map(() => null))
  await newer.close()

  await rename(join(schema(), '0002_remarks.sql'), join(schema(), '0002_notes.sql'))
  const restored = await installation.open()
  expect(await restored.fleet.migrate({ verify: true })).toMatchObject({ migrated: count, failed: 0 })
  expect(await restored.fleet.status()).toMatchObject({ failed: 0 })
  await restored.close()
})

test('Without the folder of migrations a run ends with a code before it begins, and touches no tenant', async () => {
  const missing = join(folder, 'nothing')
  const env = { ...installation.env, TENANT_SCHEMA_DIR: missing }
  for (const words of [
    ['migrate', 'up'],
    ['migrate', 'status'],
  ]) {
    const { code, stdout, stderr } = await runCommandLine(words, { cwd: folder, env })
    expect([words, code, stdout]).toEqual([words, 1, ''])
    expect(stderr).toContain(`${missing} cannot be read: check the path`)
    expect(stderr).toContain('TENANCY_DATABASE_SCHEMA_INVALID')
  }
})
