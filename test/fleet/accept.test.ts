import { createHash } from 'node:crypto'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { FleetAcceptResult, Tenancy, Tenant } from '../../src/index.js'
import { createFolder, fixture } from '../schema/schema-database.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { withAdmin } from '../support/server.js'

const first = '0001_items.sql'
const text = 'create table items (id int primary key)'

let installation: Installation
let folder: Awaited<ReturnType<typeof createFolder>>
let tenancy: Tenancy
let owner: string

beforeAll(async () => {
  folder = await createFolder({ [first]: text, '0002_note.sql': 'alter table items add column note text' })
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder.dir, TENANT_SCHEMA_BEHIND: 'serve' })
  tenancy = await installation.open()
  owner = (await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })).id
  for (const slug of ['one', 'two', 'gone']) {
    await tenancy.createTenant({ name: slug, slug: `tenant-${slug}`, owner })
  }
  await tenancy.deleteTenant({ tenant: 'tenant-gone' })
}, 90_000)
afterAll(async () => {
  await installation.drop()
  await folder.remove()
})

let edits = 0
/** A process whose first file has a comment more. */
async function openEdited(): Promise<Tenancy> {
  edits += 1
  await writeFile(join(folder.dir, first), `-- reviewed ${edits} times\n${text}`)
  return installation.open()
}

interface LedgerRow {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly applied_at: Date
}

/** Works in a tenant's database as the superuser. */
async function inDatabase<Result>(
  { slug }: Pick<Tenant, 'slug'>,
  work: (client: pg.Client) => Promise<Result>,
  at: Installation = installation,
): Promise<Result> {
  const { rows } = await withAdmin(
    (admin) =>
      admin.query<{ name: string }>(
        'select database.name from tenant_databases as database join tenants on database_id = database.id where slug = $1',
        [slug],
      ),
    at.catalogName,
  )
  return withAdmin(work, rows[0]!.name)
}

const ledgerOf = (tenant: Pick<Tenant, 'slug'>, at?: Installation) =>
  inDatabase(
    tenant,
    async (client) =>
      (await client.query<LedgerRow>('select * from tenants2fast.schema_migrations order by version')).rows,
    at,
  )

let edited: Tenancy
beforeEach(async () => {
  edited = await openEdited()
}, 90_000)

test('a changed comment is accepted in every tenant that has the file, deleted ones as well, and no other row changes', async () => {
  const before = await ledgerOf({ slug: 'tenant-one' })
  expect(await edited.fleet.migrate({ verify: true })).toMatchObject({ current: 0, failed: 2 })
  const results: FleetAcceptResult[] = []
  const report = await edited.fleet.acceptChecksum({ migration: '0001_items', onResult: (each) => results.push(each) })
  expect(report).toMatchObject({ migration: first, accepted: 3, current: 0, skipped: 0, failed: 0, remaining: 0 })
  expect(results.map(({ tenant, outcome }) => `${tenant.slug} ${outcome}`).toSorted()).toEqual([
    'tenant-gone accepted',
    'tenant-one accepted',
    'tenant-two accepted',
  ])
  for (const slug of ['one', 'two', 'gone']) {
    const [changed, ...others] = await ledgerOf({ slug: `tenant-${slug}` })
    expect(changed?.checksum).toBe(report.checksum)
    if (slug === 'one') expect([{ ...changed, checksum: before[0]?.checksum }, ...others]).toEqual(before)
  }
  expect(await edited.fleet.migrate({ verify: true })).toMatchObject({ current: 2, failed: 0 })
  expect(await edited.fleet.status()).toMatchObject({ behind: 0, failed: 0 })
  expect(await edited.fleet.acceptChecksum({ migration: first })).toMatchObject({ accepted: 0, current: 3 })
  const entry = (await edited.audit.list({ tenant: null, limit: 1000 })).findLast(
    ({ action }) => action === 'fleet.accept',
  )
  expect(entry?.after).toMatchObject({ migration: first, checksum: report.checksum, accepted: 0, current: 3 })
}, 90_000)

test('each tenant is worked on once, also where it was made long before', async () => {
  await withAdmin(
    (admin) =>
      admin.query(
        `set session_replication_role = replica;
         update tenants set created_at = created_at - interval '1 hour', updated_at = updated_at - interval '1 hour';
         update tenant_databases set created_at = created_at - interval '1 hour', updated_at = updated_at - interval '1 hour'`,
      ),
    installation.catalogName,
  )
  const done: string[] = []
  const report = await edited.fleet.acceptChecksum({
    migration: first,
    onProgress: ({ done: so, planned }) => done.push(`${so}/${planned}`),
  })
  expect(report).toMatchObject({ accepted: 3, current: 0, failed: 0 })
  expect(done).toEqual(['1/3', '2/3', '3/3'])
})

