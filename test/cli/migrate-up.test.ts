import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { withAdmin } from '../support/server.js'
import { type CliInstallation, createCliInstallation } from './installation-fixture.js'

const first = '0001_items.sql'

let cli: CliInstallation
let schema: string
beforeAll(async () => {
  schema = await mkdtemp(join(tmpdir(), 't2f-cli-up-'))
  await writeFile(join(schema, first), 'create table items (id integer primary key, name text);')
  cli = await createCliInstallation({ TENANT_SCHEMA_DIR: schema, TENANT_SCHEMA_BEHIND: 'serve' })
  for (const slug of ['one', 'two', 'three']) await cli.createTenant(slug)
})
afterAll(async () => {
  await cli.drop()
  await rm(schema, { recursive: true })
})

/** Works in a tenant's database as the superuser. */
async function inDatabase(slug: string, sql: string): Promise<void> {
  const { rows } = await withAdmin(
    (admin) =>
      admin.query<{ name: string }>(
        'select database.name from tenant_databases as database join tenants on database_id = database.id where slug = $1',
        [slug],
      ),
    cli.installation.catalogName,
  )
  await withAdmin((admin) => admin.query(sql), rows[0]!.name)
}

const file = (name: string, text: string) => writeFile(join(schema, name), text)
const manifestOf = async (folder: string) =>
  (JSON.parse(await readFile(join(cli.folder, folder, 'manifest.json'), 'utf8')) as { manifest: object }).manifest

interface UpReport {
  readonly migrated: number
  readonly failed: number
  readonly backup: {
    readonly made: number
    readonly backups: readonly { readonly slug: string; readonly path: string }[]
  }
}

