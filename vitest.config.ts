import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/support/run/sequencer.js'

export default defineConfig({
  resolve: { conditions: ['node'] },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/run/global-setup.ts'],
    // Bounds for what hangs: on a busy machine all takes ten times as long, and no test depends on its speed.
    testTimeout: 120_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    // Few workers: the suite shares one PostgreSQL server and its connection slots.
    pool: 'forks',
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
  },
})
