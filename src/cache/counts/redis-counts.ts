import type { Count, VolatileCounts } from '../../core/shared-counts.js'
import type { RedisConnection } from '../redis/redis-connection.js'

/** What {@link createRedisCounts} needs. */
export interface RedisCountsOptions {
  readonly connection: Pick<RedisConnection, 'isOpen' | 'send'>
  readonly keyPrefix: string
  /** `installation.id` of the catalog: installations may share a Redis. */
  readonly installationId: string
}

/**
 * Counts under one key after the other until one is beyond its points, by the clock of Redis. A refused request writes nothing. What is no
 * count of ours is answered with an error, so that the catalog counts; a window that is longer than ours is cut.
 * KEYS: the keys. ARGV: points and milliseconds of the window of each. Answers with count and milliseconds left of each.
 */
const script = `
local answer = {}
for i, key in ipairs(KEYS) do
  local most, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local value = redis.call('GET', key)
  if value and not (string.match(value, '^%d+$') and #value < 16) then
    return redis.error_reply('WRONGTYPE this is no count')
  end
  local consumed, left = tonumber(value or '0'), redis.call('PTTL', key)
  if value and (left < 0 or left > window) then
    redis.call('PEXPIRE', key, window)
    left = window
  end
  if consumed <= most then
    consumed = redis.call('INCR', key)
    if not value then
      redis.call('PEXPIRE', key, window)
      left = window
    end
  end
  answer[2 * i - 1], answer[2 * i] = consumed, left
  if consumed > most then break end
end
return answer
`

/**
 * Counts in Redis, in one round trip. Redis is not trusted with more than that: who can write there can refuse requests for the rest
 * of a window or let more of them pass, and nothing else, as a count opens no door.
 */
export function createRedisCounts({ connection, keyPrefix, installationId }: RedisCountsOptions): VolatileCounts {
  // The braces keep the keys of an installation together, where Redis is divided by keys.
  const keyOf = (key: string) => `${keyPrefix}:1:count:{${installationId}}:${key}`

  return {
    async count(counted) {
      if (!connection.isOpen) return undefined
      const keys = counted.map(({ key }) => keyOf(key))
      const facts = counted.flatMap(({ points, windowSeconds }) => [String(points), String(windowSeconds * 1000)])
      return readCounts(await connection.send(['EVAL', script, String(keys.length), ...keys, ...facts]), counted.length)
    },
  }
}

function readCounts(answer: unknown, most: number): Count[] | undefined {
  if (!Array.isArray(answer) || answer.length === 0 || answer.length > 2 * most) return undefined
  const numbers: unknown[] = answer
  if (answer.length % 2 !== 0 || !numbers.every((each) => typeof each === 'number')) return undefined
  return Array.from({ length: numbers.length / 2 }, (_, index) => ({
    consumed: numbers[2 * index] as number,
    msLeft: Math.max(0, numbers[2 * index + 1] as number),
  }))
}
