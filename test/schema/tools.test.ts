import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import { promises as fs, readFileSync } from 'node:fs'
import { cp, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createJiti } from 'jiti'
import { Kysely, type Migration, Migrator, PostgresDialect } from 'kysely'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { prepareSql } from '../../src/schema/sql-text.js'
import { besideModules, createFolder, createSchemaDatabase, fixture, type SchemaDatabase } from './schema-database.js'

let database: SchemaDatabase
const removals: (() => Promise<void>)[] = []
beforeEach(async () => {
  database = await createSchemaDatabase()
})
afterEach(async () => {
  await database.drop()
  for (const remove of removals.splice(0)) await remove()
})

/** A copy of a fixture, to be changed. */
async function copyOf(name: string): Promise<string> {
  const { dir, remove } = await createFolder({}, besideModules)
  removals.push(remove)
  await cp(fixture(name), dir, { recursive: true })
  return dir
}

async function withPool<Result>(work: (pool: pg.Pool) => Promise<Result>): Promise<Result> {
  const pool = new pg.Pool({ connectionString: database.url, max: 2 })
  try {
    return await work(pool)
  } finally {
    await pool.end()
  }
}

const disagrees = { code: 'TENANCY_DATABASE_SCHEMA_DISAGREES' }
const tables = `select count(*)::int as count from pg_tables where schemaname = 'public' and tablename !~ '^(_prisma|kysely)'`

describe('drizzle-kit, with a journal', () => {
  const dir = fixture('drizzle-journal')
  const migrateByDrizzle = (folder: string) => withPool((pool) => migrate(drizzle(pool), { migrationsFolder: folder }))
  const list = () => database.query('select hash, created_at::text from drizzle.__drizzle_migrations order by id')

  test('its folder is applied, and drizzle finds nothing left to do', async () => {
    expect(await database.apply({ dir })).toEqual([
      '0000_tables.sql',
      '0001_phone.sql',
      '0002_reference.sql',
      '0003_refunds.sql',
    ])
    expect(await database.query(tables)).toEqual([{ count: 11 }])
    const before = await list()
    await migrateByDrizzle(dir)
    expect(await list()).toEqual(before)
    const other = await createSchemaDatabase()
    try {
      await other.apply({ dir, kind: 'drizzle' })
      expect(await other.query('select hash, created_at::text from drizzle.__drizzle_migrations order by id')).toEqual(
        before,
      )
    } finally {
      await other.drop()
    }
    expect(await database.apply({ dir })).toEqual([])
  })

  test('what drizzle has applied is taken over once, and the rest is applied and listed in both', async () => {
    const older = await copyOf('drizzle-journal')
    const journalPath = path.join(older, 'meta/_journal.json')
    const journal = JSON.parse(readFileSync(journalPath, 'utf8')) as { entries: object[] }
    await writeFile(journalPath, JSON.stringify({ ...journal, entries: journal.entries.slice(0, 2) }))
    await migrateByDrizzle(older)
    expect(await database.apply({ dir })).toEqual(['0002_reference.sql', '0003_refunds.sql'])
    expect(await database.applied()).toEqual([
      '0000_tables.sql',
      '0001_phone.sql',
      '0002_reference.sql',
      '0003_refunds.sql',
    ])
    expect(await list()).toHaveLength(4)
    // Drizzle goes on by itself, and what it has done is found again.
    await writeFile(
      journalPath,
      JSON.stringify({
        ...journal,
        entries: [...journal.entries, { idx: 4, when: 2e12, tag: '0004_more', breakpoints: true }],
      }),
    )
    await writeFile(path.join(older, '0004_more.sql'), 'create table more (id int)')
    await migrateByDrizzle(older)
    expect(await database.apply({ dir: older })).toEqual([])
    expect(await database.applied()).toHaveLength(5)
  })

  test('another text, a migration that the folder lacks, and another order stop the tenant with both lists', async () => {
    await migrateByDrizzle(dir)
    const edited = await copyOf('drizzle-journal')
    await writeFile(path.join(edited, '0001_phone.sql'), 'select 1')
    await expect(database.apply({ dir: edited })).rejects.toMatchObject({
      ...disagrees,
      message: expect.stringMatching(
        /0001_phone has another hash in drizzle.__drizzle_migrations.*has 0000_tables, 0001_phone, 0002_reference, 0003_refunds; the folder has 0000_tables.sql, 0001_phone.sql, /,
      ),
    })
    const journalPath = path.join(edited, 'meta/_journal.json')
    const journal = JSON.parse(readFileSync(journalPath, 'utf8')) as { entries: object[] }
    await cp(path.join(dir, '0001_phone.sql'), path.join(edited, '0001_phone.sql'))
    await rm(path.join(edited, '0001_phone.sql'))
    const [first, , ...rest] = journal.entries
    await writeFile(journalPath, JSON.stringify({ ...journal, entries: [first, ...rest] }))
    await expect(database.apply({ dir: edited })).rejects.toMatchObject({
      ...disagrees,
      message: expect.stringMatching(/a migration of \d+, sha256 [0-9a-f]{12}… is not in the folder/),
    })
    expect(
      (
        await database.query(
          "select to_regclass('tenants2fast.schema_migrations') is not null and not exists (select from tenants2fast.schema_migrations) as empty",
        )
      )[0],
    ).toEqual({ empty: true })
  })

  test('a database that was migrated before drizzle’s list was kept gets the whole list with the next migration', async () => {
    await database.apply({ dir, kind: 'sql' }).catch(() => undefined)
    await database.query('drop schema if exists drizzle cascade')
    const more = await copyOf('drizzle-journal')
    const journalPath = path.join(more, 'meta/_journal.json')
    const journal = JSON.parse(readFileSync(journalPath, 'utf8')) as { entries: object[] }
    await writeFile(
      journalPath,
      JSON.stringify({
        ...journal,
        entries: [...journal.entries, { idx: 4, when: 2e12, tag: '0004_more', breakpoints: true }],
      }),
    )
    await writeFile(path.join(more, '0004_more.sql'), 'create table more (id int)')
    expect(await database.apply({ dir: more })).toEqual(['0004_more.sql'])
    expect(await list()).toHaveLength(5)
    await migrateByDrizzle(more)
    expect(await list()).toHaveLength(5)
  })
})

