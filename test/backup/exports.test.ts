import { createHash } from 'node:crypto'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { generateIdentity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createExportRunner } from '../../src/backup/exports/export-runner.js'
import { createFolderStorage } from '../../src/backup/exports/folder-storage.js'
import { createExportJobs } from '../../src/catalog/exports/export-jobs.js'
import type { Tenancy, Tenant } from '../../src/index.js'
import { silentLogger } from '../support/silent-logger.js'
import { type BackupFixture, createBackupFixture } from './fixture.js'

let fixture: BackupFixture
/** `fixture.tenancy` has no exports. */
let tenancy: Tenancy
let folder: string
let inside: string

beforeAll(async () => {
  fixture = await createBackupFixture()
  folder = join(fixture.folder, 'exports')
  tenancy = await fixture.installation.open({ exports: { folder } })
  const { rows } = await catalog().query<{ id: string }>('select id from installation')
  inside = join(folder, rows[0]!.id)
})
afterAll(() => fixture?.drop())

const catalog = () => fixture.tenancy.accountsHost().catalog
const of = (tenant: Tenant, id: string) => ({ tenant: tenant.id, export: id })
const waitFor = <Result>(check: () => Result | Promise<Result>) => vi.waitFor(check, { timeout: 30_000, interval: 25 })
const stateOf = async (tenant: Tenant, id: string) => (await tenancy.getTenantExport(of(tenant, id))).state
const isReady = (tenant: Tenant, id: string) => waitFor(async () => expect(await stateOf(tenant, id)).toBe('ready'))
const filesOf = async (id: string) => (await readdir(inside)).filter((name) => name.startsWith(id))
const actionsOf = async (tenant: Tenant) =>
  (await tenancy.audit.list({ tenant: tenant.id, limit: 1000 })).map(({ action }) => action)

async function exported(tenant: Tenant, more: object = {}): Promise<string> {
  const { id } = await tenancy.startTenantExport({ tenant: tenant.id, ...more })
  await isReady(tenant, id)
  return id
}

/** Looks around, as each process does every minute. */
async function sweep(): Promise<void> {
  const runner = createExportRunner({
    ...{ storage: createFolderStorage(inside), logger: silentLogger, maxRunning: 1, maxBytes: Infinity },
    jobs: createExportJobs(catalog(), '4711'),
    backup: (input) => fixture.tenancy.backup(input),
  })
  await runner.sweep()
  await runner.close()
}

test('An export is a backup of the tenant, which restores', async () => {
  const tenant = await fixture.newTenant(50)
  const before = await fixture.items(tenant)
  const started = await tenancy.startTenantExport({ tenant: tenant.slug, actor: fixture.owner })
  expect(started).toMatchObject({
    tenantId: tenant.id,
    state: 'queued',
    requestedBy: fixture.owner,
    isEncrypted: false,
  })
  await isReady(tenant, started.id)
  const archive = await tenancy.openTenantExport({ ...of(tenant, started.id), actor: fixture.owner })
  const whole = await buffer(archive.read())
  expect(createHash('sha256').update(whole).digest('hex')).toBe(archive.sha256)
  expect(archive.export).toMatchObject({ bytes: whole.length, rows: 50 + 1, error: null, sha256: archive.sha256 })
  const part = await buffer(archive.read({ start: 10, end: 29 }))
  expect(part).toEqual(whole.subarray(10, 30))
  await fixture.tenancy.getTenantPool(tenant).query('update items set next = null; delete from items')
  await tenancy.restore({ from: Readable.from([whole]), tenant: tenant.id })
  expect(await fixture.items(tenant)).toEqual(before)
  expect((await actionsOf(tenant)).filter((action) => /export|backup/.test(action))).toEqual([
    ...['export.start', 'tenant.backup', 'export.download'],
  ])
  expect(await tenancy.listTenantExports({ tenant: tenant.id })).toHaveLength(1)
})

test('A deleted tenant is exported while it is kept; purged, its archives go, and nothing more is exported', async () => {
  const tenant = await fixture.newTenant()
  await tenancy.deleteTenant({ tenant: tenant.id })
  await expect(tenancy.backup({ tenant: tenant.id, to: fixture.path() })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_STATE_CONFLICT',
  })
  await tenancy.backup({ tenant: tenant.id, to: fixture.path(), allowDeleted: true })
  const id = await exported(tenant)
  expect(await filesOf(id)).toHaveLength(1)
  await tenancy.purgeTenant({ tenant: tenant.id })
  await expect(tenancy.startTenantExport({ tenant: tenant.id })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
  await waitFor(async () => expect(await filesOf(id)).toEqual([]))
})

