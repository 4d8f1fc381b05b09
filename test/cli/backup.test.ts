import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { withAdmin } from '../support/server.js'
import { type CliInstallation, createCliInstallation } from './installation-fixture.js'

let cli: CliInstallation
let tenant: Tenant
beforeAll(async () => {
  cli = await createCliInstallation()
  tenant = await cli.createTenant('acme')
  await write('before')
})
afterAll(() => cli.drop())

/** Works in the database of acme as the superuser. */
async function inDatabase(sql: string): Promise<void> {
  const { rows } = await withAdmin(
    (admin) =>
      admin.query<{ name: string }>(
        "select database.name from tenant_databases as database join tenants on database_id = database.id where slug = 'acme'",
      ),
    cli.installation.catalogName,
  )
  await withAdmin((admin) => admin.query(sql), rows[0]!.name)
}

const operator = `${userInfo().username}@${hostname()}`
const notes = async (slug: string) => {
  const pool = cli.tenancy.getTenantPool(await cli.tenancy.getTenant(slug))
  return (await pool.query<{ body: string }>('select body from notes order by id')).rows.map(({ body }) => body)
}

async function write(body: string): Promise<void> {
  await cli.tenancy
    .getTenantPool(tenant)
    .query('insert into notes (author, body) values ($1, $2)', [cli.owner.id, body])
}

test('a backup is written, restored beside what came after it, and swapped back', async () => {
  expect(await cli.text('tenant', 'backup', 'acme', '--to', 'one', '--method', 'copy')).toMatch(
    /^Wrote 1 table, 1 row \(.*\) of acme at .* to one\n$/,
  )
  expect((await cli.tenancy.audit.list({ tenant: 'acme', limit: 1000 })).at(-1)).toMatchObject({ operator })
  expect(await readdir(join(cli.folder, 'one'))).toContain('manifest.json')
  await write('after')
  const words = ['tenant', 'restore', 'one', '--tenant', 'acme']
  expect(await cli.failure(...words)).toMatchObject({ code: 'CLI_NOT_CONFIRMED', exitCode: 4 })
  expect(await notes('acme')).toEqual(['before', 'after'])
  expect(await cli.json(...words, '--yes', '--keep-days', '3')).toMatchObject({
    ...{ tenant: { slug: 'acme' }, replacedDatabaseId: tenant.databaseId, rows: 1 },
  })
  expect(await notes('acme')).toEqual(['before'])
  expect(await cli.failure('tenant', 'swap-back', 'acme')).toMatchObject({ code: 'CLI_NOT_CONFIRMED' })
  expect(await cli.text('tenant', 'swap-back', 'acme', '--yes')).toBe('acme has its earlier database back\n')
  expect(await notes('acme')).toEqual(['before', 'after'])
  expect(await cli.json('tenant', 'swap-back', 'acme', '--yes')).toMatchObject({ tenant: { id: tenant.id } })
  expect(await notes('acme')).toEqual(['before'])
})

test('a backup becomes a tenant of its own', async () => {
  await cli.json('tenant', 'backup', 'acme', '--to', 'two')
  expect(
    await cli.text('tenant', 'restore', 'two', '--new-tenant', 'copy', '--owner', 'dana@example.com', '--name', 'Copy'),
  ).toMatch(/^Restored 1 table, 1 row of .* as copy\n$/)
  expect(await notes('copy')).toEqual(['before'])
})

test('what is not made again, and the way back, are in the output for a pipe', async () => {
  await inDatabase('create index by_hand on notes (lower(body)); grant select on notes to public')
  await cli.json('tenant', 'backup', 'acme', '--to', 'by-hand')
  const text = await cli.text('tenant', 'restore', 'by-hand', '--tenant', 'acme', '--yes')
  expect(text).toContain('Not in the schema files, and so not made again:\n')
  expect(text).toContain('  index by_hand of table public.notes: CREATE INDEX by_hand ON public.notes')
  expect(text).toMatch(/\n {2}grant .* of table public\.notes\n/)
  expect(text).toContain('\nBring it back until then: tenants2fast tenant swap-back acme\n')
})

test('a backup that a restore would refuse says so, and the restore says how to go on', async () => {
  await inDatabase('create table hand (id int); insert into hand values (1)')
  expect(await cli.text('tenant', 'backup', 'acme', '--to', 'hand')).toContain(
    'Warning: tenant restore will refuse this backup:\n  the table "public"."hand" is not in the schema files\n',
  )
  const words = ['tenant', 'restore', 'hand', '--tenant', 'acme', '--yes']
  expect(await cli.failure(...words)).toMatchObject({
    ...{ code: 'TENANCY_DATABASE_COPY_REFUSED', message: expect.stringContaining('--leave-out-unknown') },
  })
  expect(await cli.text(...words, '--leave-out-unknown')).toContain('\n  table public.hand\n')
})

test.each([
  [['backup', 'acme'], 'CLI_USAGE', 2],
  [['backup', 'nobody', '--to', 'three'], 'TENANCY_TENANT_NOT_FOUND', 3],
  [['backup', 'acme', '--to', 'three', '--method', 'tar'], 'CLI_USAGE', 2],
  [['backup', 'acme', '--to', 'one'], 'TENANCY_BACKUP_EXISTS', 4],
  [['restore', 'one', '--yes'], 'CLI_USAGE', 2],
  [['restore', 'one', '--tenant', 'acme', '--new-tenant', 'x', '--yes'], 'CLI_USAGE', 2],
  [['restore', 'one', '--new-tenant', 'other', '--yes'], 'CLI_USAGE', 2],
  [['restore', 'one', '--tenant', 'acme', '--identity-file', 'nothing', '--yes'], 'CLI_NOT_FOUND', 3],
  [['restore', 'one', '--tenant', 'nobody', '--yes'], 'TENANCY_TENANT_NOT_FOUND', 3],
  [['restore', 'nothing', '--tenant', 'acme', '--yes'], 'CLI_NOT_FOUND', 3],
  [['restore', '.', '--tenant', 'acme', '--yes'], 'TENANCY_BACKUP_INVALID', 2],
  [['swap-back', 'nobody', '--yes'], 'TENANCY_TENANT_NOT_FOUND', 3],
])('tenant %j is refused with %s', async (words, code, exitCode) => {
  expect(await cli.failure('tenant', ...words)).toMatchObject({ code, exitCode })
  expect(existsSync(join(cli.folder, 'three'))).toBe(false)
})

test('a tenant that was never restored has nothing to swap', async () => {
  await cli.createTenant('fresh')
  expect(await cli.failure('tenant', 'swap-back', 'fresh', '--yes')).toMatchObject({
    ...{ code: 'TENANCY_TENANT_STATE_CONFLICT', exitCode: 4 },
  })
})
