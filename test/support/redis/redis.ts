import { describe, inject } from 'vitest'

/** Address of the Redis that this run may use, or undefined. Flush nothing: use keys of your own (`testPrefix()`). */
export function redisUrl(): string | undefined {
  return inject('tenants2fast').redisUrl
}

/**
 * `describe` for tests that need a real Redis: `define` gets its address. Without TENANT_REDIS_URL the block is skipped
 * by name with the reason; a run that promises a Redis (CI with T2F_EXPECT_REDIS=1) never comes that far, because global
 * setup fails it.
 */
export function describeWithRedis(name: string, define: (url: string) => void): void {
  const url = redisUrl()
  if (url !== undefined) describe(name, () => define(url))
  else describe.skip(`${name} [skipped: no Redis, TENANT_REDIS_URL is not set]`, () => define('redis://skipped'))
}
