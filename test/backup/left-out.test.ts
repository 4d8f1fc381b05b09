import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
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
  expect(report).toMatchObject({ skippedLargeObjects: 2, rows: 4 })
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
