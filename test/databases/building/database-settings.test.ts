import fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { quoteIdentifier, quoteLiteral } from '../../../src/postgres/text/quote.js'
import { databaseSettingsSql, readDatabaseSettings } from '../../../src/databases/building/database-settings.js'
import { createTestDatabase, type TestDatabase } from '../../support/catalog.js'
import { superuser, testWith } from '../../support/requirements.js'

vi.setConfig({ testTimeout: 90_000 })

let source: TestDatabase
let copy: TestDatabase
beforeAll(async () => {
  ;[source, copy] = await Promise.all([createTestDatabase(), createTestDatabase()])
})
afterAll(() => Promise.all([source.drop(), copy.drop()]))

/** Copies the settings of one database to the other; returns those of both, as the server stores them. */
async function carryOver(statements: readonly string[]) {
  const name = quoteIdentifier(source.databaseName)
  for (const statement of statements) await source.pool.query(`alter database ${name} ${statement}`)
  const { settings, refused } = await readDatabaseSettings(source.pool, source.databaseName)
  await source.pool.query(`alter database ${quoteIdentifier(copy.databaseName)} reset all`)
  await source.pool.query(databaseSettingsSql(copy.databaseName, settings))
  const copied = await readDatabaseSettings(source.pool, copy.databaseName)
  await source.pool.query(`alter database ${name} reset all`)
  return { settings, refused, copied: copied.settings }
}

// Before PostgreSQL 16, custom settings take a superuser.
testWith(superuser, 'A database setting of any text is copied unchanged to another database', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.string({ unit: fc.constantFrom("'", '"', '\\', '$', '$$', '=', ';', ',', ' ', '\n', 'E'), maxLength: 20 }),
  )
  await fc.assert(
    fc.asyncProperty(
      text.filter((value) => !value.includes('\0')),
      async (value) => {
        const { settings, copied } = await carryOver([`set my.text to ${quoteLiteral(value)}`])
        expect(settings).toEqual([{ name: 'my.text', value }])
        expect(copied).toEqual(settings)
      },
    ),
    { numRuns: 30 },
  )
})

test('A search path of any names means the same schemas after it is copied to another database', async () => {
  const schema = fc
    .string({ unit: fc.constantFrom('a', 'B', ' ', ',', '"', "'", '$', '\\', 'é'), minLength: 1, maxLength: 8 })
    .map(quoteIdentifier)
  await fc.assert(
    fc.asyncProperty(fc.array(schema, { minLength: 1, maxLength: 4 }), async (path) => {
      const { settings, copied } = await carryOver([`set search_path to ${path.join(', ')}`])
      expect(settings).toHaveLength(1)
      expect(copied).toEqual(settings)
    }),
    { numRuns: 40 },
  )
})

testWith(superuser, 'Settings that load code or change the role are not copied, and are named', async () => {
  const { settings, refused, copied } = await carryOver([
    "set local_preload_libraries to 'x'",
    "set session_preload_libraries to 'y', 'z'",
    "set role to 'pg_monitor'",
    "set work_mem to '6MB'",
    "set statement_timeout to '1ms'",
    'set search_path to app',
  ])
  expect(refused.toSorted()).toEqual(['local_preload_libraries', 'role', 'session_preload_libraries'])
  expect(settings.map(({ name }) => name).toSorted()).toEqual(['search_path', 'statement_timeout', 'work_mem'])
  expect(copied).toEqual(settings)
})
