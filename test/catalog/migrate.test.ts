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

test('the first run applies every file of the package, the second none', async () => {
  const applied = await migrateCatalog(database.pool)
  expect(applied[0]).toBe('0001_catalog.sql')
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

test('a file that fails is rolled back whole, named with its line, and can be corrected', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0002_b.sql', "create table b (secret text default 'hunter2');\ncreate table c (id nonsense)")
  const failure = await migrateCatalog(database.pool, folder).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'TENANCY_CATALOG_MIGRATION_FAILED' })
  expect((failure as Error).message).toBe('0002_b.sql, line 2, column 20: type "nonsense" does not exist')
  expect([await tableExists('a'), await tableExists('b')]).toEqual([true, false])
  await write('0002_b.sql', 'create table b (id int)')
  expect(await migrateCatalog(database.pool, folder)).toEqual(['0002_b.sql'])
})

test('an edited file that was applied is refused by name', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await migrateCatalog(database.pool, folder)
  await write('0001_a.sql', 'create table a (id bigint)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toMatchObject({
    code: 'TENANCY_CATALOG_MIGRATION_FAILED',
    message: expect.stringContaining('0001_a.sql was edited'),
  })
})

test('line ends do not make a file another one', async () => {
  await write('0001_a.sql', 'create table a\n(id int)')
  await migrateCatalog(database.pool, folder)
  await write('0001_a.sql', 'create table a\r\n(id int)')
  expect(await migrateCatalog(database.pool, folder)).toEqual([])
})

test('a file below one that was applied is refused', async () => {
  await write('0002_b.sql', 'create table b (id int)')
  await migrateCatalog(database.pool, folder)
  await write('0001_a.sql', 'create table a (id int)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0001_a.sql comes before 0002_b.sql/)
  expect(await tableExists('a')).toBe(false)
})

test('a removed file that was applied is refused', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0002_b.sql', 'create table b (id int)')
  await migrateCatalog(database.pool, folder)
  await rm(join(folder, '0001_a.sql'))
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0001_a.sql was applied .* removed or renamed/)
})

test('a catalog that a newer version migrated is left alone', async () => {
  await write('0001_a.sql', 'create table a (id int)')
  await write('0002_b.sql', 'create table b (id int)')
  await migrateCatalog(database.pool, folder)
  await rm(join(folder, '0002_b.sql'))
  await expect(migrateCatalog(database.pool, folder)).rejects.toMatchObject({ code: 'TENANCY_CATALOG_NEWER' })
})

test('a file that commits is refused', async () => {
  await write('0001_a.sql', 'create table a (id int); commit; begin; create table b (id int)')
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0001_a.sql ends its transaction/)
  expect(await tableExists('b')).toBe(false)
})

test('all problems of a folder are named at once', async () => {
  await write('0001_a.sql', 'select 1')
  await write('0001_b.sql', 'select 1')
  await write('2_c.sql', 'select 1')
  await write('notes.txt', 'not SQL')
  const failure = await migrateCatalog(database.pool, folder).catch((error: unknown) => error as Error)
  expect(failure).toMatchObject({ code: 'TENANCY_CATALOG_MIGRATION_FAILED' })
  expect((failure as Error).message).toMatch(/0001_a.sql and 0001_b.sql have the same number; 2_c.sql is not named/)
})

test('a folder that is not there and text that is not UTF-8 are refused', async () => {
  await expect(migrateCatalog(database.pool, join(folder, 'missing'))).rejects.toThrow(/missing cannot be read/)
  await writeFile(join(folder, '0001_a.sql'), Buffer.from([0xff, 0xfe, 0x00]))
  await expect(migrateCatalog(database.pool, folder)).rejects.toThrow(/0001_a.sql cannot be read as UTF-8/)
})
