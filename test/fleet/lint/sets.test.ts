import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RehearsedFile } from '../../../src/core/fleet/rehearsal.js'
import { createFileRecorder } from '../../../src/databases/rehearsal/file-recorder.js'
import { describeError } from '../../../src/databases/rehearsal/rehearse-database.js'
import type { LintFinding } from '../../../src/fleet/lint/findings.js'
import { lintMigration } from '../../../src/fleet/lint/lint-migrations.js'
import { problemsOf } from '../../../src/fleet/rehearse/find-problems.js'
import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { applySqlFiles } from '../../../src/postgres/files/sql-files.js'
import { createTestDatabase, type TestDatabase } from '../../support/catalog.js'
import { uniqueName, urlOf, withAdmin } from '../../support/server.js'
import { badMigrations } from './bad-migrations.js'
import { goodMigrations } from './good-migrations.js'
import type { SetMigration } from './set-migration.js'
import { shopOrders, shopRows, shopSchema } from './shop-schema.js'

const codes = {
  invalid: 'TENANCY_DATABASE_SCHEMA_INVALID',
  failed: 'TENANCY_DATABASE_SCHEMA_FAILED',
  blocked: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
} as const

let shop: TestDatabase

beforeAll(async () => {
  shop = await createTestDatabase()
  const [first, rules, last] = shopSchema
  await shop.pool.query('create schema tenants2fast')
  await shop.pool.query(first.sql)
  await shop.pool.query(shopRows)
  await shop.pool.query(rules.sql)
  await shop.pool.query(shopOrders)
  await shop.pool.query(last.sql)
  await shop.pool.end()
}, 60_000)
afterAll(() => shop.drop())

/** What a developer is told without a database. */
async function lint({ name, sql, inTransaction = true, batch = [] }: SetMigration): Promise<readonly LintFinding[]> {
  const pending = batch.map((each, index) => ({ name: `before-${index}`, sql: each }))
  const context = { applied: shopSchema, pending, extensions: ['citext'] }
  return (await lintMigration({ name, sql, inTransaction, context })).findings
}

/** Runs a migration as a rehearsal does, on a copy of the shop. */
async function rehearse({ name, sql, inTransaction = true, batch = [] }: SetMigration): Promise<RehearsedFile[]> {
  const database = uniqueName()
  await withAdmin((admin) =>
    admin.query(`create database ${quoteIdentifier(database)} template ${quoteIdentifier(shop.databaseName)}`),
  )
  const client = new Client({ connectionString: urlOf(database) })
  await client.connect()
  const texts = [...batch.map((each) => ({ up: each, inTransaction: true })), { up: sql, inTransaction }]
  const files = texts.map((text, version) => ({
    ...text,
    version,
    name: `${version}_${name}`,
    checksum: String(version),
  }))
  const done: RehearsedFile[] = []
  try {
    for (const [index, file] of files.entries()) {
      const recorder = createFileRecorder()
      const startedAt = performance.now()
      const about = () => ({ name: file.name, durationMs: performance.now() - startedAt, ...recorder.effects })
      const ledger = { schema: 'tenants2fast', codes, maxAttempts: 1, ...recorder, finish: recorder.finish }
      const error = await applySqlFiles(client, files.slice(0, index + 1), ledger).then(
        () => undefined,
        (cause: unknown) => describeError(cause),
      )
      done.push({ ...about(), ...(error && { error }) })
    }
  } finally {
    await client.end()
    await withAdmin((admin) => admin.query(`drop database ${quoteIdentifier(database)} with (force)`))
  }
  return done
}

describe('a bad migration is stopped by the linter, or else by a rehearsal', () => {
  test.for(badMigrations)('$name', async (migration) => {
    const errors = (await lint(migration)).filter(({ severity }) => severity === 'error')
    const problems = errors.length > 0 ? [] : (await rehearse(migration)).flatMap(problemsOf)
    expect([...errors, ...problems].length > 0).toBe(migration.missed === undefined)
  })
})

test('of the bad migrations no more than one of fifteen is missed', () => {
  const missed = badMigrations.filter((migration) => migration.missed !== undefined)
  expect(missed.length / badMigrations.length).toBeLessThanOrEqual(2 / 30)
})

describe('a good migration passes both', () => {
  test.for(goodMigrations)('$name', async (migration) => {
    expect(await lint(migration)).toEqual([])
    expect((await rehearse(migration)).flatMap(problemsOf)).toEqual([])
  })
})