describe('migrate up --backup', () => {
  test('with nothing that rewrites pending, it says so and makes none', async () => {
    await file('0002_note.sql', 'alter table items add column note text;')
    const { code, stderr } = await cli.run(['migrate', 'up', '--backup', 'none', '--tenant', 'one'])
    expect([code, stderr]).toEqual([0, expect.stringContaining('no backup is made')])
    expect(await cli.json('migrate', 'up', '--backup', 'none')).toMatchObject({
      ...{ migrated: 2, failed: 0, backup: { folder: 'none', files: [], made: 0, backups: [] } },
    })
    expect(existsSync(join(cli.folder, 'none'))).toBe(false)
  })

  test('a dry run names the files that need one, and makes nothing', async () => {
    await file('0003_bigger.sql', 'alter table items alter id type bigint;')
    expect(await cli.json('migrate', 'up', '--backup', 'made', '--dry-run')).toMatchObject({
      backup: {
        files: [{ file: '0003_bigger.sql', reasons: [expect.stringContaining('from int4 to int8')] }],
        made: 0,
      },
    })
    expect(existsSync(join(cli.folder, 'made'))).toBe(false)
  })

  test('each tenant that gets such a file is backed up first, and can be restored from it', async () => {
    const report = await cli.json<UpReport>('migrate', 'up', '--backup', 'made', '--canary', '1')
    expect(report).toMatchObject({ migrated: 3, failed: 0, backup: { made: 3 } })
    expect(report.backup.backups.map(({ slug }) => slug).toSorted()).toEqual(['one', 'three', 'two'])
    const folders = (await readdir(join(cli.folder, 'made'))).map((name) => join('made', name))
    expect(folders.toSorted()).toEqual(report.backup.backups.map(({ path }) => path).toSorted())
    // As it was before the file.
    for (const folder of folders) expect(await manifestOf(folder)).toMatchObject({ schema: { version: 2 } })
    const backup = report.backup.backups.find(({ slug }) => slug === 'one')!
    const restored = await cli.text('tenant', 'restore', backup.path, '--tenant', 'one', '--yes')
    expect(restored).toContain('Its schema has the version 2; pending: 0003_bigger.sql\n')
    expect(restored).toContain('With TENANT_SCHEMA_BEHIND=migrate, its next request applies them again')
  })

  test('a tenant whose backup fails is not migrated and counts as failed, and the next run goes on', async () => {
    await file('0004_smaller.sql', 'alter table items drop column note;')
    await cli.json('migrate', 'up', '--tenant', 'one', '--tenant', 'two')
    const { code, stdout } = await cli.run([
      'migrate',
      'up',
      '--json',
      '--backup',
      'locked',
      '--backup-key',
      'nonsense',
    ])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ migrated: 0, failed: 1, failures: [{ slug: 'three' }], backup: { made: 0 } },
    })
    expect(await cli.json('migrate', 'status')).toMatchObject({ behind: 1 })
  })

  test('backups are encrypted to the given keys', async () => {
    const identity = await generateX25519Identity()
    const key = await identityToRecipient(identity)
    const report = await cli.json<UpReport>('migrate', 'up', '--backup', 'locked', '--backup-key', key)
    expect(report).toMatchObject({ migrated: 1, failed: 0, backup: { made: 1 } })
    expect(await manifestOf(report.backup.backups[0]!.path)).toMatchObject({ isEncrypted: true })
  })

  test('a tenant whose backup a restore would refuse is not migrated and counts as failed, unless that is allowed', async () => {
    await inDatabase('two', 'create table by_hand (id int); create sequence by_hand_seq')
    await file('0005_larger.sql', 'alter table items alter name type varchar(20);')
    const { code, stdout } = await cli.run(['migrate', 'up', '--json', '--backup', 'hand'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ migrated: 2, failed: 1, backup: { made: 3 } },
      failures: [{ slug: 'two', message: expect.stringContaining('"by_hand_seq" is not in the schema files') }],
    })
    expect(await cli.json('migrate', 'status')).toMatchObject({ tenantsBehind: [{ slug: 'two' }] })
    expect(await cli.json('migrate', 'up', '--backup', 'hand-2', '--backup-anyway')).toMatchObject({ migrated: 1 })
    expect(await cli.failure('migrate', 'up', '--backup-anyway')).toMatchObject({ code: 'CLI_USAGE' })
    await inDatabase('two', 'drop table by_hand; drop sequence by_hand_seq')
  })

  test('without the parser of the linter, it says what that is needed for, and nothing runs', async () => {
    await file('0006_drop.sql', 'alter table items drop column name;')
    const hook =
      'export async function resolve(name, at, next) { if (name === "libpg-query") throw new Error(); return next(name, at) }'
    await writeFile(
      join(cli.folder, 'no-parser.mjs'),
      `import { register } from 'node:module'; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)})`,
    )
    const env = { NODE_OPTIONS: `--import ${join(cli.folder, 'no-parser.mjs')}` }
    const { code, stderr } = await cli.run(['migrate', 'up', '--backup', 'unjudged'], env)
    expect([code, stderr]).toEqual([2, expect.stringContaining('asks the linter which pending files')])
    expect(stderr).toContain('npm install libpg-query@18')
    expect(await cli.json('migrate', 'status')).toMatchObject({ behind: 3 })
    await rm(join(schema, '0006_drop.sql'))
  })

  test('a folder that cannot be made, and a key without a folder, are refused before anything runs', async () => {
    await file('0006_drop.sql', 'drop table items;')
    await writeFile(join(cli.folder, 'a-file'), '')
    expect(await cli.failure('migrate', 'up', '--backup', 'a-file/x')).toMatchObject({ code: 'CLI_USAGE', exitCode: 2 })
    expect(await cli.failure('migrate', 'up', '--backup-key', 'age1x')).toMatchObject({ code: 'CLI_USAGE' })
    expect(await cli.json('migrate', 'status')).toMatchObject({ behind: 3 })
    await rm(join(schema, '0006_drop.sql'))
  })
})

