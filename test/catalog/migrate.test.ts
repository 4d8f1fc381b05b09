import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pool } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrateCatalog } from '../../src/catalog/migrate.js'
import { createTestDatabase, type TestDatabase } from '../support/catalog.js'

let database: TestDatabase
let folder: string

beforeEach(async () => {
  database = await createTestDatabase()
  folder = await mkdtemp(join(tmpdir(), 't2f-migrate-'))
})

afterEach(async () => {
  await database.drop()
  await rm(folder, { recursive: true })
})

const write = (name: string, sql: string) => writeFile(join(folder, name), sql)
const tableExists = async (name: string) =>
  (await database.pool.query('select to_regclass($1) is not null as found', [name])).rows[0].found as boolean

test('the first run of the migration applies every file of the package, and the second applies none', async () => {
  const applied = await migrateCatalog(database.pool)
  expect(applied[0]).toBe('0001_baseline.sql')
  expect(applied).toEqual(applied.toSorted())
  expect(await migrateCatalog(database.pool)).toEqual([])
  const { rows } = await database.pool.query('select name, checksum from schema_migrations order by version')
  expect(rows.map((row) => row.name)).toEqual(applied)
  expect(rows.every((row) => /^[0-9a-f]{64}$/.test(row.checksum))).toBe(true)
})

test('two processes that migrate at once apply every file once', async () => {
  await write('0001_a.sql', 'create table a (id int); select pg_sleep(0.1)')
  await write('0002_b.sql', 'create table b (id int)')
  const other = new Pool({ connectionString: database.url, max: 2 })
  try {
    const results = await Promise.all([
      migrateCatalog(database.pool, folder),
      migrateCatalog(other, folder),
      migrateCatalog(other, folder),
    ])
    expect(results.flat().toSorted()).toEqual(['0001_a.sql', '0002_b.sql'])
  } finally {
    await other.end()
  }
})

test('a later file is applied on top of the earlier ones', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await migrateCatalog(database.pool, folder)
  await write('0002_b.sql', 'alter table a add column name text')
  expect(await migrateCatalog(database.pool, folder)).toEqual(['0002_b.sql'])
})

test('a file that fails is rolled back completely, named with its line, and can be corrected', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0002_b.sql', "create table b (secret text default 'hunter2');\ncreate table c (id nonsense)")
  const failure = await migrateCatalog(database.pool, folder).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'TENANCY_CATALOG_MIGRATION_FAILED' })
  expect((failure as Error).message).toBe('0002_b.sql, line 2, column 20: type "nonsense" does not exist')
  expect([await tableExists('a'), await tableExists('b')]).toEqual([true, false])
  await write('0002_b.sql', 'create table b (id int)')
  expect(await migrateCatalog(database.pool, folder)).toEqual(['0002_b.sql'])
})

test('a file that is edited after it was applied is refused by name', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await migrateCatalog(database.pool, folder)
  await write('0001_a.sql', 'create table a (id bigint)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toMatchObject({
    code: 'TENANCY_CATALOG_MIGRATION_FAILED',
    message: expect.stringContaining('0001_a.sql was edited'),
  })
})

test('a file whose line ends change counts as the same file', async () => {
  await write('0001_a.sql', 'create table a\n(id int)')
  await migrateCatalog(database.pool, folder)
  await write('0001_a.sql', 'create table a\r\n(id int)')
  expect(await migrateCatalog(database.pool, folder)).toEqual([])
})

test('a file numbered below an applied one is refused', async () => {
  await write('0002_b.sql', 'create table b (id int)')
  await migrateCatalog(database.pool, folder)
  await write('0001_a.sql', 'create table a (id int)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0001_a.sql comes before 0002_b.sql/)
  expect(await tableExists('a')).toBe(false)
})

test('the removal of an applied file is refused', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0002_b.sql', 'create table b (id int)')
  await migrateCatalog(database.pool, folder)
  await rm(join(folder, '0001_a.sql'))
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0001_a.sql was applied .* removed or renamed/)
})

test('a catalog that a newer version has only added to is accepted and left unchanged', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0002_b.sql', 'create table b (id int)')
  await write('0003_c.sql', 'create table c (id int)')
  await migrateCatalog(database.pool, folder)
  const ledger = async () => (await database.pool.query('select * from schema_migrations order by version')).rows
  const before = await ledger()
  await rm(join(folder, '0002_b.sql'))
  await rm(join(folder, '0003_c.sql'))
  expect(await migrateCatalog(database.pool, folder)).toEqual([])
  expect(await ledger()).toEqual(before)
})

