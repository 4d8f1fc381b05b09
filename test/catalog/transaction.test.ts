import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type CatalogPool, createCatalogPool } from '../../src/catalog/catalog-pool.js'
import { inTransaction } from '../../src/catalog/transaction.js'
import { createTestDatabase, type TestDatabase } from '../support/catalog.js'
import { testServer } from '../support/server.js'

let database: TestDatabase
let catalog: CatalogPool
beforeEach(async () => {
  database = await createTestDatabase()
  const { host, port, user, password } = await testServer()
  catalog = createCatalogPool({ host, port, user, password, database: database.databaseName })
})
afterEach(async () => {
  await catalog.end()
  await database.drop()
})

const end = () =>
  database.pool.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'tenants2fast catalog'",
  )

test('a connection that breaks between two queries of a transaction fails the next query and does not end the process', async () => {
  const transaction = inTransaction(catalog, async (client) => {
    await client.query('select 1')
    await end()
    await sleep(100)
    await client.query('select 2')
  })
  await expect(transaction).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE', statusCode: 503 })
  expect((await catalog.query('select 3 as alive')).rows).toEqual([{ alive: 3 }])
})

test('the server ends a transaction whose process stopped in the middle of it', async () => {
  await inTransaction(catalog, async (client) => {
    const { rows } = await client.query('show idle_in_transaction_session_timeout')
    expect(rows).toEqual([{ idle_in_transaction_session_timeout: '10s' }])
  })
  const { rows } = await catalog.query('show idle_in_transaction_session_timeout')
  expect(rows).toEqual([{ idle_in_transaction_session_timeout: '0' }])
})
