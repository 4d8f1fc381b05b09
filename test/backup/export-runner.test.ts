import { createHash } from 'node:crypto'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createExportRunner, type ExportRunner } from '../../src/backup/exports/export-runner.js'
import { createFolderStorage } from '../../src/backup/exports/folder-storage.js'
import { createExportJobs } from '../../src/catalog/exports/export-jobs.js'
import { createTenantExports } from '../../src/catalog/exports/tenant-exports.js'
import type { ExportStorage, Tenant, TenantExports } from '../../src/index.js'
import { silentLogger } from '../support/silent-logger.js'
import { startNode } from '../support/processes/node-process.js'
import { type BackupFixture, createBackupFixture } from './fixture.js'

// Who works on exports, decided by each test: the installation is open without exports.
let fixture: BackupFixture
let exports: TenantExports
let inside: string

beforeAll(async () => {
  fixture = await createBackupFixture()
  inside = join(fixture.folder, 'exports')
  exports = createTenantExports({
    ...{ catalog: catalog(), storage: createFolderStorage(inside), recipients: [], expiresInSeconds: 86_400 },
    ...{ checkRecipients: async () => {}, onStarted() {}, onDeleted() {} },
  })
})
afterAll(() => fixture?.drop())

const catalog = () => fixture.tenancy.accountsHost().catalog
const of = (tenant: Tenant, id: string) => ({ tenant: tenant.id, export: id })
const waitFor = <Result>(check: () => Result | Promise<Result>) => vi.waitFor(check, { timeout: 100_000, interval: 25 })
const stateOf = async (tenant: Tenant, id: string) => (await exports.getTenantExport(of(tenant, id))).state
const isReady = (tenant: Tenant, id: string) => waitFor(async () => expect(await stateOf(tenant, id)).toBe('ready'))
const filesOf = async (id: string) => (await readdir(inside)).filter((name) => name.startsWith(id))
const actionsOf = async (tenant: Tenant) =>
  (await fixture.tenancy.audit.list({ tenant: tenant.id, limit: 1000 })).map(({ action }) => action)
const queued = async (tenant: Tenant) => (await exports.startTenantExport({ tenant: tenant.id })).id

/** A storage whose archives are not finished before `open` is called. */
function gatedStorage(): {
  readonly storage: ExportStorage
  readonly reached: Promise<void>
  readonly open: () => void
} {
  let open = () => {}
  let reach = () => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  const reached = new Promise<void>((resolve) => (reach = resolve))
  const inner = createFolderStorage(inside)
  async function* gated(bytes: AsyncIterable<Uint8Array>) {
    for await (const chunk of bytes) {
      reach()
      await opened
      yield chunk
    }
  }
  return { storage: { ...inner, write: (key, bytes) => inner.write(key, gated(bytes)) }, reached, open }
}

/** A runner of its own, as another process has it. */
function startRunner(
  storage: ExportStorage,
  more: Partial<Parameters<typeof createExportRunner>[0]> = {},
): ExportRunner {
  return createExportRunner({
    ...{ storage, logger: silentLogger, maxRunning: 2, maxBytes: Infinity, pollMs: 20, renewMs: 50 },
    jobs: createExportJobs(catalog(), '4711'),
    backup: (input) => fixture.tenancy.backup(input),
    ...more,
  })
}

/** As if the lease of whoever works on it were over. */
const endLease = (id: string) =>
  catalog().query("update tenant_exports set held_until = now() - interval '1 second' where id = $1", [id])

test('An export that is cancelled ends with the next renewal, and leaves no file', async () => {
  const tenant = await fixture.newTenant(20_000)
  const id = await queued(tenant)
  const gate = gatedStorage()
  const runner = startRunner(gate.storage)
  await gate.reached
  expect(await filesOf(id)).toHaveLength(1)
  await exports.deleteTenantExport(of(tenant, id))
  gate.open()
  await runner.close()
  expect(await filesOf(id)).toEqual([])
  await expect(stateOf(tenant, id)).rejects.toMatchObject({ code: 'TENANCY_EXPORT_NOT_FOUND' })
})

