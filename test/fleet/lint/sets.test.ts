import { describe, expect, test } from 'vitest'
import { lintMigration } from '../../../src/fleet/lint/lint-migrations.js'
import { badMigrations } from './bad-migrations.js'
import { goodMigrations } from './good-migrations.js'
import type { SetMigration } from './set-migration.js'
import { shopSchema } from './shop-schema.js'

const lint = ({ name, sql, inTransaction = true, batch = [] }: SetMigration) =>
  lintMigration({
    ...{ name, sql, inTransaction },
    context: {
      applied: shopSchema,
      pending: batch.map((each, index) => ({ name: `before-${index}`, sql: each })),
      extensions: ['citext'],
    },
  })

describe('of the bad migrations', () => {
  test.for(badMigrations)('$name', async (migration) => {
    const { findings } = await lint(migration)
    console.log(
      migration.name,
      JSON.stringify(
        findings.map(({ rule, line, lock, rewrites, severity }) => [severity, rule, line, lock, rewrites]),
      ),
    )
    expect(findings.filter(({ severity }) => severity === 'error')).not.toEqual([])
  })
})
describe('of the good migrations', () => {
  test.for(goodMigrations)('$name', async (migration) => {
    const { findings } = await lint(migration)
    expect(findings).toEqual([])
  })
})
