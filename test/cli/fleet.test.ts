import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { checkFleet } from '../../src/cli/fleet/check.js'
import { startNode } from '../support/processes/node-process.js'
import { notesSchema } from '../support/installation.js'
import { withAdmin } from '../support/server.js'
import { problemsOfShape } from './shape-check.js'
import { type CliInstallation, createCliInstallation, program } from './installation-fixture.js'

let cli: CliInstallation
let schema: string
beforeAll(async () => {
  schema = await mkdtemp(join(tmpdir(), 't2f-cli-schema-'))
  await cp(notesSchema, schema, { recursive: true })
  cli = await createCliInstallation({ TENANT_SCHEMA_DIR: schema, TENANT_SCHEMA_BEHIND: 'refuse' })
  for (const slug of ['one', 'two', 'three']) await cli.createTenant(slug)
})
afterAll(async () => {
  await cli.drop()
  await rm(schema, { recursive: true })
})

/** Works in a tenant's database as the superuser. */
async function inDatabase<Result>(slug: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const { rows } = await withAdmin(
    (admin) =>
      admin.query<{ name: string }>(
        'select database.name from tenant_databases as database join tenants on database_id = database.id where slug = $1',
        [slug],
      ),
    cli.installation.catalogName,
  )
  return withAdmin(work, rows[0]!.name)
}

const operator = `${userInfo().username}@${hostname()}`
const migrate = (...words: string[]) => cli.run(['migrate', 'up', ...words])

describe('migrate new', () => {
  test('the next file is made, with one that takes it back', async () => {
    const made = (await cli.text('migrate', 'new', 'add_colour', '--down')).trimEnd().split('\n')
    expect(made).toEqual(['0002_add_colour.sql', '0002_add_colour.down.sql'].map((name) => join(schema, name)))
    expect(await readFile(made[0]!, 'utf8')).toBe('')
    const { files } = await cli.json<{ files: string[] }>('migrate', 'new', 'an-index', '--no-transaction')
    expect(files).toEqual([join(schema, '0003_an-index.sql')])
    expect(await readFile(files[0]!, 'utf8')).toBe('-- no-transaction\n\n')
    for (const file of [...made, ...files]) await rm(file)
    expect(await readdir(schema)).toEqual(['0001_notes.sql'])
  })

  test.each([['../evil'], ['a b'], [''], ['x'.repeat(101)]])('a bad name is refused: %j', async (name) => {
    expect(await cli.failure('migrate', 'new', name)).toMatchObject({ code: 'CLI_USAGE', exitCode: 2 })
  })

  test('the folder of another tool is left to that tool, and without a folder it says what to set', async () => {
    await writeFile(join(schema, 'migration_lock.toml'), '')
    const refused = await cli.failure('migrate', 'new', 'x')
    await rm(join(schema, 'migration_lock.toml'))
    expect(refused).toMatchObject({
      code: 'CLI_CONFIG_INVALID',
      message: expect.stringContaining('prisma migrate dev'),
    })
    for (const [kind, says] of [
      ['drizzle-folders', 'drizzle-kit generate'],
      ['drizzle-journal', 'drizzle-kit generate'],
      ['kysely', 'Kysely'],
    ] as const) {
      const folder = join('test/schema/fixtures', kind)
      const before = await readdir(folder)
      const { code, stderr } = await cli.run(['migrate', 'new', 'x'], { TENANT_SCHEMA_DIR: resolve(folder) })
      expect([code, stderr]).toEqual([2, expect.stringContaining(says)])
      expect(await readdir(folder)).toEqual(before)
    }
    const { code, stderr } = await cli.run(['migrate', 'new', 'x'], { TENANT_SCHEMA_DIR: '' })
    expect([code, stderr.includes('TENANT_SCHEMA_DIR')]).toEqual([2, true])
  })
})

