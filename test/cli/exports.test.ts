import { createWriteStream } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenant, TenantExport } from '../../src/index.js'
import { type CliInstallation, createCliInstallation } from './installation-fixture.js'

// The test's own tenancy serves: it makes the exports. The program only looks at them, and ends them.

let archives: string
let cli: CliInstallation
let tenant: Tenant
beforeAll(async () => {
  archives = await mkdtemp(join(tmpdir(), 't2f-exports-'))
  cli = await createCliInstallation({}, { exports: { folder: archives } })
  tenant = await cli.createTenant('acme')
  await cli.tenancy
    .getTenantPool(tenant)
    .query('insert into notes (author, body) values ($1, $2)', [cli.owner.id, 'before'])
})
afterAll(async () => {
  await cli.drop()
  await rm(archives, { recursive: true })
})

const operator = `${userInfo().username}@${hostname()}`
const configFile = () => join(cli.folder, 'tenants2fast.config.mjs')
const nobodyId = '0199d3a4-5e6f-7a8b-9c0d-1e2f3a4b5c6d'

async function makeExport(): Promise<TenantExport> {
  const { id } = await cli.tenancy.startTenantExport({ tenant: tenant.id, actor: cli.owner.id })
  const read = () => cli.tenancy.getTenantExport({ tenant: tenant.id, export: id })
  await expect.poll(async () => (await read()).state).toBe('ready')
  return read()
}

test('without the option in the application’s file there are no exports, and it says how to have them', async () => {
  expect(await cli.failure('export', 'list', 'acme')).toMatchObject({
    ...{ code: 'TENANCY_EXPORT_DISABLED', exitCode: 3, fix: expect.stringContaining('option `exports`') },
  })
  await writeFile(configFile(), `export default { exports: { folder: ${JSON.stringify(archives)} } }`)
  expect(await cli.json('export', 'list', 'acme')).toEqual({ exports: [], next: null })
})

test('an operator sees the exports of a tenant, restores one that was downloaded, and deletes it', async () => {
  const made = await makeExport()
  expect(await cli.text('export', 'list', 'acme')).toMatch(
    new RegExp(`^${made.id}\tready\t.*\t.*\t.* (bytes|KiB)\t${cli.owner.id}\n$`),
  )
  expect(await cli.json('export', 'list', tenant.id, '--limit', '1')).toMatchObject({
    ...{ exports: [{ id: made.id, state: 'ready', rows: 1, error: null }], next: made.id },
  })

  const archive = await cli.tenancy.openTenantExport({ tenant: tenant.id, export: made.id })
  await pipeline(archive.read(), createWriteStream(join(cli.folder, 'acme.t2fb')))
  const words = ['tenant', 'restore', 'acme.t2fb', '--new-tenant', 'copy', '--owner', 'dana@example.com']
  expect(await cli.text(...words)).toMatch(/^Restored 1 table, 1 row of .* as copy\n$/)
  const pool = cli.tenancy.getTenantPool(await cli.tenancy.getTenant('copy'))
  expect((await pool.query('select body from notes')).rows).toEqual([{ body: 'before' }])

  const remove = ['export', 'delete', 'acme', made.id]
  expect(await cli.failure(...remove)).toMatchObject({ code: 'CLI_NOT_CONFIRMED', exitCode: 4 })
  expect(await cli.json('export', 'list', 'acme')).toMatchObject({ exports: [{ id: made.id }] })
  expect(await cli.json(...remove, '--yes')).toEqual({ deleted: { tenantId: tenant.id, exportId: made.id } })
  expect(await cli.json('export', 'list', 'acme')).toMatchObject({ exports: [] })
  const [installation] = await readdir(archives)
  expect(await readdir(join(archives, installation ?? ''))).toEqual([])
  expect((await cli.tenancy.audit.list({ tenant: 'acme', limit: 1000 })).at(-1)).toMatchObject({
    ...{ action: 'export.delete', operator, subject: `export:${made.id}` },
  })
  expect(await cli.failure(...remove, '--yes')).toMatchObject({ code: 'TENANCY_EXPORT_NOT_FOUND', exitCode: 3 })
})

test.each([
  [['list', 'nobody'], 'TENANCY_TENANT_NOT_FOUND', 3],
  [['delete', 'acme', nobodyId, '--yes'], 'TENANCY_EXPORT_NOT_FOUND', 3],
  [['delete', 'acme', 'x', '--yes'], 'TENANCY_REQUEST_INVALID', 2],
  [['delete', 'acme', '--yes'], 'CLI_USAGE', 2],
])('export %j is refused with %s', async (words, code, exitCode) => {
  expect(await cli.failure('export', ...words)).toMatchObject({ code, exitCode })
})

test('a file that is no archive is refused, and restores nothing', async () => {
  await writeFile(join(cli.folder, 'other.t2fb'), 'not an archive')
  const words = ['tenant', 'restore', 'other.t2fb', '--tenant', 'acme', '--yes']
  expect(await cli.failure(...words)).toMatchObject({ code: 'TENANCY_BACKUP_INVALID', exitCode: 2 })
  expect((await cli.tenancy.getTenant('acme')).databaseId).toBe(tenant.databaseId)
})

test('the backup of an operator needs no export, for a deleted tenant as well', async () => {
  const gone = await cli.createTenant('gone')
  await cli.tenancy.deleteTenant({ tenant: gone.id })
  const words = ['tenant', 'backup', 'gone', '--to', 'gone-backup']
  expect((await cli.failure(...words)).exitCode).toBe(4)
  expect(await cli.json(...words, '--allow-deleted')).toMatchObject({ tenant: { slug: 'gone' }, rows: 0 })
})