test('A process that stands still for longer than its lease loses the job: the archive is that of the other one', async () => {
  const tenant = await fixture.newTenant(2000)
  const id = await queued(tenant)
  const jobs = createExportJobs(catalog(), '4711')
  const slow = gatedStorage()
  // It does not hear of anything: its renewals never arrive.
  const still = startRunner(slow.storage, { jobs: { ...jobs, renew: () => new Promise(() => {}) } })
  await slow.reached
  await endLease(id)
  const other = startRunner(createFolderStorage(inside))
  await isReady(tenant, id)
  slow.open()
  await still.close()
  await other.close()
  const archive = await exports.openTenantExport(of(tenant, id))
  expect(
    createHash('sha256')
      .update(await buffer(archive.read()))
      .digest('hex'),
  ).toBe(archive.sha256)
  expect(await filesOf(id)).toHaveLength(1)
})

test('At most as many run at a time as may, over all processes; the others wait', async () => {
  const tenants = [await fixture.newTenant(2000), await fixture.newTenant(2000), await fixture.newTenant(2000)]
  const ids = await Promise.all(tenants.map(queued))
  const gates = [gatedStorage(), gatedStorage(), gatedStorage()]
  const runners = gates.map(({ storage }) => startRunner(storage, { maxRunning: 1 }))
  await Promise.race(gates.map(({ reached }) => reached))
  const states = async () => Promise.all(tenants.map((tenant, index) => stateOf(tenant, ids[index]!)))
  expect((await states()).toSorted()).toEqual(['queued', 'queued', 'running'])
  for (const { open } of gates) open()
  await waitFor(async () => expect(await states()).toEqual(['ready', 'ready', 'ready']))
  await Promise.all(runners.map((runner) => runner.close()))
})

test('A process that is closed gives its job back, which counts as no attempt', async () => {
  const tenant = await fixture.newTenant(2000)
  const id = await queued(tenant)
  for (let round = 0; round < 4; round += 1) {
    const gate = gatedStorage()
    const runner = startRunner(gate.storage)
    await gate.reached
    const closed = runner.close()
    gate.open()
    await closed
    expect(await stateOf(tenant, id)).toBe('queued')
  }
  expect(await filesOf(id)).toEqual([])
  const runner = startRunner(createFolderStorage(inside))
  await isReady(tenant, id)
  await runner.close()
})

test('A disk without room, a limit and a broken storage fail the export with a code, and leave nothing', async () => {
  const inner = createFolderStorage(inside)
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const cases: [Partial<Parameters<typeof createExportRunner>[0]> & { storage: ExportStorage }, string][] = [
    [{ storage: { ...inner, write: () => Promise.reject(full) } }, 'TENANCY_BACKUP_FAILED'],
    [{ storage: inner, maxBytes: 100 }, 'TENANCY_EXPORT_TOO_LARGE'],
    [
      {
        storage: {
          ...inner,
          async write(key, bytes) {
            await inner.write(key, bytes)
            throw new Error('the bucket is gone')
          },
        },
      },
      'TENANCY_BACKUP_FAILED',
    ],
  ]
  for (const [more, code] of cases) {
    const tenant = await fixture.newTenant(2000)
    const id = await queued(tenant)
    const runner = startRunner(more.storage, more)
    await waitFor(async () => expect(await exports.getTenantExport(of(tenant, id))).toMatchObject({ state: 'failed' }))
    expect(await exports.getTenantExport(of(tenant, id))).toMatchObject({ error: code, bytes: null })
    await runner.close()
    expect(await filesOf(id)).toEqual([])
    expect(await actionsOf(tenant)).toContain('export.fail')
    await expect(exports.openTenantExport(of(tenant, id))).rejects.toMatchObject({ code: 'TENANCY_EXPORT_NOT_READY' })
  }
})

