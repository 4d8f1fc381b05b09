import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CreateTenancyOptions, FleetSeedResult, Seed, Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { withAdmin } from '../support/server.js'

const count = 4
let installation: Installation
let folder: string
let tenancy: Tenancy
const seedDir = () => join(folder, 'seeds')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-seeds-'))
  for (const part of ['schema', 'seeds/dev', 'seeds/prod']) await mkdir(join(folder, part), { recursive: true })
  await writeFile(
    join(folder, 'schema/0001_plans.sql'),
    'create table plans (name text primary key, by text default current_user)',
  )
  const insert = (name: string) => `insert into plans (name) values ('${name}') on conflict do nothing`
  await writeFile(join(seedDir(), '0002_second.sql'), insert('second'))
  await writeFile(join(seedDir(), '0001_first.sql'), `\uFEFF${insert('first')}; -- a comment`)
  await writeFile(join(seedDir(), 'dev/demo.sql'), insert('demo'))
  await writeFile(join(seedDir(), 'prod/live.sql'), insert('live'))
  await writeFile(join(seedDir(), 'README.md'), 'not a seed')
  installation = createInstallation({
    TENANT_SCHEMA_DIR: join(folder, 'schema'),
    TENANT_SEED_DIR: seedDir(),
    TENANT_SEED_PROFILE: 'dev',
  })
  tenancy = await installation.open()
  const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
  for (let index = 1; index <= count; index += 1) {
    await tenancy.createTenant({ name: 'T', slug: `tenant-${index}`, owner, labels: index === 1 ? ['first'] : [] })
  }
}, 60_000)
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

const plansOf = async (slug: string): Promise<string[]> => {
  const pool = tenancy.getTenantPool(await tenancy.getTenant(slug))
  return (await pool.query<{ name: string }>('select name from plans order by name')).rows.map(({ name }) => name)
}
const withSeeds = (seeds: readonly Seed[], options: CreateTenancyOptions = {}) =>
  installation.open({ ...options, seeds })

test('Seeds of all and of the profile run for every tenant, in order, as the owner, as often as they are called', async () => {
  const results: FleetSeedResult[] = []
  const report = await tenancy.fleet.seed({ onResult: (result) => void results.push(result) })
  expect(report).toMatchObject({ seeded: count, failed: 0, skipped: 0, remaining: 0, failures: [] })
  expect(results[0]).toMatchObject({ outcome: 'seeded', seeds: ['0001_first.sql', '0002_second.sql', 'dev/demo.sql'] })
  expect(await tenancy.fleet.seed()).toMatchObject({ seeded: count, failed: 0 })
  for (let index = 1; index <= count; index += 1) {
    expect(await plansOf(`tenant-${index}`)).toEqual(['demo', 'first', 'second'])
  }
  const pool = tenancy.getTenantPool(await tenancy.getTenant('tenant-1'))
  const { rows } = await pool.query<{ by: string; me: string }>('select distinct by, current_user as me from plans')
  expect(rows).toHaveLength(1)
  expect(rows[0]?.by).not.toBe(rows[0]?.me)
  const { rows: audit } = await withAdmin(
    (admin) => admin.query("select after from audit_log where action = 'fleet.seed' order by seq limit 1"),
    installation.catalogName,
  )
  expect(audit).toMatchObject([{ after: { profile: 'dev', seeded: count, failed: 0 } }])
})

test('Another profile, a label and names choose what runs and where', async () => {
  expect(await tenancy.fleet.seed({ profile: 'prod', label: 'first' })).toMatchObject({ seeded: 1 })
  expect(await plansOf('tenant-1')).toContain('live')
  expect(await plansOf('tenant-2')).not.toContain('live')
  await expect(tenancy.fleet.seed({ tenants: ['nobody'] })).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
})

test('A function runs in one transaction with its tenant; one that fails is a result and leaves nothing of itself', async () => {
  const newer = await withSeeds([
    {
      name: 'named after the tenant',
      run: (client, { slug }) => client.query('insert into plans values ($1) on conflict do nothing', [slug]),
    },
    {
      name: 'fails for one',
      profile: 'dev',
      async run(client, { slug }) {
        await client.query("insert into plans values ('half')")
        if (slug === 'tenant-2') throw new Error('no luck')
        await client.query("delete from plans where name = 'half'")
      },
    },
    { name: 'only in production', profile: 'prod', run: () => Promise.reject(new Error('never')) },
  ])
  const report = await newer.fleet.seed()
  expect(report).toMatchObject({ seeded: count - 1, failed: 1 })
  expect(report.failures).toMatchObject([
    {
      tenant: { slug: 'tenant-2' },
      error: { code: 'TENANCY_DATABASE_SEED_FAILED', message: 'Tenant "tenant-2": fails for one: no luck' },
    },
  ])
  expect(await plansOf('tenant-2')).toEqual(['demo', 'first', 'second', 'tenant-2'])
  expect(await plansOf('tenant-3')).toContain('tenant-3')
  await newer.close()
})

test('A seed that ends its transaction fails, and so does one that takes too long or waits for a lock', async () => {
  const tenants = ['tenant-3']
  for (const [sql, reason] of [
    ['commit', 'ends its transaction'],
    ['select pg_sleep(30)', 'statement timeout'],
    ['select 1 / 0', 'division by zero'],
    ['set role postgres', 'permission denied'],
  ] as const) {
    const newer = await withSeeds([{ name: 'bad', run: (client) => client.query(sql) }])
    const report = await newer.fleet.seed({ tenants, statementTimeoutMs: 500 })
    expect(report.failures[0]?.error?.message, sql).toContain(reason)
    await newer.close()
  }
})

test('A tenant that lacks schema files is not seeded, and deleted ones that are named are skipped', async () => {
  await writeFile(join(folder, 'schema/0002_more.sql'), 'create table more (id int)')
  const newer = await installation.open()
  const report = await newer.fleet.seed({ stopAfter: 1, parallelism: 1 })
  expect(report).toMatchObject({ failed: 1, remaining: count - 1, stopped: 'failures' })
  expect(report.failures[0]?.error).toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_BEHIND' })
  await newer.fleet.migrate()
  await newer.deleteTenant({ tenant: 'tenant-4' })
  expect(await newer.fleet.seed({ tenants: ['tenant-3', 'tenant-4'] })).toMatchObject({ seeded: 1, skipped: 1 })
  await newer.close()
})

test('No seed, no folder, and a name of another form are refused before anything runs', async () => {
  for (const dir of [join(folder, 'nothing'), join(folder, 'empty'), join(folder, 'odd')]) {
    if (!dir.endsWith('nothing')) await mkdir(dir)
    if (dir.endsWith('odd')) await writeFile(join(dir, 'a b.sql'), 'select 1')
    const newer = await installation.open({ seedDir: dir })
    await expect(newer.fleet.seed(), dir).rejects.toMatchObject({ code: 'TENANCY_CONFIG_INVALID' })
    await newer.close()
  }
  await expect(installation.open({ seeds: [{ name: '', run: () => {} }] })).rejects.toMatchObject({
    code: 'TENANCY_REQUEST_INVALID',
  })
})
