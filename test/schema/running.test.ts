import { readFileSync } from 'node:fs'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { MigrationFunction } from '../../src/core/tenants/migration.js'
import { createFolder, createSchemaDatabase, fixture, type SchemaDatabase } from './schema-database.js'

let database: SchemaDatabase
let folder: Awaited<ReturnType<typeof createFolder>>
beforeEach(async () => {
  ;[database, folder] = await Promise.all([createSchemaDatabase(), createFolder({})])
})
afterEach(async () => {
  await Promise.all([database.drop(), folder.remove()])
})

async function withClient<Result>(work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

describe('a file without a transaction', () => {
  const source = () => ({ dir: folder.dir })
  const indexes = async () =>
    (
      await database.query(
        `select c.relname as name, i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
          where c.relnamespace = 'public'::regnamespace order by 1`,
      )
    ).map(({ name, valid }) => [name, valid])

  test('its statements are sent one by one, with the settings that it makes, and it is done once', async () => {
    await folder.write({
      '0001_t.sql': 'create schema app; create table app.t (a int, b text)',
      '0002_i.sql': `-- no-transaction
set search_path = app;
create index concurrently "T a" on t (a);
create unique index concurrently if not exists t_b on only t (b); -- the ; last
vacuum t;
create function app.f() returns int language sql begin atomic select 1; select 2; end;`,
      '0003_after.sql': 'create table after (id int)',
    })
    expect(await database.apply(source())).toEqual(['0001_t.sql', '0002_i.sql', '0003_after.sql'])
    expect(await database.query("select indexname from pg_indexes where schemaname = 'app' order by 1")).toEqual([
      { indexname: 'T a' },
      { indexname: 't_b' },
    ])
    expect(await database.query("select to_regclass('public.after') is not null as ok")).toEqual([{ ok: true }])
    expect(await database.apply(source())).toEqual([])
  })

  test('one that fails half-way is not in the ledger, says what stays, and is begun again', async () => {
    await folder.write({
      '0001_t.sql': 'create table t (a int); insert into t values (1), (1)',
      '0002_i.sql': `-- no-transaction
create index concurrently if not exists first on t (a);
create unique index concurrently if not exists second on t (a);`,
    })
    await expect(database.apply(source())).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_SCHEMA_FAILED',
      message:
        '0002_i.sql, line 3 (statement 2): could not create unique index "second"; ' +
        'the statements before it stay, and the next run begins the file again',
    })
    expect(await database.applied()).toEqual(['0001_t.sql'])
    // What it left unfinished is gone.
    expect(await indexes()).toEqual([['first', true]])
    await database.query('delete from t')
    expect(await database.apply(source())).toEqual(['0002_i.sql'])
    expect(await indexes()).toEqual([
      ['first', true],
      ['second', true],
    ])
  })

  test('an index that a killed run left unfinished is dropped and built, though IF NOT EXISTS would take it', async () => {
    await folder.write({ '0001_t.sql': 'create table t (a int)' })
    await database.apply(source())
    await database.query('create index i on t (a)')
    await database.query(`update pg_index set indisvalid = false where indexrelid = 'i'::regclass`)
    await folder.write({ '0002_i.sql': '-- no-transaction\ncreate index concurrently if not exists i on public.t (a)' })
    expect(await database.apply(source())).toEqual(['0002_i.sql'])
    expect(await indexes()).toEqual([['i', true]])
  })

  test('CREATE INDEX CONCURRENTLY waits for an open transaction longer than a lock may be waited for, and names it', async () => {
    await folder.write({ '0001_t.sql': 'create table t (a int)' })
    await database.apply(source())
    await folder.write({ '0002_i.sql': '-- no-transaction\ncreate index concurrently i on t (a)' })
    await withClient(async (reader) => {
      await reader.query('begin; insert into t values (1)')
      const limits = { lockTimeoutMs: 20, maxAttempts: 3 }
      await expect(database.apply(source(), limits)).rejects.toMatchObject({
        code: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
        message: expect.stringMatching(
          /0002_i.sql, line 2 \(statement 1\): a lock could not be had within 60 ms, 1 times.*unfinished index public.i is left/,
        ),
      })
      // Nor can it be dropped as long as that transaction is open.
      expect(await indexes()).toEqual([['i', false]])
      const applying = database.apply(source(), { lockTimeoutMs: 20_000 })
      const waiting =
        "select 1 from pg_stat_activity where query ilike '%index concurrently%' and wait_event_type = 'Lock'"
      await vi.waitUntil(async () => (await database.query(waiting)).length > 0, { timeout: 20_000 })
      await reader.query('commit')
      expect(await applying).toEqual(['0002_i.sql'])
      expect(await indexes()).toEqual([['i', true]])
    })
  })

  test('a statement that waits for a lock gives way and is tried again by itself', async () => {
    await folder.write({
      '0001_t.sql': 'create table t (a int)',
      '0002_c.sql': '-- no-transaction\ninsert into t values (1);\nalter table t add column b int;',
    })
    await expect(database.apply(source())).resolves.toHaveLength(2)
    expect(await database.query('select a, b from t')).toEqual([{ a: 1, b: null }])
    await folder.write({ '0003_d.sql': '-- no-transaction\ninsert into t values (2);\nalter table t drop column b;' })
    await withClient(async (reader) => {
      await reader.query('begin; lock table t in row exclusive mode')
      await expect(database.apply(source(), { lockTimeoutMs: 10, maxAttempts: 2 })).rejects.toMatchObject({
        code: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
        message: expect.stringMatching(
          /line 3 \(statement 2\): .* within 10 ms, 2 times.*the statements before it stay/,
        ),
      })
      await reader.query('commit')
    })
  })
})