describe('migrate status and up', () => {
  test('a fleet that is up to date has nothing to do', async () => {
    expect(await cli.json('migrate', 'status')).toEqual({
      ...{ version: 1, versions: [{ version: 1, tenants: 3 }] },
      ...{ behind: 0, tenantsBehind: [], failed: 0, tenantsFailed: [] },
    })
    expect(await cli.text('migrate', 'up', '--dry-run')).toBe('Nothing to do: every tenant is at 1\n')
    expect(await cli.text('migrate', 'up')).toMatch(/^0 migrated to 1, 3 current, 0 failed, 0 skipped in \d+ ms\n$/)
  })

  test('a new file is announced, applied to one and then to all, and recorded with the operator', async () => {
    await writeFile(join(schema, '0002_colour.sql'), 'alter table notes add column colour text;')
    expect(await cli.text('migrate', 'status')).toContain('one\t1\n')
    expect(await cli.json('migrate', 'up', '--dry-run', '--tenant', 'two')).toMatchObject({
      dryRun: true,
      skipped: 1,
      pending: [{ slug: 'two', files: ['0002_colour.sql'] }],
    })
    expect(await cli.text('migrate', 'up', '--dry-run')).toContain('three\t0002_colour.sql\n')
    expect(await cli.json('migrate', 'up', '--tenant', 'two')).toMatchObject({ version: 2, migrated: 1, stopped: null })
    expect(await cli.text('migrate', 'up', '--canary', '1%', '--parallelism', '1', '--verify')).toMatch(
      /^2 migrated to 2, 1 current, 0 failed/,
    )
    expect((await cli.tenancy.audit.list({ tenant: null, limit: 1000 })).at(-1)).toMatchObject({
      action: 'fleet.migrate',
      operator,
    })
  })

  test('tenants that fail are named with their reason, the others are migrated, and the exit code is 1', async () => {
    await inDatabase('two', (client) => client.query('create table labels ()'))
    await writeFile(join(schema, '0003_labels.sql'), 'create table labels (id int);')
    const { code, stdout } = await migrate()
    expect(code).toBe(1)
    expect(stdout).toMatch(/^2 migrated to 3, 0 current, 1 failed, 0 skipped/)
    expect(stdout).toMatch(/\ntwo\tTENANCY_DATABASE_SCHEMA_FAILED\t.*labels/)
    const run = await migrate('--json', '--stop-after', '1')
    const report = JSON.parse(run.stdout) as { stopped: string; failures: object[]; failed: number }
    expect([run.code, report]).toMatchObject([
      1,
      { failed: 1, failures: [{ slug: 'two', code: 'TENANCY_DATABASE_SCHEMA_FAILED' }] },
    ])
    expect(await cli.json('migrate', 'status')).toMatchObject({
      ...{ behind: 1, failed: 1 },
      tenantsFailed: [{ slug: 'two', file: '0003_labels.sql', attempts: 2 }],
    })
    expect(await cli.text('migrate', 'status')).toMatch(/\ntwo\t[^\t]+\t2\tTENANCY_DATABASE_SCHEMA_FAILED\t/)
    await inDatabase('two', (client) => client.query('drop table labels'))
    expect(await cli.text('migrate', 'up')).toMatch(/^1 migrated to 3, 2 current/)
  })

  test('migrate down asks, undoes the newest migration of one tenant, and is finished by migrate up', async () => {
    await writeFile(join(schema, '0003_labels.down.sql'), 'drop table labels;')
    expect(await cli.failure('migrate', 'down', '--tenant', 'two')).toMatchObject({ code: 'CLI_NOT_CONFIRMED' })
    expect(await cli.json('migrate', 'down', '--tenant', 'two', '--yes')).toMatchObject({
      ...{ version: 2, migrations: ['0003_labels.sql'], reverted: 1, failed: 0, stopped: null },
    })
    expect(await cli.json('migrate', 'status')).toMatchObject({ behind: 1 })
    expect(await cli.text('migrate', 'up')).toMatch(/^1 migrated to 3, 2 current/)
    const refused = await cli.failure('migrate', 'down', '--last', '2', '--yes')
    expect(refused).toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_IRREVERSIBLE' })
    await rm(join(schema, '0003_labels.down.sql'))
  })

  test('only tenants with a label are migrated and checked', async () => {
    await cli.tenancy.setTenantLabels({ tenant: 'three', labels: ['beta'] })
    expect(await cli.json('migrate', 'up', '--label', 'beta', '--verify')).toMatchObject({ current: 1, migrated: 0 })
    expect(await cli.json('fleet', 'check', '--label', 'beta')).toMatchObject({ databases: 1, same: 1 })
    expect(await cli.failure('migrate', 'up', '--label', 'no label')).toMatchObject({ exitCode: 2 })
  })

  test('a file that does not run stops the run at the template, before any tenant', async () => {
    await writeFile(join(schema, '0004_broken.sql'), 'create tabel x ();')
    // What does not apply it goes on.
    expect(await cli.json('migrate', 'status')).toMatchObject({ version: 4, behind: 3 })
    expect(await cli.text('fleet', 'exec', 'select 1 as one', '--tenant', 'one')).toContain('one')
    const { code, stderr } = await migrate()
    await rm(join(schema, '0004_broken.sql'))
    expect([code, stderr.includes('TENANCY_DATABASE_SCHEMA_FAILED')]).toEqual([1, true])
    expect(await cli.json('migrate', 'status')).toMatchObject({ versions: [{ version: 3, tenants: 3 }] })
  })

  test.each([
    [['--canary', '0'], 'CLI_USAGE', 2],
    [['--canary', '101%'], 'CLI_USAGE', 2],
    [['--parallelism', '65'], 'CLI_USAGE', 2],
    [['--stop-after', 'x'], 'CLI_USAGE', 2],
    [['--tenant', 'nobody'], 'TENANCY_TENANT_NOT_FOUND', 3],
  ])('migrate up %j is refused with %s', async (words, code, exitCode) => {
    expect(await cli.failure('migrate', 'up', ...words)).toMatchObject({ code, exitCode })
  })

  test('the first interruption lets the tenant under way finish and says what is left, and the next run goes on', async () => {
    await writeFile(join(schema, '0004_slow.sql'), 'select pg_advisory_xact_lock(72);')
    const child = await inDatabase('one', async (client) => {
      await client.query('select pg_advisory_lock(72)')
      const started = startNode([program, 'migrate', 'up', '--parallelism', '1'], {
        cwd: cli.folder,
        env: { ...cli.installation.env },
      })
      const isWaiting = async () =>
        (
          await client.query(
            "select from pg_locks where locktype = 'advisory' and objid = 72 and not granted and database = (select oid from pg_database where datname = current_database())",
          )
        ).rows.length > 0
      await vi.waitFor(async () => expect(await isWaiting()).toBe(true), { timeout: 60_000, interval: 20 })
      started.kill('SIGINT')
      await vi.waitFor(() => expect(started.stderr).toContain('Stopping at the next safe point'), 10_000)
      await client.query('select pg_advisory_unlock(72)')
      return started
    })
    expect(await child.ended).toBe(130)
    expect(child.stdout).toContain('1 migrated to 4')
    expect(child.stdout).toContain('Interrupted: 2 tenants were not begun')
    expect(await cli.text('migrate', 'up')).toMatch(/^2 migrated to 4, 1 current, 0 failed/)
  })

  test('a second interruption ends the program at once, and the next run finishes', async () => {
    await writeFile(join(schema, '0005_slow.sql'), 'select pg_advisory_xact_lock(72);')
    await inDatabase('one', async (client) => {
      await client.query('select pg_advisory_lock(72)')
      const child = startNode([program, 'migrate', 'up', '--parallelism', '1', '--lock-timeout', '60000'], {
        cwd: cli.folder,
        env: { ...cli.installation.env },
      })
      const waiting = "select from pg_stat_activity where wait_event = 'advisory' and datname = current_database()"
      await vi.waitFor(async () => expect((await client.query(waiting)).rows).toHaveLength(1), {
        timeout: 60_000,
        interval: 20,
      })
      child.kill('SIGINT')
      await vi.waitFor(() => expect(child.stderr).toContain('Stopping at the next safe point'), 10_000)
      child.kill('SIGINT')
      expect(await child.ended).toBe(130)
      await client.query('select pg_advisory_unlock(72)')
    })
    expect(await cli.text('migrate', 'up')).toMatch(/ 0 failed/)
    expect(await cli.json('migrate', 'status')).toMatchObject({ versions: [{ version: 5, tenants: 3 }] })
  })
})

