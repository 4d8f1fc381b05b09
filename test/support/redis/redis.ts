import { inject } from 'vitest'
import { describeWith, type Requirement } from '../requirements.js'

/** Address of the Redis that this run may use, or undefined. Flush nothing: use keys of your own (`testPrefix()`). */
export function redisUrl(): string | undefined {
  return inject('tenants2fast').redisUrl
}

/** A Redis that this run may use. */
export const redis: Requirement = {
  get isMet() {
    return redisUrl() !== undefined
  },
  need: 'Redis: set TENANT_REDIS_URL',
}

/**
 * `describe` for tests that need a real Redis: `define` gets its address. Without TENANT_REDIS_URL the block is skipped and
 * says so; a run that promises a Redis (CI with T2F_EXPECT_REDIS=1) fails in its global setup before.
 */
export function describeWithRedis(title: string, define: (url: string) => void): void {
  describeWith(redis, title, () => define(redisUrl() ?? 'redis://skipped'))
}
