import { randomBytes, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import type { MemberAddress } from '../../src/cache/redis/member-format.js'
import { createRedisTier, type MemberTier, type RedisTierOptions } from '../../src/cache/redis/redis.js'
import type { Logger } from '../../src/core/logger.js'
import { openRedisIntruder, type RedisIntruder } from '../support/redis/redis-intruder.js'
import { describeWithRedis } from '../support/redis/redis.js'
import { testPrefix } from '../support/server.js'
import { memberRecord } from './member-record.js'

describeWithRedis('an attacker who can write to Redis', (url) => {
  const secret = randomBytes(32)
  const keyPrefix = `${testPrefix()}${randomUUID()}`
  const [userId, tenantId] = [randomUUID(), randomUUID()]
  const address: MemberAddress = { userId, tenantId, user: 3, tenant: 4, rules: 7 }
  const record = memberRecord(userId, tenantId)
  const logged: unknown[][] = []
  const log = (...line: unknown[]) => void logged.push(line)
  const logger: Logger = { debug: log, info: log, warn: log, error: log }
  const opened: MemberTier[] = []
  let intruder: RedisIntruder

  beforeAll(async () => {
    intruder = await openRedisIntruder(url)
  })
  afterAll(() => intruder.close())
  afterEach(async () => {
    for (const tier of opened.splice(0)) await tier.close()
    for (const key of await intruder.keys(keyPrefix)) await intruder.send('DEL', key)
    logged.length = 0
  })

  async function open(options: Partial<RedisTierOptions> = {}): Promise<MemberTier> {
    const tier = await createRedisTier({
      url,
      ttlSeconds: 60,
      installationId: 'one',
      secret,
      logger,
      keyPrefix,
      timeoutMs: 2000,
      ...options,
    })
    opened.push(tier)
    await vi.waitUntil(() => tier.isOpen, { timeout: 10_000, interval: 5 })
    return tier
  }

  /** A tier with one genuine entry, and its key and value. */
  async function withEntry(options: Partial<RedisTierOptions> = {}) {
    const tier = await open(options)
    tier.write(record, address.user)
    await vi.waitFor(async () => expect(await tier.read(address)).toEqual(record))
    const [key] = await intruder.keys(keyPrefix)
    if (key === undefined) throw new Error('An entry was written')
    return { tier, key, value: await intruder.read(key) }
  }

  test('gains nothing by copying a genuine value to the key of another user, tenant or epoch', async () => {
    const { tier, key, value } = await withEntry()
    const others: Partial<MemberAddress>[] = [{ userId: randomUUID() }, { tenantId: randomUUID() }]
    for (const part of ['user', 'tenant', 'rules'] as const) {
      for (const step of [-1, 1, 2, 10]) others.push({ [part]: address[part] + step })
    }
    others.push({ user: 4, tenant: 5, rules: 8 })
    for (const [count, change] of others.entries()) {
      const other = { ...address, ...change }
      const otherKey = key
        .replace(userId, other.userId)
        .replace(tenantId, other.tenantId)
        .replace(/:3:4:7$/, `:${other.user}:${other.tenant}:${other.rules}`)
      expect(await tier.read(other)).toBeUndefined()
      await intruder.write(otherKey, value)
      expect([change, await tier.read(other)]).toEqual([change, undefined])
      expect(tier.stats().refused).toBe(count + 1)
    }
    expect(await tier.read(address)).toEqual(record)
  })

  test('gains nothing by changing any byte of key or value', async () => {
    const { tier, key, value } = await withEntry()
    await fc.assert(
      fc.asyncProperty(fc.nat(value.length - 1), fc.integer({ min: 1, max: 255 }), async (place, by) => {
        const forged = Buffer.from(value)
        forged[place] = (forged[place] ?? 0) ^ by
        await intruder.write(key, forged)
        expect(await tier.read(address)).toBeUndefined()
      }),
      { numRuns: 200 },
    )
    await intruder.write(key, value)
    expect(await tier.read(address)).toEqual(record)
    // The key that is asked for is made of what the catalog said: a changed one is simply not asked for.
    await intruder.send('RENAME', key, `${key}0`)
    expect(await tier.read(address)).toBeUndefined()
    expect(await tier.read({ ...address, rules: 70 })).toBeUndefined()
  })

  test('gains nothing by values without a MAC, of an older format, of garbage, empty, or of another type', async () => {
    const { tier, key, value } = await withEntry()
    const owner = { ...record, grants: { ...record.grants, roles: ['Owner'] } }
    const code = value.subarray(0, 43).toString()
    const text = value.subarray(43).toString()
    const forgeries = [
      text,
      JSON.stringify({ writtenAtMs: Date.now(), record: owner }),
      JSON.stringify({ address: { ...address, installationId: 'one' }, record: owner }),
      code + JSON.stringify({ writtenAtMs: Date.now(), record: owner }),
      code + text.replace('Member', 'Owner'),
      code,
      code.slice(1),
      '{}',
      'null',
      '\0',
    ]
    for (const forgery of forgeries) {
      await intruder.write(key, forgery)
      expect([forgery, await tier.read(address)]).toEqual([forgery, undefined])
    }
    for (const command of [
      ['HSET', key, 'a', 'b'],
      ['RPUSH', key, value.toString()],
      ['SADD', key, value.toString()],
    ]) {
      await intruder.send('DEL', key)
      await intruder.send(...command)
      expect([command[0], await tier.read(address)]).toEqual([command[0], undefined])
    }
    expect(tier.stats()).toMatchObject({ refused: forgeries.length + 3, failures: 0 })
    expect(tier.isOpen).toBe(true)
  })

  test('is counted, and logged at intervals without any part of the value', async () => {
    const { tier, key } = await withEntry()
    for (let round = 0; round < 20; round += 1) {
      await intruder.write(key, 'a forged value')
      await tier.read(address)
    }
    expect(tier.stats().refused).toBe(20)
    expect(logged).toHaveLength(1)
    expect(logged[0]).toEqual([
      { userId, tenantId, refused: 1 },
      expect.stringContaining('was not written by this installation'),
    ])
    expect(JSON.stringify(logged)).not.toContain('forged')
  })

  test('cannot have values of another installation or secret accepted', async () => {
    const { key, value } = await withEntry()
    const other = await open({ installationId: 'two' })
    await intruder.write(key.replace(':one:', ':two:'), value)
    expect(await other.read(address)).toBeUndefined()
    expect(other.stats().refused).toBe(1)
    const changed = await open({ secret: randomBytes(32) })
    expect(await changed.read(address)).toBeUndefined()
    expect(changed.stats().refused).toBe(1)
  })

  test('cannot keep a value alive: it expires by its own age, and one from the future is refused', async () => {
    let nowMs = Date.now()
    const { tier, key } = await withEntry({ now: () => nowMs })
    await intruder.send('PERSIST', key)
    nowMs += 59_000
    expect(await tier.read(address)).toEqual(record)
    nowMs += 1001
    expect(await tier.read(address)).toBeUndefined()
    nowMs -= 60_001 + 59_000
    expect(await tier.read(address)).toEqual(record)
    nowMs -= 1001
    expect(await tier.read(address)).toBeUndefined()
    expect(tier.stats().refused).toBe(0)
  })

  test('cannot keep a temporary permission: the value ends with it at unchanged epochs', async () => {
    let nowMs = Date.now()
    const tier = await open({ now: () => nowMs })
    const temporary = memberRecord(userId, tenantId, nowMs + 5000)
    tier.write(temporary, address.user)
    await vi.waitFor(async () => expect(await tier.read(address)).toEqual(temporary))
    nowMs += 4999
    expect(await tier.read(address)).toEqual(temporary)
    nowMs += 1
    expect(await tier.read(address)).toBeUndefined()
  })

  test('cannot fill the memory: at most a bounded part of a long value is read', async () => {
    const { tier, key, value } = await withEntry()
    await intruder.write(key, Buffer.concat([value, Buffer.alloc(64 * 1024 * 1024, ' ')]))
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed
    for (let round = 0; round < 20; round += 1) expect(await tier.read(address)).toBeUndefined()
    const grown = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before
    expect(grown).toBeLessThan(64 * 1024 * 1024)
    expect(tier.stats()).toMatchObject({ refused: 20, failures: 0 })
  })

  test('can delete values, which costs a read of the catalog each', async () => {
    const { tier, key } = await withEntry()
    await intruder.send('DEL', key)
    expect(await tier.read(address)).toBeUndefined()
    expect(tier.stats()).toMatchObject({ refused: 0, failures: 0 })
  })

  test('finds no secret in the values, and an expiry on each', async () => {
    const { key, value } = await withEntry()
    expect(Number(await intruder.send('TTL', key))).toBeGreaterThan(0)
    expect(value.toString()).not.toMatch(/secret|password|token|database"/i)
    expect(value.includes(secret)).toBe(false)
  })
})
