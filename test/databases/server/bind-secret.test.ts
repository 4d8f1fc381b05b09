import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bindSecret } from '../../../src/databases/server/bind-secret.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'

let catalog: TestDatabase
beforeEach(async () => {
  catalog = await createTestCatalog()
})
afterEach(() => catalog.drop())

test('A catalog takes the first master secret and refuses any other', async () => {
  const secret = randomBytes(32)
  await bindSecret(catalog.pool, secret)
  await bindSecret(catalog.pool, secret)
  const failure = await bindSecret(catalog.pool, randomBytes(32)).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'TENANCY_CONFIG_SECRET_MISMATCH' })
  const { rows } = await catalog.pool.query('select secret_check from installation')
  expect(rows[0].secret_check).toMatch(/^[A-Za-z0-9_-]{43}$/)
  for (const shown of [rows[0].secret_check, String(failure), JSON.stringify(failure)]) {
    expect(shown).not.toContain(secret.toString('hex'))
    expect(shown).not.toContain(secret.toString('base64url'))
  }
})

test('Of two processes that bind different master secrets at once, one is refused', async () => {
  const results = await Promise.allSettled([
    bindSecret(catalog.pool, randomBytes(32)),
    bindSecret(catalog.pool, randomBytes(32)),
  ])
  expect(results.map((result) => result.status).toSorted()).toEqual(['fulfilled', 'rejected'])
})