describe('drizzle-kit 1.0, with a folder for each migration', () => {
  const dir = fixture('drizzle-folders')
  const list = () => database.query('select name, hash, created_at::text from drizzle.__drizzle_migrations order by id')

  test('its folder is applied, and the list is the one that drizzle-orm 1.0 has written elsewhere', async () => {
    expect(await database.apply({ dir })).toHaveLength(4)
    const ours = await list()
    const theirs = await createSchemaDatabase()
    try {
      await theirs.run(prepareSql(readFileSync(fixture('migrated-by-drizzle-1.sql'), 'utf8')).sql)
      expect(
        await theirs.query('select name, hash, created_at::text from drizzle.__drizzle_migrations order by id'),
      ).toEqual(ours)
      // And a database of that kind is taken over.
      expect(await theirs.apply({ dir })).toEqual([])
      expect(await theirs.applied()).toHaveLength(4)
    } finally {
      await theirs.drop()
    }
  })

  test('rows from before 1.0, in milliseconds and without names, are recognised, and get their names', async () => {
    await database.apply({ dir })
    await database.query(
      'alter table drizzle.__drizzle_migrations drop column name, drop column applied_at; update drizzle.__drizzle_migrations set created_at = created_at + 123; delete from tenants2fast.schema_migrations',
    )
    const more = await copyOf('drizzle-folders')
    await fs.mkdir(path.join(more, '20270101000000_more'))
    await writeFile(path.join(more, '20270101000000_more/migration.sql'), 'create table more (id int)')
    expect(await database.apply({ dir: more })).toEqual(['20270101000000_more/migration.sql'])
    expect((await list()).map(({ name }) => name)).toEqual([
      ...['20261128211758_tables', '20261128211820_phone', '20261128211836_reference', '20261128211850_refunds'],
      '20270101000000_more',
    ])
  })
})

