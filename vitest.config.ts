import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/support/sequencer.js'

export default defineConfig({
  resolve: { conditions: ['node'] },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // On a busy machine a second, the default, is not much.
    expect: { poll: { timeout: 20_000 } },
    // Few workers: the suite shares one PostgreSQL server and its connection slots.
    pool: 'forks',
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
  },
})
