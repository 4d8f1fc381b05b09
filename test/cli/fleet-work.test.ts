import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CliInstallation, createCliInstallation } from './installation-fixture.js'

let cli: CliInstallation
let schema: string
beforeAll(async () => {
  schema = await mkdtemp(join(tmpdir(), 't2f-cli-schema-'))
  await writeFile(join(schema, '0001_items.sql'), 'create table items (id int primary key, name text);')
  cli = await createCliInstallation({ TENANT_SCHEMA_DIR: schema, TENANT_SCHEMA_BEHIND: 'refuse' })
  for (const slug of ['one', 'two']) await cli.createTenant(slug)
})
afterAll(async () => {
  await cli.drop()
  await rm(schema, { recursive: true })
})

test('a statement gives a row for each tenant, and writes only when that is said and confirmed', async () => {
  expect(await cli.text('fleet', 'exec', 'select count(*)::int as items from items', '--parallelism', '1')).toBe(
    'one\t0\ntwo\t0\n',
  )
  const insert = "insert into items values (1, 'x')"
  const refused = await cli.run(['fleet', 'exec', insert])
  expect([refused.code, refused.stdout]).toEqual([1, expect.stringMatching(/read-only transaction: .*--write/)])
  expect(await cli.failure('fleet', 'exec', insert, '--write')).toMatchObject({
    code: 'CLI_NOT_CONFIRMED',
    exitCode: 4,
  })
  expect(await cli.json('fleet', 'exec', insert, '--write', '--yes', '--tenant', 'one')).toMatchObject({
    ...{ done: 1, failed: 0, results: [{ slug: 'one', command: 'INSERT', rowCount: 1 }] },
  })
  expect(await cli.text('fleet', 'exec', 'select name from items')).toBe('one\tx\n')
  expect(await cli.failure('fleet', 'exec')).toMatchObject({ code: 'CLI_USAGE', exitCode: 2 })
  expect(await cli.failure('fleet', 'exec', 'select 1', '--tenant', 'nobody')).toMatchObject({ exitCode: 3 })
})

test('without seeds, it says where they belong', async () => {
  expect(await cli.failure('fleet', 'seed')).toMatchObject({ code: 'TENANCY_CONFIG_INVALID', exitCode: 2 })
  expect(await cli.failure('fleet', 'seed', '--profile', 'x')).toMatchObject({ exitCode: 2 })
})

test('pending migrations are linted and rehearsed before they run', async () => {
  expect(await cli.json('migrate', 'lint')).toMatchObject({ findings: [] })
  await writeFile(join(schema, '0002_index.sql'), 'create index items_name on items (name);')
  const { code, stdout } = await cli.run(['migrate', 'lint', '--since', '0002_index.sql'])
  expect([code, stdout]).toEqual([1, expect.stringContaining('0002_index.sql')])
  expect(await cli.failure('migrate', 'lint', '--since', 'nothing.sql')).toMatchObject({ exitCode: 2 })
  expect(await cli.json('migrate', 'rehearse', '--tenants', '1')).toMatchObject({
    report: { version: 2, problems: [], stopped: null },
  })
})

test('a database that does not exist is not adopted', async () => {
  const words = ['tenant', 'adopt', 'no_such_database', '--slug', 'new-one', '--owner', 'dana@example.com']
  expect(await cli.failure(...words)).toMatchObject({ code: 'CLI_NOT_CONFIRMED', exitCode: 4 })
  expect(await cli.failure(...words, '--schema', 'none', '--yes')).toMatchObject({
    code: 'TENANCY_DATABASE_ADOPT_REFUSED',
  })
})
