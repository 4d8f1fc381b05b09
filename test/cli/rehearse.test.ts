import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CliInstallation, createCliInstallation } from './installation-fixture.js'

let cli: CliInstallation
let schema: string
beforeAll(async () => {
  schema = await mkdtemp(join(tmpdir(), 't2f-cli-rehearse-'))
  await writeFile(join(schema, '0001_items.sql'), 'create table items (id integer primary key, name text);')
  cli = await createCliInstallation({ TENANT_SCHEMA_DIR: schema, TENANT_SCHEMA_BEHIND: 'refuse' })
  for (const slug of ['one', 'two']) {
    const tenant = await cli.createTenant(slug)
    await cli.tenancy.getTenantPool(tenant).query("insert into items values (1, 'first')")
  }
})
afterAll(async () => {
  await cli.drop()
  await rm(schema, { recursive: true })
})

const withFile = async (sql: string, work: () => Promise<void>) => {
  await writeFile(join(schema, '0002_change.sql'), sql)
  await work()
  await rm(join(schema, '0002_change.sql'))
}

describe('migrate lint', () => {
  test('ends with 1 for an error, which it names, and with 0 without one', async () => {
    await withFile('alter table items alter id type bigint;', async () => {
      const { code, stdout } = await cli.run(['migrate', 'lint', '--since', '0002_change.sql'])
      expect(code).toBe(1)
      expect(stdout).toContain('0002_change.sql:1: error: Changing id of items from int4 to int8')
      expect(stdout).toContain('1 error, 0 warnings, 0 allowed, 0 not checked')
    })
    expect(await cli.json('migrate', 'lint')).toMatchObject({ findings: [] })
  })

  test('a file that is not there is refused', async () => {
    expect(await cli.failure('migrate', 'lint', '--since', '0009_x.sql')).toMatchObject({
      code: 'TENANCY_REQUEST_INVALID',
      exitCode: 2,
    })
  })
})

describe('migrate rehearse', () => {
  test('ends with 1 when something speaks against the migration', async () => {
    await withFile('alter table items alter id type bigint;', async () => {
      const { code, stdout } = await cli.run(['migrate', 'rehearse', '--tenants', '1'])
      expect(code).toBe(1)
      expect(stdout).toContain('! writes public.items anew')
      expect(stdout).toMatch(/Problems: 2\.\nEstimate: 2 tenants in about \d+ ms\./)
    })
  })

  test('gives a report for programs, and says what comes next', async () => {
    await withFile('alter table items add column note text;', async () => {
      expect(await cli.json('migrate', 'rehearse')).toMatchObject({
        report: {
          ...{ version: 2, problems: [], stopped: null, estimate: { tenants: 2 } },
          tenants: [{ chosenBy: 'size' }, { chosenBy: 'size' }],
        },
      })
    })
    expect(await cli.text('migrate', 'rehearse')).toContain('there is nothing to rehearse')
  })
})
