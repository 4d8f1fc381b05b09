import { expect, test } from 'vitest'
import { createTestCatalog, createTestDatabase } from './catalog.js'
import { leakedObjects } from './run/leak-check.js'
import { isPlainAdmin, testServer, withAdmin } from './server.js'

const objects = (databases: string[], roles: string[] = []) => ({
  databases: new Set(databases),
  roles: new Set(roles),
})

test('two test catalogs are different databases with the same tables', async () => {
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

test('a connection that is still open when its database is dropped fails the drop, which drops it all the same', async () => {
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

test('the outside of a test is a superuser, and the account of installations is one unless the run says otherwise', async () => {
  const server = await testServer()
  const { rows } = await withAdmin((admin) =>
    admin.query('select rolsuper, rolname from pg_roles where rolname = current_user'),
  )
  expect(rows).toEqual([{ rolsuper: true, rolname: expect.any(String) }])
  expect(rows[0]!.rolname === server.user).toBe(!isPlainAdmin())
})

test('on a server of its own every new database and role is a leak', () => {
  const leaked = leakedObjects(objects(['postgres']), objects(['postgres', 'left'], ['role']), 'abcdef', false)
  expect(leaked).toEqual(objects(['left'], ['role']))
})

test('on a shared server only test names count, and none of another run', () => {
  const after = objects(['production', 't2f_test_abcdef_x', 't2f_test_123456_x', 't2f_test_fixed'])
  expect(leakedObjects(objects([]), after, 'abcdef', true)).toEqual(objects(['t2f_test_abcdef_x', 't2f_test_fixed']))
})