describe('functions', () => {
  const up: MigrationFunction = async (client) => void (await client.query('create table a (id int)'))
  const noted: (string | undefined)[] = []

  test('run in order in their transaction, with the tenant, and are known by their names', async () => {
    const migrations = [
      { name: 'one', up },
      {
        name: 'two',
        up: (async (client, tenant) => {
          noted.push(tenant?.slug)
          await client.query('insert into a values ($1)', [tenant === undefined ? 0 : 1])
        }) satisfies MigrationFunction,
      },
    ]
    const tenant = { slug: 'acme', databaseId: 'x' }
    expect(await database.apply({ migrations }, { tenant })).toEqual(['one', 'two'])
    expect([noted, await database.query('select id from a')]).toEqual([['acme'], [{ id: 1 }]])
    expect(await database.apply({ migrations: migrations.map((each) => ({ ...each })) })).toEqual([])
    const [one, two] = migrations as [(typeof migrations)[0], (typeof migrations)[0]]
    const between = { name: 'between', up }
    await expect(database.apply({ migrations: [one, between, two] })).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_SCHEMA_INVALID',
      message: 'between comes before two, which was applied: move it to the end',
    })
    await expect(database.apply({ migrations: [two, one] })).rejects.toThrow(
      /one was applied as number 0 and is number 1 now/,
    )
    await expect(database.apply({ migrations: [one, { ...two, name: 'zwei' }] })).rejects.toThrow(
      /two was applied .* renamed/,
    )
    await expect(database.apply({ migrations: [one, one] })).rejects.toThrow(/"one" is there twice/)
    // An older release leaves a database alone that has more.
    expect(await database.apply({ migrations: [one] })).toEqual([])
  })

  test.each<[string, MigrationFunction]>([
    ['commits', async (client) => void (await client.query('create table a (id int); commit'))],
    ['commits and begins again', async (client) => void (await client.query('create table a (id int); commit; begin'))],
    ['rolls back', async (client) => void (await client.query('rollback'))],
  ])('one that %s is refused, and is not in the ledger', async (_, bad) => {
    await expect(database.apply({ migrations: [{ name: 'bad', up: bad }] })).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_SCHEMA_INVALID',
      message: 'bad ends its transaction (commit or rollback): remove that statement',
    })
    expect(await database.applied()).toEqual([])
  })

  test('one that fails leaves nothing, also where it has caught PostgreSQL’s error', async () => {
    const migrations = (fails: MigrationFunction) => ({ migrations: [{ name: 'a', up: fails }] })
    const failed = { code: 'TENANCY_DATABASE_SCHEMA_FAILED' }
    await expect(
      database.apply(
        migrations(async (client, tenant) => {
          await up(client, tenant)
          throw new TypeError('no idea')
        }),
      ),
    ).rejects.toMatchObject({ ...failed, message: 'a: no idea' })
    await expect(
      database.apply(migrations(async (client) => void (await client.query('select 1/0').catch(() => {})))),
    ).rejects.toMatchObject({ ...failed, message: expect.stringContaining('current transaction is aborted') })
    expect(await database.query("select to_regclass('a') as a")).toEqual([{ a: null }])
  })
})