test('Of twenty requests at once one starts an export; five archives are kept', async () => {
  const tenant = await fixture.newTenant()
  const all = await Promise.allSettled(
    Array.from({ length: 20 }, () => tenancy.startTenantExport({ tenant: tenant.id })),
  )
  const refused = all.filter(({ status }) => status === 'rejected')
  // One that was ready in between lets the next one start.
  expect(all.length - refused.length).toBeGreaterThanOrEqual(1)
  const codes = new Set(refused.map((each) => ((each as PromiseRejectedResult).reason as { code: string }).code))
  expect([...codes].every((code) => /^TENANCY_EXPORT_(RUNNING|LIMIT_REACHED)$/.test(code))).toBe(true)
  const list = () => tenancy.listTenantExports({ tenant: tenant.id })
  await waitFor(async () => expect((await list()).every(({ state }) => state === 'ready')).toBe(true))
  while ((await list()).length < 5) await exported(tenant)
  await expect(tenancy.startTenantExport({ tenant: tenant.id })).rejects.toMatchObject({
    code: 'TENANCY_EXPORT_LIMIT_REACHED',
  })
  await tenancy.deleteTenantExport(of(tenant, (await list())[0]!.id))
  await exported(tenant)
})

test('An archive is encrypted to the keys of the request, or those of the installation', async () => {
  const tenant = await fixture.newTenant()
  const [own, theirs] = [await generateIdentity(), await generateIdentity()]
  const encrypting = await fixture.installation.open({
    exports: { folder, encryptTo: await identityToRecipient(own) },
  })
  const first = await encrypting.startTenantExport({ tenant: tenant.id })
  await isReady(tenant, first.id)
  const second = await exported(tenant, { encryptTo: [await identityToRecipient(theirs)] })
  for (const [id, identity] of [
    [first.id, own],
    [second, theirs],
  ] as const) {
    const archive = await tenancy.openTenantExport(of(tenant, id))
    expect(archive.export.isEncrypted).toBe(true)
    const whole = await buffer(archive.read())
    const restore = (with_: object) => tenancy.restore({ from: Readable.from([whole]), tenant: tenant.id, ...with_ })
    await expect(restore({ identity: await generateIdentity() })).rejects.toMatchObject({
      code: 'TENANCY_BACKUP_INVALID',
    })
    await restore({ identity })
  }
  await expect(tenancy.startTenantExport({ tenant: tenant.id, encryptTo: ['age1nonsense'] })).rejects.toMatchObject({
    code: 'TENANCY_REQUEST_INVALID',
  })
  await encrypting.close()
})

test('Without the option, every function says so; options that make no sense are refused at the start', async () => {
  const tenant = await fixture.newTenant()
  const { tenancy: without } = fixture
  for (const call of [
    () => without.startTenantExport({ tenant: tenant.id }),
    () => without.listTenantExports({ tenant: tenant.id }),
    () => without.getTenantExport(of(tenant, tenant.id)),
    () => without.deleteTenantExport(of(tenant, tenant.id)),
    () => without.openTenantExport(of(tenant, tenant.id)),
  ]) {
    await expect(call()).rejects.toMatchObject({ code: 'TENANCY_EXPORT_DISABLED', statusCode: 404 })
  }
  const open = (exports: object) => fixture.installation.open({ exports })
  for (const wrong of [
    {},
    { folder, storage: createFolderStorage(folder) },
    { folder, maxRunning: 0 },
    { storage: {} },
  ]) {
    await expect(open(wrong)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  }
  await writeFile(join(fixture.folder, 'file'), '')
  await expect(open({ folder: join(fixture.folder, 'file') })).rejects.toMatchObject({ code: 'TENANCY_CONFIG_INVALID' })
  await expect(open({ folder, encryptTo: 'age1nonsense' })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
})

test('What is expired is gone for readers at once, and from the folder with the next look', async () => {
  const tenant = await fixture.newTenant()
  const id = await exported(tenant, { expiresInSeconds: 60 })
  const { expiresAt, finishedAt } = await tenancy.getTenantExport(of(tenant, id))
  expect(expiresAt.getTime() - finishedAt!.getTime()).toBe(60_000)
  await catalog().query('update tenant_exports set expires_at = now() where id = $1', [id])
  await expect(tenancy.getTenantExport(of(tenant, id))).rejects.toMatchObject({ code: 'TENANCY_EXPORT_NOT_FOUND' })
  expect(await filesOf(id)).toHaveLength(1)
  await sweep()
  expect(await filesOf(id)).toEqual([])
  const { rows } = await catalog().query('select from tenant_exports where id = $1', [id])
  expect(rows).toEqual([])
})

test('A look around removes archives that no export has, and nothing else in the folder', async () => {
  const tenant = await fixture.newTenant()
  const kept = await exported(tenant)
  const uuid = () => crypto.randomUUID()
  const nobody = [`${uuid()}.${uuid()}.t2fb`, `${uuid()}.${uuid()}.t2fb.partial`]
  const others = ['notes.txt', 'archive.t2fb', '.hidden.partial', `${uuid()}.t2fb`]
  for (const name of [...nobody, ...others]) await writeFile(join(inside, name), 'x')
  await sweep()
  const names = await readdir(inside)
  expect(names).toEqual(expect.arrayContaining(others))
  expect(names.filter((name) => nobody.includes(name))).toEqual([])
  expect(await filesOf(kept)).toHaveLength(1)
  for (const name of others) await rm(join(inside, name))
})