test('an edited or renamed file is refused even if a newer version has migrated the catalog', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0002_b.sql', 'create table b (id int)')
  await write('0003_c.sql', 'create table c (id int)')
  await migrateCatalog(database.pool, folder)
  await rm(join(folder, '0003_c.sql'))
  await write('0002_b.sql', 'create table b (id bigint)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toMatchObject({
    code: 'TENANCY_CATALOG_MIGRATION_FAILED',
    message: expect.stringContaining('0002_b.sql was edited'),
  })
  await rm(join(folder, '0002_b.sql'))
  await write('0002_other.sql', 'create table b (id int)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toMatchObject({
    code: 'TENANCY_CATALOG_MIGRATION_FAILED',
    message: expect.stringMatching(/0002_b.sql was applied .* removed or renamed/),
  })
})

test('a file numbered below one that a newer version has applied is refused', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0003_c.sql', 'create table c (id int)')
  await migrateCatalog(database.pool, folder)
  await rm(join(folder, '0003_c.sql'))
  await write('0002_b.sql', 'create table b (id int)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0002_b.sql comes before 0003_c.sql/)
  expect(await tableExists('b')).toBe(false)
})

test('a catalog whose newer file removes what this version needs is refused, and a version without that need starts', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0002_b.sql', 'create table b (id int)')
  await write('0003_drop_a_after_0002.sql', 'drop table a')
  await migrateCatalog(database.pool, folder)
  await rm(join(folder, '0003_drop_a_after_0002.sql'))
  expect(await migrateCatalog(database.pool, folder)).toEqual([])
  await rm(join(folder, '0002_b.sql'))
  await expect(migrateCatalog(database.pool, folder)).rejects.toMatchObject({
    code: 'TENANCY_CATALOG_NEWER',
    message:
      'A newer version of tenants2fast has applied 0003_drop_a_after_0002.sql to the catalog, ' +
      'and the last file of this one is 0001_a.sql: run a version that has 0002',
  })
})

test.each(['0003_drop_a_after_2.sql', '0003_drop_a.sql', '0003_drop_a_AFTER_0002.sql', '0003_remove_after_0002_b.sql'])(
  'a newer file whose name speaks of a removal without saying since when is refused: %s',
  async (name) => {
    await write('0001_a.sql', 'create table a (id int)')
    await write('0002_b.sql', 'create table b (id int)')
    await write(name, 'drop table a')
    await migrateCatalog(database.pool, folder)
    await rm(join(folder, name))
    await expect(migrateCatalog(database.pool, folder)).rejects.toMatchObject({ code: 'TENANCY_CATALOG_NEWER' })
  },
)

test('a catalog from before the baseline is refused by a code of its own that names the way out, and is left unchanged', async () => {
  await database.pool.query(
    `create table users (id uuid primary key);
     create table schema_migrations (
       version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now()
     );
     insert into schema_migrations (version, name, checksum) values (1, '0001_catalog.sql', 'a'), (2, '0002_access.sql', 'b'),
       (18, '0018_epochs_and_anchors.sql', 'c')`,
  )
  await expect(migrateCatalog(database.pool)).rejects.toMatchObject({
    code: 'TENANCY_CATALOG_OUTDATED',
    message:
      `The catalog in database "${database.databaseName}" was made by a version before the first release ` +
      '(0001_catalog.sql), and nothing migrates it: name a new database in TENANT_CATALOG_DB or, ' +
      'without a server of your own, a new folder in TENANT_DATA_DIR',
  })
  const { rows } = await database.pool.query(
    "select table_name as name from information_schema.tables where table_schema = 'public' order by 1",
  )
  expect(rows).toEqual([{ name: 'schema_migrations' }, { name: 'users' }])
  expect((await database.pool.query('select version from schema_migrations')).rowCount).toBe(3)
})

test('a migration file that commits is refused', async () => {
  await write('0001_a.sql', 'create table a (id int); commit; begin; create table b (id int)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0001_a.sql ends its transaction/)
  expect(await tableExists('b')).toBe(false)
})

test('all problems of a folder of migrations are named at once', async () => {
  await write('0001_a.sql', 'select 1')
  await write('0001_b.sql', 'select 1')
  await write('2_c.sql', 'select 1')
  await write('notes.txt', 'not SQL')
  const failure = await migrateCatalog(database.pool, folder).catch((error: unknown) => error as Error)
  expect(failure).toMatchObject({ code: 'TENANCY_CATALOG_MIGRATION_FAILED' })
  expect((failure as Error).message).toMatch(/0001_a.sql and 0001_b.sql have the same number; 2_c.sql is not named/)
})

test('a missing folder of migrations and text that is not UTF-8 are refused', async () => {
  await expect(migrateCatalog(database.pool, join(folder, 'missing'))).rejects.toThrow(/missing cannot be read/)
  await writeFile(join(folder, '0001_a.sql'), Buffer.from([0xff, 0xfe, 0x00]))
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0001_a.sql cannot be read as UTF-8/)
})