describe('reverting', () => {
  const source = () => ({ dir: folder.dir })

  test('each file is undone with its row, the last one first, and what nothing undoes stops before anything runs', async () => {
    await folder.write({
      '0001_a.sql': 'create table a (id int)',
      '0002_b.sql': 'create table b (id int)',
      '0002_b.down.sql': 'drop table b',
      '0003_c.sql': '-- no-transaction\ncreate index concurrently i on b (id)',
      '0003_c.down.sql': '-- no-transaction\ndrop index concurrently if exists i',
    })
    await database.apply(source())
    await expect(database.revert(source(), -1)).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_SCHEMA_IRREVERSIBLE',
      message: 'nothing undoes 0001_a.sql: nothing was reverted',
    })
    expect(await database.applied()).toHaveLength(3)
    expect(await database.revert(source(), 1)).toEqual(['0003_c.sql', '0002_b.sql'])
    expect(await database.applied()).toEqual(['0001_a.sql'])
    expect(await database.revert(source(), 1)).toEqual([])
    expect(await database.apply(source())).toEqual(['0002_b.sql', '0003_c.sql'])
  })

  test('one that fails stays, and what was reverted before it stays reverted', async () => {
    await folder.write({
      '0001_a.sql': 'create table a (id int)',
      '0001_a.down.sql': 'drop table a;\nselect 1/0',
      '0002_b.sql': 'create table b (id int)',
      '0002_b.down.sql': 'drop table b',
    })
    await database.apply(source())
    await expect(database.revert(source(), -1)).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_SCHEMA_FAILED',
      message: '0001_a.sql (down), line 2 (statement 2): division by zero',
    })
    expect(await database.applied()).toEqual(['0001_a.sql'])
    expect(await database.query('select * from a')).toEqual([])
  })

  test('what a newer release has applied, and files that were edited, are not reverted', async () => {
    const files = { '0001_a.sql': 'select 1', '0001_a.down.sql': 'select 1' }
    await folder.write({ ...files, '0002_b.sql': 'select 2' })
    await database.apply(source())
    const older = await createFolder(files)
    try {
      await expect(database.revert({ dir: older.dir }, -1)).rejects.toThrow('0002_b.sql was applied by a newer release')
      await older.write({ '0001_a.sql': 'select 3' })
      await expect(database.revert({ dir: older.dir }, -1)).rejects.toThrow(/0001_a.sql was edited/)
    } finally {
      await older.remove()
    }
  })
})

test('the output of pg_dump is a first file, and others follow it', async () => {
  await folder.write({
    '0001_dump.sql': readFileSync(fixture('pg_dump.sql'), 'utf8'),
    '0002_more.sql':
      "insert into customers (name, email) values ('a', 'b'); insert into events (at, body) values ('2026-05-05', '{}')",
  })
  expect(await database.apply({ dir: folder.dir })).toHaveLength(2)
  expect(await database.query("select note from customers where email = 'b'")).toHaveLength(1)
  expect(await database.query("select obj_description('customers'::regclass) as text")).toEqual([
    { text: 'who buys; \\connect is no command here\nCOPY nothing FROM stdin;' },
  ])
})