test('An archive whose export is ready is kept when the answer of the catalog is lost; one that is not goes with a sweep', async () => {
  const jobs = createExportJobs(catalog(), '4711')
  const away = new Error('Connection terminated unexpectedly')
  for (const isWritten of [true, false]) {
    const tenant = await fixture.newTenant(2000)
    const id = await queued(tenant)
    const runner = startRunner(createFolderStorage(inside), {
      jobs: {
        ...jobs,
        async finish(...given) {
          if (isWritten) await jobs.finish(...given)
          throw away
        },
      },
    })
    await waitFor(async () => expect(await stateOf(tenant, id)).toBe(isWritten ? 'ready' : 'failed'))
    await runner.sweep()
    await runner.close()
    await waitFor(async () => expect(await filesOf(id)).toHaveLength(isWritten ? 1 : 0))
    if (!isWritten) continue
    const archive = await exports.openTenantExport(of(tenant, id))
    expect(await buffer(archive.read())).toHaveLength(archive.bytes)
  }
})

test('A process that is killed in the middle: another one begins again, three times at most', async () => {
  const tenant = await fixture.newTenant(2000)
  const id = await queued(tenant)
  const die = async () => {
    const child = startNode([], {
      env: { ...fixture.installation.env },
      program: `
        import { createTenancy, loadConfig } from 'tenants2fast'
        const quiet = { debug() {}, info() {}, warn() {}, error() {} }
        const never = new Promise(() => {})
        const storage = {
          async write(key, bytes) { for await (const _ of bytes) { process.stdout.write('now\\n'); await never } },
          async size() {}, async *read() {}, async remove() {}, async list() { return [] },
        }
        await createTenancy({ config: loadConfig(process.env), logger: quiet, exports: { storage } })
        setInterval(() => {}, 1000)`,
    })
    await waitFor(() => expect(child.stdout).toContain('now'))
    expect(await stateOf(tenant, id)).toBe('running')
    child.kill('SIGKILL')
    await child.ended
    await endLease(id)
  }
  await die()
  const runner = startRunner(createFolderStorage(inside))
  await isReady(tenant, id)
  await runner.close()
  await catalog().query(
    `update tenant_exports set state = 'running', held_until = now() - interval '1 second', attempts = 3 where id = $1`,
    [id],
  )
  const last = startRunner(createFolderStorage(inside))
  await waitFor(async () => expect(await stateOf(tenant, id)).toBe('failed'))
  expect(await exports.getTenantExport(of(tenant, id))).toMatchObject({ error: 'TENANCY_EXPORT_INTERRUPTED' })
  await last.sweep()
  await last.close()
  expect(await filesOf(id)).toEqual([])
})

test('A process that does not have the archive says so, and one whose size is another', async () => {
  const tenant = await fixture.newTenant()
  const id = await queued(tenant)
  const runner = startRunner(createFolderStorage(inside))
  await isReady(tenant, id)
  await runner.close()
  const [name] = await filesOf(id)
  await writeFile(join(inside, name!), 'cut')
  const open = () => exports.openTenantExport(of(tenant, id))
  await expect(open()).rejects.toMatchObject({ code: 'TENANCY_EXPORT_UNAVAILABLE', statusCode: 503 })
  await rm(join(inside, name!))
  await expect(open()).rejects.toMatchObject({ code: 'TENANCY_EXPORT_UNAVAILABLE' })
})

test('Keys that are no keys never become paths', async () => {
  const storage = createFolderStorage(join(fixture.folder, 'other'))
  await mkdir(join(fixture.folder, 'other'), { recursive: true })
  for (const key of ['../x', 'x', `${'a'.repeat(36)}.${'/'.repeat(36)}`, '']) {
    await expect(storage.write(key, (async function* none() {})())).rejects.toThrow('no key')
    await expect(storage.size(key)).rejects.toThrow('no key')
    await expect(storage.remove(key)).rejects.toThrow('no key')
  }
})
