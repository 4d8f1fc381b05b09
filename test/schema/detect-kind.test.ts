import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { isTenancyError } from '../../src/core/errors/errors.js'
import { detectKind } from '../../src/schema/detect-kind.js'
import { readMigrations } from '../../src/schema/read-migrations.js'
import { versionsOf } from '../../src/schema/versions.js'
import { codes, createFolder, fixture } from './schema-database.js'

const removals: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const remove of removals.splice(0)) await remove()
})

async function folder(files: Readonly<Record<string, string>>): Promise<string> {
  const { dir, remove } = await createFolder(files)
  removals.push(remove)
  return dir
}

test.each([
  ['drizzle-journal', 'drizzle', [0, 1, 2, 3], '0000_tables.sql'],
  ['drizzle-folders', 'drizzle', undefined, '20261128211758_tables/migration.sql'],
  ['prisma', 'prisma', undefined, '20261128212043_tables/migration.sql'],
  ['kysely', 'kysely', [0, 1, 2, 3], '1795900932085_tables'],
] as const)('the generated folder %s is recognised as one of %s', async (name, kind, versions, first) => {
  const found = await readMigrations({ dir: fixture(name) }, codes)
  expect(found.kind).toBe(kind)
  expect(found.migrations).toHaveLength(4)
  expect(found.migrations[0]?.name).toBe(first)
  const keys = found.migrations.map(({ version }) => version)
  expect(keys).toEqual(versions ?? found.migrations.map(({ name: file }) => Number(file.slice(0, 14))))
})

test('plain SQL stays what it was: numbers of names, folders with migration.sql, other files ignored', async () => {
  const dir = await folder({
    ...{ '0002_b.sql': '', '0001_a.sql': '', '0001_a.down.sql': '', '20240101120000_c/migration.sql': '' },
    ...{ 'README.md': '', 'index.ts': '', 'helper.js': '', 'meta/0000_snapshot.json': '{}' },
  })
  const { kind, migrations } = await readMigrations({ dir }, codes)
  expect(kind).toBe('sql')
  expect(migrations.map(({ version, name, down }) => [version, name, down])).toEqual([
    [1, '0001_a.sql', ''],
    [2, '0002_b.sql', undefined],
    [20240101120000, '20240101120000_c/migration.sql', undefined],
  ])
  expect(await readMigrations({ dir: await folder({}) }, codes)).toEqual({ kind: 'sql', migrations: [] })
})

const ambiguous: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'migration_lock.toml (prisma) and 0001_a.sql (sql)': { 'migration_lock.toml': '', '0001_a.sql': '' },
  '0001_b.ts (kysely) and 0001_a.sql (sql)': { '0001_a.sql': '', '0001_b.ts': '' },
  'meta/_journal.json (drizzle) and migration_lock.toml (prisma)': {
    'meta/_journal.json': '{}',
    'migration_lock.toml': '',
  },
  '20240101_a.mjs (kysely) and 20240101120000_b/migration.sql (sql)': {
    '20240101_a.mjs': '',
    '20240101120000_b/migration.sql': '',
  },
  'both layouts of drizzle-kit': {
    'meta/_journal.json': '{}',
    '20240101120000_b/migration.sql': '',
    '20240101120000_b/snapshot.json': '',
  },
}

test.each(Object.entries(ambiguous))('a folder that could be of several kinds is refused: %s', async (seen, files) => {
  await expect(readMigrations({ dir: await folder(files) }, codes)).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
    message: expect.stringContaining(seen),
  })
})

