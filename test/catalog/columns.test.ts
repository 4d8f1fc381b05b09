import { afterAll, beforeAll, expect, expectTypeOf, test } from 'vitest'
import type { ColumnKind, Columns, PartOf } from '../../src/core/columns.js'
import {
  membershipColumns,
  type Tenant,
  tenantColumns,
  type User,
  userColumns,
  type UserTenant,
} from '../../src/core/model.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'

let catalog: TestDatabase
beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())

const types: Readonly<Record<Extract<ColumnKind, string>, readonly string[]>> = {
  text: ['text', 'uuid'],
  texts: ['ARRAY'],
  integer: ['integer', 'bigint', 'timestamp with time zone'],
  boolean: ['boolean'],
  time: ['timestamp with time zone'],
}

test.each<[string, Columns]>([
  ['tenants', tenantColumns],
  ['users', userColumns],
  ['user_tenants', membershipColumns],
])('every declared column of %s is in the catalog, with its type and nullability', async (table, columns) => {
  const { rows } = await catalog.pool.query<{ name: string; type: string; nullable: boolean }>(
    `select column_name as name, data_type as type, is_nullable = 'YES' as nullable from information_schema.columns
      where table_schema = 'public' and table_name = $1`,
    [table],
  )
  expect(rows.length).toBeGreaterThan(5)
  for (const { name, kind, nullable = false, read } of Object.values(columns)) {
    const row = rows.find((each) => each.name === name)
    expect(types[typeof kind === 'string' ? kind : 'text'], name).toContain(row?.type)
    // A column that is read by an expression may have its default there.
    if (read === undefined) expect(row?.nullable, name).toBe(nullable)
  }
})

test('the exported interfaces consist of exactly the public columns', () => {
  expectTypeOf<PartOf<typeof tenantColumns, 'public'>>().toEqualTypeOf<Tenant>()
  expectTypeOf<PartOf<typeof userColumns, 'public'>>().toEqualTypeOf<User>()
  expectTypeOf<PartOf<typeof membershipColumns, 'public'>>().toEqualTypeOf<UserTenant>()
})
