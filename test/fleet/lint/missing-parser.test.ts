import { expect, test, vi } from 'vitest'
import { lintMigration } from '../../../src/fleet/lint/lint-migrations.js'

vi.mock('libpg-query', () => {
  throw new Error("Cannot find package 'libpg-query'")
})

test('without the parser the linter says what to install', async () => {
  await expect(lintMigration({ name: 'a.sql', sql: 'select 1' })).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_PEER_MISSING',
    message: expect.stringContaining('npm install -D libpg-query@18') as string,
  })
})
