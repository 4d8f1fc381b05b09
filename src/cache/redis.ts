import { z } from 'zod'
import type { MemberRecord } from '../core/access.js'
import { TenancyError } from '../core/errors.js'
import type { Logger } from '../core/logger.js'

/** Where in the shared tier a member is found: who, where, and at which epochs. */
export interface MemberAddress {
  readonly userId: string
  readonly tenantId: string
  /** `users.access_epoch`, `tenants.access_epoch` and `installation.rules_epoch`. */
  readonly user: number
  readonly tenant: number
  readonly rules: number
}

/** A tier of members that processes share. It may always answer "don't know"; it never throws. */
export interface MemberTier {
  /** False while it is left alone because it does not answer. */
  readonly isOpen: boolean
  read(address: MemberAddress): Promise<MemberRecord | undefined>
  /** Keeps a record that is at least as new as the user's epoch. Does not wait. */
  write(record: MemberRecord, userEpoch: number): void
  /** Whether it answers now. */
  ping?(): Promise<boolean>
  close(): Promise<void>
}

/** What {@link createRedisTier} needs. */
export interface RedisTierOptions {
  readonly url: string
  readonly ttlSeconds: number
  /** `installation.id` of the catalog: installations may share a Redis. */
  readonly installationId: string
  readonly logger: Logger
  /** First part of every key. Default: `tenants2fast`. */
  readonly keyPrefix?: string
  /** An answer that takes longer is not waited for. Default: 50. */
  readonly timeoutMs?: number
}

const failuresUntilPause = 5
const pauseMs = 2000

const date = z.iso.datetime().transform((text) => new Date(text))
const epoch = z.int().nonnegative()
const text = z.string()
const valueSchema = z.object({
  address: z.object({
    installationId: text,
    userId: text,
    tenantId: text,
    user: epoch,
    tenant: epoch,
    rules: epoch,
  }),
  record: z.object({
    tenant: z.object({
      id: text,
      slug: text,
      name: text,
      status: z.enum(['active', 'suspended', 'deleted']),
      contactEmail: text.nullable(),
      maxUsers: z.int().nullable(),
      databaseId: text.nullable(),
      createdBy: text.nullable(),
      createdAt: date,
      updatedAt: date,
      suspendedAt: date.nullable(),
      deletedAt: date.nullable(),
    }),
    membership: z.object({
      userId: text,
      tenantId: text,
      isActive: z.boolean(),
      isDefault: z.boolean(),
      createdAt: date,
      updatedAt: date,
    }),
    database: z
      .object({
        id: text,
        serverId: text,
        name: text,
        roleName: text,
        state: z.enum(['building', 'ready', 'assigned', 'retired', 'dropping']),
        epoch,
        createdAt: date,
        updatedAt: date,
        retiredAt: date.nullable(),
      })
      .nullable(),
    grants: z.object({
      roles: z.array(text),
      permissionIds: z.array(z.int()),
      changesAtMs: z.number().nullable(),
    }),
    tenantEpoch: epoch,
    rulesEpoch: epoch,
  }),
})