test('a kind that is named is not detected, and must fit', async () => {
  const dir = await folder({ 'migration_lock.toml': 'provider = "postgresql"', '20240101120000_a/migration.sql': '' })
  expect((await readMigrations({ dir, kind: 'sql' }, codes)).kind).toBe('sql')
  const wrong = async (files: Readonly<Record<string, string>>, kind: 'drizzle' | 'prisma' | 'kysely') =>
    expect(readMigrations({ dir: await folder(files), kind }, codes)).rejects
  await (await wrong({ '0001_a.sql': '' }, 'drizzle')).toThrow(/no folder of drizzle-kit: no meta\/_journal.json/)
  await (await wrong({ 'migration_lock.toml': 'provider = "mysql"' }, 'prisma')).toThrow(/is of provider "mysql"/)
  await (await wrong({ '20240101_a/x.sql': '' }, 'prisma')).toThrow(/no migration.sql in 20240101_a/)
  await (await wrong({ 'a.ts': 'export const x = 1' }, 'kysely')).toThrow(/a.ts exports no function "up"/)
  await (await wrong({ 'a.ts': 'export const = 1' }, 'kysely')).toThrow(/a.ts cannot be loaded/)
  await (await wrong({ 'a.ts': '', 'a.js': '' }, 'kysely')).toThrow(/a.js and a.ts are the same migration/)
})

test('a journal of drizzle-kit and its folder must be the same', async () => {
  const journal = (...tags: string[]) => JSON.stringify({ entries: tags.map((tag, when) => ({ tag, when })) })
  const dir = await folder({
    'meta/_journal.json': journal('0000_a', '0001_b', '0001_b'),
    '0000_a.sql': '',
    '0002_c.sql': '',
  })
  await expect(readMigrations({ dir }, codes)).rejects.toThrow(
    /0001_b is in the journal twice; 0001_b.sql is in the journal and not in the folder; .*0002_c.sql is not in the journal/,
  )
  const broken = await folder({ 'meta/_journal.json': '{"entries": [{"tag": "../../etc/passwd", "when": 1}]}' })
  await expect(readMigrations({ dir: broken }, codes)).rejects.toThrow(/is no journal of drizzle-kit/)
  const other = await folder({ 'meta/_journal.json': '{"dialect": "sqlite", "entries": []}' })
  await expect(readMigrations({ dir: other }, codes)).rejects.toThrow(/is of dialect "sqlite"/)
})

test('every problem of a folder is named with file and line, also of what undoes a migration', async () => {
  const dir = await folder({ '0001_a.sql': 'begin;', '0001_a.down.sql': '\n\\connect x', '0002_b.sql': 'commit' })
  await expect(readMigrations({ dir }, codes)).rejects.toThrow(
    /0001_a.sql, line 1: BEGIN .*; 0001_a.down.sql, line 2: \\connect .*; 0002_b.sql, line 1: COMMIT|COMMIT/,
  )
  const orphan = await folder({ '0001_a.sql': '', '0002_a.down.sql': '' })
  await expect(readMigrations({ dir: orphan }, codes)).rejects.toThrow(
    /0002_a.down.sql: there is no file that it undoes/,
  )
})

test('detection never fails in another way than by naming what it saw', () => {
  const names = ['0001_a.sql', 'b.sql', 'migration_lock.toml', '0001_x.ts', 'schema.ts', 'x.d.ts', 'README.md', 'y.mjs']
  const inside = ['migration.sql', 'snapshot.json', '_journal.json', 'down.sql']
  const folders = fc.array(
    fc.record({ name: fc.constantFrom('meta', '20240101120000_a', 'x'), files: fc.subarray(inside) }),
  )
  fc.assert(
    fc.property(fc.subarray(names), folders, (files, found) => {
      try {
        expect(['sql', 'drizzle', 'prisma', 'kysely']).toContain(
          detectKind({ path: '/x', files, folders: found }, codes),
        )
      } catch (error) {
        expect(isTenancyError(error, 'TENANCY_DATABASE_SCHEMA_INVALID')).toBe(true)
      }
    }),
  )
})

test('keys are numbers where all names have one and they ascend, and positions otherwise; they always ascend', () => {
  expect(versionsOf(['0000_a', '0005_b', '20240101120000_c'])).toEqual([0, 5, 20240101120000])
  expect(versionsOf(['0005_a', '0005_b'])).toEqual([0, 1])
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.stringMatching(/^\d{4,6}_a$/))), (bases) => {
      const versions = versionsOf(bases)
      expect(versions.every((version, index) => version > (versions[index - 1] ?? -1))).toBe(true)
    }),
  )
})