describe('Prisma', () => {
  const dir = fixture('prisma')
  const list = () =>
    database.query(
      'select migration_name, checksum, finished_at is not null as finished, rolled_back_at, logs, applied_steps_count from _prisma_migrations order by started_at',
    )
  const restore = async () => {
    await database.run(prepareSql(readFileSync(fixture('migrated-by-prisma.sql'), 'utf8')).sql)
  }

  test('its folder is applied, and the list is the one that Prisma’s engine has written elsewhere', async () => {
    expect(await database.apply({ dir })).toHaveLength(4)
    const ours = await list()
    await database.query('drop schema tenants2fast cascade; create schema tenants2fast')
    await database.query('drop schema public cascade; create schema public')
    await restore()
    expect(ours).toEqual(await list())
    expect(await database.apply({ dir })).toEqual([])
    expect(await database.applied()).toHaveLength(4)
  })

  test('a migration that Prisma began and did not end stops the tenant, until it is resolved', async () => {
    await restore()
    await database.query(
      `update _prisma_migrations set finished_at = null, logs = 'failed' where migration_name ~ 'refunds'`,
    )
    await expect(database.apply({ dir })).rejects.toMatchObject({
      ...disagrees,
      message: expect.stringMatching(/_refunds was begun by Prisma and did not end: .* "prisma migrate resolve"/),
    })
    // As `prisma migrate resolve --rolled-back` leaves it, after the database was repaired.
    await database.run(
      `update _prisma_migrations set rolled_back_at = now() where migration_name ~ 'refunds';
       drop table refunds; alter type order_status rename value 'returned' to 'sent_back'`,
    )
    expect(await database.apply({ dir })).toEqual(['20261128212105_refunds/migration.sql'])
    expect(await database.applied()).toHaveLength(4)
    expect((await list()).map(({ finished }) => finished)).toEqual([true, true, true, false, true])
  })

  test('another order and an edited migration stop the tenant', async () => {
    await restore()
    const edited = await copyOf('prisma')
    await writeFile(path.join(edited, '20261128212045_phone/migration.sql'), 'select 1')
    await expect(database.apply({ dir: edited })).rejects.toMatchObject({
      ...disagrees,
      message: expect.stringContaining('20261128212045_phone has another checksum in public._prisma_migrations'),
    })
    const inserted = await copyOf('prisma')
    await cp(path.join(inserted, '20261128212045_phone'), path.join(inserted, '20261128212044_early'), {
      recursive: true,
    })
    await expect(database.apply({ dir: inserted })).rejects.toMatchObject({
      ...disagrees,
      message: expect.stringContaining(
        '20261128212044_early/migration.sql comes before 20261128212045_phone, and was not applied',
      ),
    })
  })

  test('files with line ends of Windows are the same files', async () => {
    await restore()
    const windows = await copyOf('prisma')
    for (const name of await fs.readdir(windows)) {
      const file = path.join(windows, name, 'migration.sql')
      if (!name.endsWith('.toml')) await writeFile(file, readFileSync(file, 'utf8').replaceAll('\n', '\r\n'))
    }
    expect(await database.apply({ dir: windows })).toEqual([])
    expect(await database.apply({ dir })).toEqual([])
  })
})

