import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createTestCatalog, createTestDatabase } from './catalog.js'
import { leakedObjects } from './run/leak-check.js'
import { repository } from './processes/node-process.js'
import { isPlainAdmin, testServer, withAdmin } from './server.js'

const objects = (databases: string[], roles: string[] = []) => ({
  databases: new Set(databases),
  roles: new Set(roles),
})

test('Two test catalogs are different databases with the same tables', async () => {
  const [one, other] = await Promise.all([createTestCatalog(), createTestCatalog()])
  try {
    expect(one.databaseName).not.toBe(other.databaseName)
    const tables =
      "select count(*)::int as count from pg_class where relkind = 'r' and relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
    const first = await one.pool.query(tables)
    const second = await other.pool.query(tables)
    expect(first.rows[0].count).toBeGreaterThan(5)
    expect(second.rows).toEqual(first.rows)
  } finally {
    await Promise.all([one.drop(), other.drop()])
  }
})

test('A connection that is still open fails the drop of its test database, which is dropped all the same', async () => {
  const database = await createTestDatabase()
  const { default: pg } = await import('pg')
  const leaked = new pg.Client({ connectionString: database.url, application_name: 'the leak' })
  leaked.on('error', () => {})
  await leaked.connect()
  await expect(database.drop()).rejects.toThrow(/Connections leaked[^]*the leak/)
  const left = await withAdmin((admin) =>
    admin.query('select 1 from pg_database where datname = $1', [database.databaseName]),
  )
  expect(left.rowCount).toBe(0)
})

test('Tests act as a superuser, and installations do so unless the run sets T2F_PLAIN_ADMIN', async () => {
  const server = await testServer()
  const { rows } = await withAdmin((admin) =>
    admin.query('select rolsuper, rolname from pg_roles where rolname = current_user'),
  )
  expect(rows).toEqual([{ rolsuper: true, rolname: expect.any(String) }])
  expect(rows[0]!.rolname === server.user).toBe(!isPlainAdmin())
})

test('On a server of the run’s own every new database and role is a leak', () => {
  const leaked = leakedObjects(objects(['postgres']), objects(['postgres', 'left'], ['role']), 'abcdef', false)
  expect(leaked).toEqual(objects(['left'], ['role']))
})

test('On a shared server only names of this run’s tests count as leaks', () => {
  const after = objects(['production', 't2f_test_abcdef_x', 't2f_test_123456_x', 't2f_test_fixed'])
  expect(leakedObjects(objects([]), after, 'abcdef', true)).toEqual(objects(['t2f_test_abcdef_x', 't2f_test_fixed']))
})

/** Lines that skip a test without saying what it needs. `testWith` and `describeWith` put it into the title. */
function unexplainedSkips(source: string): string[] {
  return source
    .split('\n')
    .filter((line) => /\.(?:skip|skipIf|runIf|todo)\b|\bskip\(|\b(?:xit|xtest|xdescribe)\(/.test(line))
    .filter((line) => !/\bskip\((?:\w+, )?['"`]needs /.test(line))
}

test('A skipped test of this suite names what it needs', () => {
  const folder = join(repository, 'test')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && file !== 'support/requirements.ts' && file !== 'support/support.test.ts',
  )
  expect(files.length).toBeGreaterThan(200)
  const found = files.flatMap((file) =>
    unexplainedSkips(readFileSync(join(folder, file), 'utf8')).map((line) => `${file}: ${line.trim()}`),
  )
  expect(found).toEqual([])
})

test('The search for skips without a reason finds each way to skip', () => {
  for (const line of [
    "test.skip('x', () => {})",
    "describe.skipIf(isPlainAdmin())('x', () => {})",
    "it.runIf(isLinux)('x', () => {})",
    "test.todo('x')",
    'const suite = hasOpenssl ? describe : describe.skip',
    "xtest('x', () => {})",
    'skip()',
    "context.skip('some day')",
  ]) {
    expect(unexplainedSkips(line), line).toEqual([line])
  }
  for (const line of ["skip(isTrusting, 'needs a password')", "context.skip('needs Redis: set TENANT_REDIS_URL')"]) {
    expect(unexplainedSkips(line), line).toEqual([])
  }
})