describe('fleet check', () => {
  test('a fleet without differences is the same, and a difference is shown', async () => {
    expect(await cli.text('fleet', 'check')).toBe('3 databases: 3 the same, 0 different\n')
    await inDatabase('two', (client) =>
      client.query('create index by_hand on notes (id); alter table notes drop column colour'),
    )
    const { code, stdout } = await cli.run(['fleet', 'check'])
    expect(code).toBe(1)
    expect(stdout).toContain('two\ntable public.notes\n')
    expect(stdout).toContain('  - column colour: text')
    expect(stdout).toContain('  + index by_hand: CREATE INDEX by_hand')
    expect(stdout).toContain('3 databases: 2 the same, 1 different\n')
    const run = await cli.run(['fleet', 'check', '--json', '--tenant', 'two'])
    expect(run.code).toBe(1)
    const report: unknown = JSON.parse(run.stdout)
    expect(problemsOfShape(checkFleet.json, report)).toEqual([])
    expect(report).toMatchObject({ databases: 1, different: 1, differentTenants: [{ slug: 'two' }] })
    expect(await cli.json('fleet', 'check', '--tenant', 'one')).toMatchObject({ databases: 1, same: 1 })
    expect(await cli.failure('fleet', 'check', '--tenant', 'nobody')).toMatchObject({ exitCode: 3 })
    expect(await cli.failure('fleet', 'check', '--parallelism', '99')).toMatchObject({ exitCode: 2 })
  })
})