describe('Kysely', () => {
  const dir = fixture('kysely')
  const names = ['1795900932085_tables', '1795900937582_phone', '1795900942762_reference', '1795900948662_refunds']
  /** As `FileMigrationProvider`, which imports TypeScript only where Node can. */
  const provider = (folder: string) => ({
    async getMigrations() {
      const files = (await fs.readdir(folder)).filter((name) => name.endsWith('.ts'))
      const loaded = files.map(
        async (name) =>
          [
            path.parse(name).name,
            await createJiti(import.meta.url).import<Migration>(path.join(folder, name)),
          ] as const,
      )
      return Object.fromEntries(await Promise.all(loaded))
    },
  })
  const withMigrator = (
    folder: string,
    work: (migrator: Migrator) => Promise<{ error?: unknown; results?: unknown[] }>,
  ) =>
    withPool(async (pool) => {
      const db = new Kysely({ dialect: new PostgresDialect({ pool }) })
      const { error, results } = await work(new Migrator({ db, provider: provider(folder) }))
      if (error !== undefined) throw error
      return results ?? []
    })
  const list = async () =>
    (await database.query('select name from kysely_migration order by timestamp')).map(({ name }) => name)

  test('its folder is applied, and Kysely’s Migrator finds nothing left to do, and can go back', async () => {
    expect(await database.apply({ dir })).toEqual(names)
    expect(await database.query(tables)).toEqual([{ count: 11 }])
    expect(await list()).toEqual(names)
    expect(await withMigrator(dir, (migrator) => migrator.migrateToLatest())).toEqual([])
    expect(await withMigrator(dir, (migrator) => migrator.migrateDown())).toHaveLength(1)
    // What another tool has undone is not applied again behind its back.
    await database.query('delete from tenants2fast.schema_migrations where version = 3')
    await database.query("alter type order_status rename value 'returned' to 'sent_back'")
    expect(await database.apply({ dir })).toEqual(names.slice(3))
    expect(await list()).toEqual(names)
  })

  test('what its Migrator has applied is taken over; what was undone by it stops the tenant', async () => {
    expect(await withMigrator(dir, (migrator) => migrator.migrateTo(names[2] ?? ''))).toHaveLength(3)
    expect(await database.apply({ dir })).toEqual(names.slice(3))
    await withMigrator(dir, (migrator) => migrator.migrateDown())
    const more = await copyOf('kysely')
    await writeFile(
      path.join(more, '1800000000000_more.mjs'),
      'export const up = async (db) => { await db.schema.createTable("more").addColumn("id", "integer").execute() }\n',
    )
    await expect(database.apply({ dir: more })).rejects.toMatchObject({
      ...disagrees,
      message: expect.stringContaining('public.kysely_migration lacks 1795900948662_refunds, which was applied'),
    })
  })

  test('migrations are reverted with their rows in both lists, the last one first', async () => {
    await database.apply({ dir })
    expect(await database.revert({ dir }, 0)).toEqual([...names.slice(1)].toReversed())
    expect(await list()).toEqual(names.slice(0, 1))
    expect(await database.applied()).toEqual(names.slice(0, 1))
    expect(await withMigrator(dir, (migrator) => migrator.migrateUp())).toHaveLength(1)
    // Kysely has one more: it is taken over before anything is reverted.
    await expect(database.revert({ dir }, -1)).rejects.toMatchObject(disagrees)
  })

  test('a migration that fails leaves nothing, and one that begins a transaction is told so', async () => {
    const {
      dir: own,
      remove,
      write,
    } = await createFolder(
      {
        'a.ts': `import { sql, type Kysely } from 'kysely'
        export async function up(db: Kysely<any>): Promise<void> {
          await db.schema.createTable('a').addColumn('id', 'integer').execute()
          const { numAffectedRows } = await sql\`insert into a values (1), (2)\`.execute(db)
          if (numAffectedRows !== 2n) throw new Error('rows')
          await sql\`select nothing\`.execute(db)
        }`,
      },
      besideModules,
    )
    removals.push(remove)
    await expect(database.apply({ dir: own })).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_SCHEMA_FAILED',
      message: 'a: column "nothing" does not exist',
    })
    expect(await database.query("select to_regclass('a') as a, to_regclass('kysely_migration') as b")).toEqual([
      { a: null, b: null },
    ])
    // Corrected in place: the process that goes on reads it again.
    await write({ 'a.ts': 'export const up = (db: any) => db.transaction().execute(async () => {})' })
    await expect(database.apply({ dir: own })).rejects.toThrow(/^a: .*transaction/)
    await write({
      'a.ts':
        'export default { up: async (db: any) => { await db.schema.createTable("a").addColumn("id", "integer").execute() } }',
    })
    expect(await database.apply({ dir: own })).toEqual(['a'])
    await rename(path.join(own, 'a.ts'), path.join(own, 'b.ts'))
    await expect(database.apply({ dir: own })).rejects.toThrow(
      'a was applied to the database and then removed or renamed: restore it',
    )
  })
})

test('a table of the same name that is none of the tool’s is neither read nor written', async () => {
  await database.query(
    'create table secrets (name text, timestamp text); create view kysely_migration as select * from secrets',
  )
  await expect(database.apply({ dir: fixture('kysely') })).rejects.toMatchObject({
    ...disagrees,
    message:
      'public.kysely_migration cannot be read: it is no plain table: it has policies, rules or triggers, or is a view',
  })
  await database.query('create table _prisma_migrations (id int)')
  await expect(database.apply({ dir: fixture('prisma') })).rejects.toThrow(
    /_prisma_migrations cannot be read: it has no column migration_name, checksum/,
  )
})
