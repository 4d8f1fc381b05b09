import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findPgTool } from '../../src/backup/pg-tools.js'
import type { BackupInput, Tenant } from '../../src/index.js'
import { withAdmin } from '../support/server.js'
import { type BackupFixture, createBackupFixture } from './fixture.js'

let fixture: BackupFixture

beforeAll(async () => {
  fixture = await createBackupFixture()
})
afterAll(() => fixture?.drop())

const backUp = async (tenant: Tenant, more: Partial<BackupInput> = {}) => {
  const to = fixture.path()
  const report = await fixture.tenancy.backup({ tenant: tenant.id, to, method: 'copy', ...more })
  return { to, report }
}
const serverMajor = () =>
  withAdmin(async (admin) =>
    Math.floor(Number((await admin.query('show server_version_num')).rows[0].server_version_num) / 10_000),
  )
const databaseOf = (tenant: Tenant) =>
  withAdmin(async (admin) => {
    const hex = tenant.databaseId?.replaceAll('-', '') ?? ''
    const { rows } = await admin.query<{ name: string }>(
      'select datname as name from pg_database where datname like $1',
      [`%${hex}`],
    )
    return rows[0]?.name ?? ''
  })

test('large objects do not stop a backup; how many were left out is in both reports', async () => {
  const { tenancy, items } = fixture
  const tenant = await fixture.newTenant()
  await tenancy.getTenantPool(tenant).query('select lo_create(0), lo_create(0)')
  const { to, report } = await backUp(tenant)
  expect(report).toMatchObject({ skippedLargeObjects: 2, rows: 4, restoreProblems: [] })
  const before = await items(tenant)
  expect(await tenancy.restore({ from: to, tenant: tenant.id })).toMatchObject({ skippedLargeObjects: 2, lost: [] })
  expect(await items(tenant)).toEqual(before)
})

test('what was made by hand is named by the restore, an index with its definition', async () => {
  const { tenancy } = fixture
  const tenant = await fixture.newTenant()
  await withAdmin(
    (admin) =>
      admin.query(
        `create index by_hand on items (lower(name)); create function by_hand() returns int language sql as 'select 42';
         alter table items add constraint named check (name <> 'secret words')`,
      ),
    await databaseOf(tenant),
  )
  const { to } = await backUp(tenant)
  const { lost } = await tenancy.restore({ from: to, tenant: tenant.id })
  expect(lost.map(({ object, kind, name }) => [object, kind, name])).toEqual([
    ['function public.by_hand()', 'function', 'public.by_hand()'],
    ['table public.items', 'constraint', 'named'],
    ['table public.items', 'index', 'by_hand'],
  ])
  expect(lost.map(({ definition }) => definition)).toEqual([
    null,
    null,
    'CREATE INDEX by_hand ON public.items USING btree (lower(name))',
  ])
  // The manifest of an encrypted archive can be read by anybody.
  const manifest = await readFile(join(to, 'manifest.json'), 'utf8')
  expect(manifest).not.toContain('secret words')
})

describe.each(['copy', 'pg_dump'] as const)(
  'tables and sequences that were made by hand, in a backup by %s',
  (method) => {
    test('are named by the backup, refused by a restore with the way out, and left out if that is asked for', async (context) => {
      const tool = await findPgTool('pg_dump', undefined)
      if (method === 'pg_dump' && (tool?.version ?? 0) < (await serverMajor()))
        context.skip('needs a pg_dump for the server')
      const { tenancy, items, owner } = fixture
      const tenant = await fixture.newTenant()
      const before = await items(tenant)
      await withAdmin(
        (admin) =>
          admin.query(
            `create table hand (line text); insert into hand values (E'one\ntwo'), ('three'); create sequence hand_seq;
           create table zulu (id int)`,
          ),
        await databaseOf(tenant),
      )
      const { to, report } = await backUp(tenant, { method })
      expect(report.restoreProblems).toEqual([
        'the table "public"."hand" is not in the schema files',
        'the table "public"."zulu" is not in the schema files',
        'the sequence "public"."hand_seq" is not in the schema files',
      ])
      await expect(tenancy.restore({ from: to, tenant: tenant.id })).rejects.toMatchObject({
        ...{ code: 'TENANCY_DATABASE_COPY_REFUSED', message: expect.stringContaining('--leave-out-unknown') },
      })
      const restored = await tenancy.restore({ from: to, tenant: tenant.id, leaveOutUnknown: true })
      expect(restored).toMatchObject({ tables: 2, rows: 4 })
      expect(restored.lost.map(({ object }) => object)).toEqual(
        expect.arrayContaining(['table public.hand', 'table public.zulu', 'sequence public.hand_seq']),
      )
      expect(await items(tenant)).toEqual(before)
      const slug = `beside-${method.replace('_', '-')}`
      const made = await tenancy.restore({ from: to, newTenant: { slug, owner }, leaveOutUnknown: true })
      expect(await items(made.tenant)).toEqual(before)
    })
  },
)