test('a dry run names the tenants that a run would fail for, and after an acceptance none is left as failed', async () => {
  await writeFile(join(folder.dir, '0003_dry.sql'), 'alter table items add column dry text')
  const newer = await installation.open()
  const invalid = { outcome: 'failed', error: expect.objectContaining({ code: 'TENANCY_DATABASE_SCHEMA_INVALID' }) }
  for (const verify of [false, true]) {
    expect(await newer.fleet.migrate({ dryRun: true, verify })).toMatchObject({
      ...{ migrated: 0, skipped: 0, failed: 2, failures: [invalid, invalid] },
    })
  }
  expect(await newer.fleet.status()).toMatchObject({ failed: 0 })
  expect(await newer.fleet.migrate()).toMatchObject({ failed: 2 })
  expect(await newer.fleet.status()).toMatchObject({ failed: 2 })
  expect(await newer.fleet.acceptChecksum({ migration: first })).toMatchObject({ accepted: 3 })
  expect(await newer.fleet.status()).toMatchObject({ failed: 0, behind: 2 })
  expect(await newer.fleet.migrate({ dryRun: true, verify: true })).toMatchObject({ failed: 0, skipped: 2 })
  await rm(join(folder.dir, '0003_dry.sql'))
}, 90_000)

test('one tenant is accepted by name, a new tenant has the new text already, and a later file is applied on top', async () => {
  expect(await edited.fleet.acceptChecksum({ migration: first, tenants: ['tenant-two'] })).toMatchObject({
    accepted: 1,
  })
  const made = await edited.createTenant({ name: 'new', slug: `tenant-new-${edits}`, owner })
  expect(await edited.fleet.acceptChecksum({ migration: first })).toMatchObject({ accepted: 2, current: 2 })
  expect((await ledgerOf(made))[0]?.checksum).toBe((await ledgerOf({ slug: 'tenant-one' }))[0]?.checksum)
  await writeFile(join(folder.dir, '0003_more.sql'), 'alter table items add column more text')
  const later = await installation.open()
  expect(await later.fleet.migrate()).toMatchObject({ version: 3, migrated: 3, failed: 0 })
}, 90_000)

test('an unknown file, one that no tenant has, and one that has another name in a ledger are refused', async () => {
  const invalid = { code: 'TENANCY_REQUEST_INVALID' }
  await expect(edited.fleet.acceptChecksum({ migration: '0009_x.sql' })).rejects.toMatchObject(invalid)
  await writeFile(join(folder.dir, '0004_pending.sql'), 'alter table items add column pending text')
  const pending = await installation.open()
  expect(await pending.fleet.acceptChecksum({ migration: first })).toMatchObject({ failed: 0 })
  await expect(pending.fleet.acceptChecksum({ migration: '0004_pending' })).rejects.toMatchObject({
    ...invalid,
    message: expect.stringContaining('0004_pending.sql was applied to none of these tenants'),
  })
  // One tenant alone has it: the others are skipped.
  expect(await pending.fleet.migrate({ tenants: ['tenant-one'] })).toMatchObject({ migrated: 1, failed: 0 })
  expect(await pending.fleet.acceptChecksum({ migration: '0004_pending' })).toMatchObject({ current: 1, failed: 0 })
  await withLedgerName('tenant-two', '0001_other.sql', async () => {
    const report = await pending.fleet.acceptChecksum({ migration: first, tenants: ['tenant-two'] })
    expect(report).toMatchObject({ accepted: 0, failed: 1 })
    expect(report.failures[0]?.error).toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_INVALID' })
  })
  await expect(pending.fleet.acceptChecksum({ migration: first, tenants: ['nobody'] })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
}, 90_000)

/** Gives the first row of a ledger another name for a while. */
async function withLedgerName(slug: string, name: string, work: () => Promise<void>): Promise<void> {
  const rename = (to: string) =>
    inDatabase({ slug }, (client) =>
      client.query('update tenants2fast.schema_migrations set name = $1 where version = 1', [to]),
    )
  await rename(name)
  await work()
  await rename(first)
}

describe('the list of another tool', () => {
  test.each([
    ['prisma', 'select checksum as hash from _prisma_migrations order by started_at'],
    ['drizzle-journal', 'select hash from drizzle.__drizzle_migrations order by id'],
  ])(
    '%s: the tool and this package agree again, and later files are applied',
    async (kind, list) => {
      const copy = await createFolder({})
      await cp(fixture(kind), copy.dir, { recursive: true })
      const shop = createInstallation({ TENANT_SCHEMA_DIR: copy.dir, TENANT_SCHEMA_BEHIND: 'serve' })
      try {
        const before = await shop.open()
        const user = await before.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
        const tenant = await before.createTenant({ name: 'A', slug: 'acme', owner: user.id })
        const [{ name } = { name: '' }, last] = await ledgerOf(tenant, shop)
        const path = join(copy.dir, name)
        await writeFile(path, `-- reviewed\n${await readFile(path, 'utf8')}`)
        const after = await shop.open()
        expect(await after.fleet.acceptChecksum({ migration: name })).toMatchObject({ accepted: 1, failed: 0 })
        expect((await ledgerOf(tenant, shop))[1]).toEqual(last)
        const opened = after.getTenantPool(tenant)
        await expect(opened.query(list)).rejects.toMatchObject({ code: '42501' })
        const newest = 'version = (select max(version) from tenants2fast.schema_migrations)'
        const hashes = await inDatabase(
          tenant,
          async (client) => {
            // The folder is compared with the list when a file is pending.
            await client.query(`delete from tenants2fast.schema_migrations where ${newest}`)
            return (await client.query<{ hash: string }>(list)).rows
          },
          shop,
        )
        expect(hashes[0]?.hash).toBe(
          createHash('sha256')
            .update(await readFile(path))
            .digest('hex'),
        )
        expect(await after.fleet.migrate({ verify: true })).toMatchObject({ failed: 0 })
      } finally {
        await shop.drop()
        await copy.remove()
      }
    },
    90_000,
  )
})
