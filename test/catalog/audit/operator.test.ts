import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import { createCatalogPool } from '../../../src/catalog/catalog-pool.js'
import { createUserDirectory } from '../../../src/catalog/users/users.js'
import { parseDatabaseUrl } from '../../../src/core/config/database-url.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'

let catalog: TestDatabase
beforeEach(async () => {
  catalog = await createTestCatalog()
})
afterEach(() => catalog.drop())

async function withOperator(
  operator: string | undefined,
  work: (pool: ReturnType<typeof createCatalogPool>) => Promise<unknown>,
) {
  const pool = createCatalogPool(parseDatabaseUrl(catalog.url), { operator })
  try {
    await work(pool)
  } finally {
    await pool.end()
  }
}

const entries = () => createAuditLog(catalog.pool).list({ tenant: null, limit: 1000 })

test.each(['ada@host-1', 'x y\\z@host', "o'hara@h;drop", ' -c role=none', 'ädä@höst', 'tab\there'])(
  'every entry names the operator %j, and the chain stays intact',
  async (operator) => {
    await withOperator(operator, async (pool) => {
      const { user } = await createUserDirectory(pool).createUser({ email: 'eve@example.com', name: 'Eve' })
      await pool.query('delete from users where id = $1', [user.id])
      // A reset of the session does not take it away.
      const client = await pool.connect()
      await client.query('discard all')
      await client.query("insert into audit_log (action) values ('raw')")
      client.release()
    })
    const [created, deleted, raw] = (await entries()).slice(-3)
    expect(created).toMatchObject({
      action: 'user.create',
      operator,
      before: null,
      after: { erased: true, emailVerified: false },
    })
    expect(created!.after).not.toHaveProperty(['tenants2fast.operator'])
    expect(deleted).toMatchObject({ action: 'user.delete', operator, after: null })
    expect(raw).toMatchObject({ action: 'raw', operator, after: null })
    expect(await createAuditLog(catalog.pool).verify()).toMatchObject({ isIntact: true, problems: [] })
  },
)

test('without an operator, entries name nobody', async () => {
  await withOperator(undefined, (pool) => createUserDirectory(pool).createUser({ email: 'eve@example.com' }))
  expect((await entries()).at(-1)).toMatchObject({ action: 'user.create', operator: null, apiKey: null })
})

test('a changed operator breaks the chain', async () => {
  await withOperator('ada@host', (pool) => createUserDirectory(pool).createUser({ email: 'eve@example.com' }))
  const client = await catalog.pool.connect()
  await client.query('begin; set local session_replication_role = replica')
  await client.query(`update audit_log set after = after || '{"tenants2fast.operator": "eve@host"}'`)
  await client.query('commit')
  client.release()
  expect((await createAuditLog(catalog.pool).verify()).problems).toMatchObject([{ kind: 'altered' }])
})

test('entries whose value is no object are kept as they are', async () => {
  await withOperator('ada@host', (pool) =>
    pool.query(
      `insert into audit_log (action, after) values ('a', 'null'), ('b', '"tenants2fast.operator"'), ('c', '[1]')`,
    ),
  )
  expect((await entries()).slice(-3)).toMatchObject([
    { action: 'a', after: null, operator: null, apiKey: null },
    { action: 'b', after: 'tenants2fast.operator', operator: null, apiKey: null },
    { action: 'c', after: [1], operator: null, apiKey: null },
  ])
})