test('a column that was made by hand cannot be left out: the backup says so, and the refusal names no way that would not help', async () => {
  const { tenancy } = fixture
  const tenant = await fixture.newTenant()
  await withAdmin(
    (admin) => admin.query('alter table items add column hand int; create table hand ()'),
    await databaseOf(tenant),
  )
  const { to, report } = await backUp(tenant)
  expect(report.restoreProblems).toContain('the table "public"."items" has other columns than in the schema files')
  for (const leaveOutUnknown of [false, true]) {
    const error = await tenancy.restore({ from: to, tenant: tenant.id, leaveOutUnknown }).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'TENANCY_DATABASE_COPY_REFUSED' })
    expect((error as Error).message).toContain('other columns')
    expect((error as Error).message).not.toContain('--leave-out-unknown')
  }
})

test('a tenant that is behind is compared with the files that it has, and its archive names those that it lacks', async () => {
  const behind = await createBackupFixture({ TENANT_SCHEMA_BEHIND: 'serve' })
  try {
    const tenant = await behind.newTenant()
    await behind.writeSchema('0002_more.sql', 'alter table items add column more int; create table extra (id int)')
    const newer = await behind.installation.open()
    const to = behind.path()
    const report = await newer.backup({ tenant: tenant.id, to })
    expect(report).toMatchObject({ schemaVersion: 1, restoreProblems: [] })
    expect(await newer.restore({ from: to, tenant: tenant.id })).toMatchObject({
      ...{ schemaVersion: 1, pending: ['0002_more.sql'] },
    })
    // Files that are not those of the archive.
    await behind.writeSchema('0001_items.sql', 'create table items (id int)')
    const edited = await behind.installation.open()
    expect(await edited.backup({ tenant: tenant.id, to: behind.path() })).toMatchObject({
      restoreProblems: [expect.stringContaining('are not those of this release')],
    })
  } finally {
    await behind.drop()
  }
})

test('a part that unpacks to more than the manifest says is refused before it is loaded', async () => {
  const { tenancy, installation, items } = fixture
  const tenant = await fixture.newTenant()
  const { to } = await backUp(tenant)
  const before = [await items(tenant), await installation.onServer()]
  const bomb = fixture.path()
  await cp(to, bomb, { recursive: true })
  const part = join(bomb, 'data-00000.copy.gz')
  const rows = gunzipSync(await readFile(part))
  const packed = gzipSync(Buffer.concat([rows, Buffer.alloc(50_000_000, 'x')]))
  await writeFile(part, packed)
  const path = join(bomb, 'manifest.json')
  const signed = JSON.parse(await readFile(path, 'utf8'))
  Object.assign(signed.manifest.parts[0], {
    bytes: packed.length,
    sha256: createHash('sha256').update(packed).digest('hex'),
  })
  await writeFile(path, JSON.stringify(signed))
  await expect(tenancy.restore({ from: bomb, tenant: tenant.id, allowUnsigned: true })).rejects.toMatchObject({
    code: 'TENANCY_BACKUP_INVALID',
    message: expect.stringContaining(`unpacks to more than ${rows.length} bytes`),
  })
  expect([await items(tenant), await installation.onServer()]).toEqual(before)
})