/**
 * The shared tier on Redis (package `redis`, an optional peer). A key names installation, user, tenant and all
 * three epochs; the value repeats them and counts only if they are the same. Down, slow or corrupt: "don't know".
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export async function createRedisTier(options: RedisTierOptions): Promise<MemberTier> {
  const { url, ttlSeconds, installationId, logger, keyPrefix = 'tenants2fast', timeoutMs = 50 } = options
  const { createClient } = await import('redis').catch((cause: unknown) => {
    throw new TenancyError(
      'TENANCY_CONFIG_PEER_MISSING',
      'TENANT_REDIS_URL needs the package redis: npm install redis@6',
      {
        cause,
      },
    )
  })
  const client = createClient({
    url,
    RESP: 3,
    // A command for a Redis that is away fails at once instead of waiting for it.
    disableOfflineQueue: true,
    commandsQueueMaxLength: 10_000,
    socket: { connectTimeout: 1000, reconnectStrategy: (retries) => Math.min(50 * 2 ** retries, 5000) },
  })
  let failures = 0
  let failedAtMs = Number.NEGATIVE_INFINITY
  let pausedUntilMs = Number.NEGATIVE_INFINITY

  client.on('error', (error: unknown) => fail(error))
  // Not awaited: a process starts without its Redis, and finds it later.
  client.connect().catch((error: unknown) => fail(error))

  function fail(error: unknown): void {
    const nowMs = performance.now()
    // Those who wait together give up together: a moment in which nothing moved is one failure, however many felt it.
    if (nowMs - failedAtMs < timeoutMs / 2 || nowMs < pausedUntilMs) return
    failedAtMs = nowMs
    failures += 1
    if (failures < failuresUntilPause) return
    pausedUntilMs = nowMs + pauseMs
    logger.warn({ err: error }, 'Redis does not answer; members are read from the catalog')
  }

  async function within<Value>(work: Promise<Value>): Promise<Value | undefined> {
    let timer: NodeJS.Timeout | undefined
    try {
      const value = await Promise.race([
        work,
        new Promise<never>((_, reject) => {
          const giveUp = () => reject(new Error(`Redis took longer than ${timeoutMs} ms`))
          // When this process was busy for that long, the answer is there by now, and comes before the immediate.
          timer = setTimeout(() => setImmediate(giveUp), timeoutMs)
        }),
      ])
      failures = 0
      return value
    } catch (error) {
      fail(error)
      return undefined
    } finally {
      clearTimeout(timer)
    }
  }

  const isOpen = () => client.isReady && performance.now() >= pausedUntilMs
  // The prefix and the ids hold no colon that could move a border: ids are UUIDs, epochs are numbers.
  const keyOf = ({ userId, tenantId, user, tenant, rules }: MemberAddress) =>
    `${keyPrefix}:member:${installationId}:${userId}:${tenantId}:${user}:${tenant}:${rules}`

  return {
    get isOpen() {
      return isOpen()
    },
    async read(address) {
      if (!isOpen()) return undefined
      const stored = await within(client.get(keyOf(address)))
      return typeof stored === 'string' ? decode(stored, { ...address, installationId }) : undefined
    },
    write(record, userEpoch) {
      if (!isOpen()) return
      const { userId, tenantId } = record.membership
      const address = { userId, tenantId, user: userEpoch, tenant: record.tenantEpoch, rules: record.rulesEpoch }
      const value = JSON.stringify({ address: { ...address, installationId }, record })
      void within(client.set(keyOf(address), value, { expiration: { type: 'EX', value: ttlSeconds } }))
    },
    async ping() {
      return client.isReady && (await within(client.ping())) !== undefined
    },
    async close() {
      client.destroy()
    },
  }
}

/** The record, if the text is one and belongs to the address; undefined otherwise. */
function decode(stored: string, address: MemberAddress & { installationId: string }): MemberRecord | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(stored)
  } catch {
    return undefined
  }
  const { data } = valueSchema.safeParse(parsed)
  if (data === undefined) return undefined
  const { record } = data
  const isSame =
    data.address.installationId === address.installationId &&
    data.address.userId === address.userId &&
    data.address.tenantId === address.tenantId &&
    data.address.user === address.user &&
    data.address.tenant === address.tenant &&
    data.address.rules === address.rules &&
    record.membership.userId === address.userId &&
    record.membership.tenantId === address.tenantId &&
    record.tenant.id === address.tenantId &&
    record.tenantEpoch === address.tenant &&
    record.rulesEpoch === address.rules &&
    (record.database === null || record.database.id === record.tenant.databaseId)
  const { changesAtMs } = record.grants
  return isSame && (changesAtMs === null || Date.now() < changesAtMs) ? record : undefined
}