describe('the estimate of the last rehearsal', () => {
  test('is shown before the run of all tenants and beside what it took, and is in the report and the audit log', async () => {
    await file('0006_colour.sql', 'alter table items add column colour text;')
    await cli.json('migrate', 'rehearse', '--tenants', '1')
    const one = await cli.run(['migrate', 'up', '--tenant', 'one'])
    expect([one.code, one.stderr]).toEqual([0, ''])
    expect(await cli.json('migrate', 'up', '--dry-run')).toMatchObject({ skipped: 2, estimate: { tenants: 3 } })
    const { code, stdout, stderr } = await cli.run(['migrate', 'up'])
    expect(code).toBe(0)
    expect(stderr).toMatch(/^The rehearsal of \S+Z estimated 3 tenants in about \d+ m?s\.\n$/)
    expect(stdout).toMatch(/^2 migrated to 6.*\nEstimated: 3 tenants in about \d+ m?s; it took \d+ m?s\n$/)
    expect((await cli.tenancy.audit.list({ tenant: null, limit: 1000 })).at(-1)).toMatchObject({
      ...{ action: 'fleet.migrate', after: { estimate: { tenants: 3 } } },
    })
  })

  test('is not shown where nothing is pending, or of another file', async () => {
    expect(await cli.run(['migrate', 'up'])).toMatchObject({ code: 0, stderr: '' })
    await file('0007_size.sql', 'alter table items add column size int;')
    const report = await cli.json('migrate', 'up')
    expect(report).toMatchObject({ migrated: 3 })
    expect(report).not.toHaveProperty('estimate')
  })

  test('names the problems that the rehearsal found', async () => {
    await file('0008_smaller.sql', 'alter table items alter size type bigint;')
    for (const slug of ['one', 'two']) {
      const tenant = await cli.tenancy.getTenant(slug)
      await cli.tenancy.getTenantPool(tenant).query("insert into items (id, name) values (1, 'first')")
    }
    expect((await cli.run(['migrate', 'rehearse'])).code).toBe(1)
    const { stderr } = await cli.run(['migrate', 'up'])
    expect(stderr).toMatch(/estimated 3 tenants in about \d+ m?s, and named \d problems?\.\n$/)
  })
})

describe('migrate accept', () => {
  test('a changed comment is accepted after the name of the file was typed, or with --yes', async () => {
    await file(first, '-- reviewed\ncreate table items (id integer primary key, name text);')
    // The catalog has this version of all: only their ledgers know.
    expect(await cli.run(['migrate', 'up', '--dry-run'])).toMatchObject({ code: 0 })
    const verified = await cli.run(['migrate', 'up', '--dry-run', '--verify'])
    expect([verified.code, verified.stdout]).toEqual([1, expect.stringMatching(/^3 tenants would fail:\n/)])
    expect(verified.stdout).toContain('0001_items.sql was edited after it was applied')
    expect((await cli.run(['migrate', 'up', '--verify'])).code).toBe(1)
    expect(await cli.failure('migrate', 'accept', first)).toMatchObject({ code: 'CLI_NOT_CONFIRMED', exitCode: 4 })
    expect(await cli.json('migrate', 'accept', first, '--tenant', 'one', '--yes')).toMatchObject({
      ...{ migration: first, accepted: 1, current: 0, failed: 0, stopped: null, failures: [] },
    })
    expect(await cli.text('migrate', 'accept', first, '--yes')).toMatch(
      /^0001_items.sql: 2 accepted, 1 current, 0 failed, 0 skipped in \d+ m?s\nBackups from before can be restored by a release with the earlier text alone/,
    )
    expect(await cli.json('migrate', 'up', '--verify')).toMatchObject({ current: 3, failed: 0 })
  })

  test.each([
    [['0099_nothing.sql', '--yes'], 'CLI_NOT_FOUND', 3],
    [[first, '--tenant', 'nobody', '--yes'], 'TENANCY_TENANT_NOT_FOUND', 3],
    [[first, '--parallelism', '0', '--yes'], 'CLI_USAGE', 2],
  ])('migrate accept %j is refused with %s', async (words, code, exitCode) => {
    expect(await cli.failure('migrate', 'accept', ...words)).toMatchObject({ code, exitCode })
  })

  test('a file that no tenant has is refused', async () => {
    await file('0009_later.sql', 'alter table items add column later text;')
    expect(await cli.failure('migrate', 'accept', '0009_later', '--yes')).toMatchObject({
      ...{ code: 'TENANCY_REQUEST_INVALID', message: expect.stringContaining('was applied to none') },
    })
  })
})

test('an empty file is a warning of the linter, and no error', async () => {
  await file('0010_empty.sql', '')
  expect(await cli.json('migrate', 'lint', '--since', '0010_empty.sql')).toMatchObject({
    findings: [{ rule: 'empty-file', severity: 'warning', message: 'There is no statement in it' }],
  })
  await rm(join(schema, '0010_empty.sql'))
})
