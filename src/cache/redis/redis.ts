import type { MemberRecord } from '../../core/access/access.js'
import type { Logger } from '../../core/logger.js'
import { decodeMember, encodeMember, type MemberAddress } from './member-format.js'
import { createRedisConnection } from './redis-connection.js'
import type { VolatileCounts } from '../../core/shared-counts.js'
import { createRedisCounts } from '../counts/redis-counts.js'
import { createValueSeal } from './value-seal.js'

/** Counts of what the reads of a shared tier found. */
export interface SharedCacheStats {
  readonly hits: number
  readonly misses: number
  /** Values that this installation did not write under their key. */
  readonly refused: number
  /** Answers that came too late, and connections that were lost. */
  readonly failures: number
}

/** A cache of members that processes share. It may answer undefined at any time; it never throws. */
export interface MemberTier {
  /** False while it is paused because it does not answer. */
  readonly isOpen: boolean
  read(address: MemberAddress): Promise<MemberRecord | undefined>
  /** Stores a record that is at least as new as the user's epoch. Does not wait. */
  write(record: MemberRecord, userEpoch: number): void
  stats(): SharedCacheStats
  /** Whether it answers now. */
  ping?(): Promise<boolean>
  close(): Promise<void>
}

/** A shared tier on Redis, with the counts beside the members. */
export interface RedisTier extends MemberTier {
  readonly counts: VolatileCounts
}

/** What {@link createRedisTier} needs. */
export interface RedisTierOptions {
  readonly url: string
  readonly ttlSeconds: number
  /** `installation.id` of the catalog: installations may share a Redis. */
  readonly installationId: string
  /** The master secret, 32 bytes: proves what this installation wrote. */
  readonly secret: Buffer
  readonly logger: Logger
  /** First part of every key. Default: `tenants2fast`. */
  readonly keyPrefix?: string
  /** An answer that takes longer is not waited for. Default: 50. */
  readonly timeoutMs?: number
  /** The clock, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number
}

/** Longer values are neither written nor read: a member with 30,000 permissions fits. */
const maxValueBytes = 256 * 1024
const refusalLogIntervalMs = 60_000

/**
 * The shared tier on Redis, which is not trusted: an attacker who can write there can delete values, and nothing else. A key
 * names installation, user, tenant and all three epochs; a value carries a MAC over key and value ({@link createValueSeal})
 * and its age. While Redis is down or slow, or for a value that is corrupt, forged or older than `ttlSeconds`, the answer
 * is undefined.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export async function createRedisTier(options: RedisTierOptions): Promise<RedisTier> {
  const { url, ttlSeconds, installationId, secret, logger, keyPrefix = 'tenants2fast', timeoutMs = 50 } = options
  const { now = Date.now } = options
  const seal = createValueSeal(secret, installationId)
  const connection = await createRedisConnection({ url, timeoutMs, logger })
  const counts = { hits: 0, misses: 0, refused: 0 }
  let refusalLoggedAtMs = Number.NEGATIVE_INFINITY

  // The prefix and the ids hold no colon that could move a border: ids are UUIDs, epochs are numbers. The number after the
  // prefix is that of the value's shape.
  const keyOf = ({ userId, tenantId, user, tenant, rules }: MemberAddress) =>
    `${keyPrefix}:2:member:${installationId}:${userId}:${tenantId}:${user}:${tenant}:${rules}`

  function refuse({ userId, tenantId }: MemberAddress): undefined {
    counts.refused += 1
    const nowMs = performance.now()
    if (nowMs - refusalLoggedAtMs < refusalLogIntervalMs) return
    refusalLoggedAtMs = nowMs
    logger.warn(
      { userId, tenantId, refused: counts.refused },
      'A value in Redis was not written by this installation and was refused: somebody else writes there',
    )
  }

  return {
    counts: createRedisCounts({ connection, keyPrefix, installationId }),
    get isOpen() {
      return connection.isOpen
    },
    async read(address) {
      if (!connection.isOpen) return undefined
      const key = keyOf(address)
      // Not GET: a value of half a gigabyte, put there by somebody, would be read into memory.
      const stored = await connection.send(['GETRANGE', key, '0', String(maxValueBytes)])
      if (stored === undefined) return undefined
      if (!Buffer.isBuffer(stored)) return refuse(address)
      if (stored.length === 0) {
        counts.misses += 1
        return undefined
      }
      const opened = stored.length > maxValueBytes ? undefined : seal.open(key, stored)
      if (opened === undefined) return refuse(address)
      const record = decodeMember(opened, address, { oldestMs: now() - ttlSeconds * 1000, nowMs: now() })
      counts[record === undefined ? 'misses' : 'hits'] += 1
      return record
    },
    write(record, userEpoch) {
      if (!connection.isOpen) return
      const { userId, tenantId } = record.membership
      const key = keyOf({ userId, tenantId, user: userEpoch, tenant: record.tenantEpoch, rules: record.rulesEpoch })
      const value = seal.seal(key, encodeMember(record, now()))
      if (Buffer.byteLength(value) > maxValueBytes) return
      void connection.send(['SET', key, value, 'EX', String(ttlSeconds)])
    },
    stats: () => ({ ...counts, failures: connection.failures }),
    async ping() {
      return connection.isOpen && (await connection.send(['PING'])) !== undefined
    },
    async close() {
      connection.close()
    },
  }
}
