import { getTableColumns, is } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, expect, expectTypeOf, test } from 'vitest'
import * as tables from '../../src/catalog/tables.js'
import type { Tenant, TenantDatabase, User, UserTenant } from '../../src/core/model.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'

let catalog: TestDatabase
beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())

const all: PgTable[] = Object.values(tables).filter((table) => is(table, PgTable))

// Only the migration runner uses its ledger.
const ownedByRunner = ['schema_migrations']

test('the Drizzle tables match the tables of the catalog, column for column, in both directions', async () => {
  const { rows } = await catalog.pool.query<{ line: string }>(
    `select format('%s.%s %s%s', table_name, column_name, case data_type when 'ARRAY' then replace(substr(udt_name, 2), 'int4', 'integer') || '[]' else data_type end, case is_nullable when 'NO' then ' not null' else '' end) as line
       from information_schema.columns join information_schema.tables using (table_schema, table_name)
      where table_schema = 'public' and table_type = 'BASE TABLE' and table_name <> all($1) order by 1`,
    [ownedByRunner],
  )
  expect(describeTables(all)).toEqual(rows.map((row) => row.line).toSorted())
})

test('a column has a default in Drizzle exactly when it has one in the catalog', async () => {
  const { rows } = await catalog.pool.query<{ name: string }>(
    `select table_name || '.' || column_name as name from information_schema.columns
      where table_schema = 'public' and table_name <> all($1)
        and (column_default is not null or is_identity = 'YES')`,
    [ownedByRunner],
  )
  const drizzled = all.flatMap((table) =>
    Object.values(getTableColumns(table))
      .filter((column) => column.hasDefault || column.generatedIdentity !== undefined)
      .map((column) => `${getTableConfig(table).name}.${column.name}`),
  )
  expect(drizzled.toSorted()).toEqual(rows.map((row) => row.name).toSorted())
})

test('the Drizzle tables have the catalog’s primary keys', async () => {
  const { rows } = await catalog.pool.query<{ key: string }>(
    `select table_name || ': ' || string_agg(column_name, ', ' order by column_name) as key
       from information_schema.table_constraints join information_schema.key_column_usage using (constraint_schema, constraint_name, table_name)
      where constraint_type = 'PRIMARY KEY' and constraint_schema = 'public' and table_name <> all($1) group by table_name`,
    [ownedByRunner],
  )
  const drizzled = all.map((table) => {
    const { name, columns, primaryKeys } = getTableConfig(table)
    const own = columns.filter((column) => column.primary).map((column) => column.name)
    const combined = primaryKeys.flatMap((key) => key.columns.map((column) => column.name))
    return `${name}: ${[...own, ...combined].toSorted().join(', ')}`
  })
  expect(drizzled.toSorted()).toEqual(rows.map((row) => row.key).toSorted())
})

test('every table answers a select through Drizzle', async () => {
  const db = drizzle(catalog.pool)
  for (const table of all) await expect(db.select().from(table).limit(1)).resolves.toBeInstanceOf(Array)
})

test('rows of the tables have the types that core declares for tenant, user, membership and tenant database', () => {
  expectTypeOf<typeof tables.tenants.$inferSelect>().toExtend<Tenant>()
  expectTypeOf<typeof tables.users.$inferSelect>().toExtend<User>()
  expectTypeOf<typeof tables.userTenants.$inferSelect>().toEqualTypeOf<{
    -readonly [Key in keyof UserTenant]: UserTenant[Key]
  }>()
  expectTypeOf<typeof tables.tenantDatabases.$inferSelect>().toExtend<TenantDatabase>()
})

function describeTables(list: readonly PgTable[]): string[] {
  return list
    .flatMap((table) =>
      Object.values(getTableColumns(table)).map(
        (column) =>
          `${getTableConfig(table).name}.${column.name} ${column.getSQLType()}${column.notNull ? ' not null' : ''}`,
      ),
    )
    .toSorted()
}
