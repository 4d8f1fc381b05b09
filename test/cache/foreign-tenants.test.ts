import { randomBytes, randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createRedisTier, type MemberTier } from '../../src/cache/redis/redis.js'
import { findTenancyError } from '../../src/core/errors/errors.js'
import { asking, createRequestPath, type RequestPath, silentLogger } from '../http/fixture.js'
import { describeWithRedis } from '../support/redis/redis.js'
import { testPrefix } from '../support/server.js'

let path: RequestPath | undefined
afterEach(async () => {
  await path?.close()
  path = undefined
})

/** A request path that tells what is done for a request: statements by their text, commands by their kind. */
async function setUp(url?: string) {
  const done: string[] = []
  const keyPrefix = `${testPrefix()}${randomUUID()}`
  const opened = await createRequestPath({
    ...(url === undefined
      ? {}
      : {
          redis: async (installationId): Promise<MemberTier> => {
            const secret = randomBytes(32)
            const tier = await createRedisTier({
              url,
              ttlSeconds: 60,
              installationId,
              secret,
              logger: silentLogger,
              keyPrefix,
              timeoutMs: 2000,
            })
            await vi.waitUntil(() => tier.isOpen, { timeout: 10_000, interval: 5 })
            return {
              get isOpen() {
                return tier.isOpen
              },
              read(address) {
                done.push('redis read')
                return tier.read(address)
              },
              write(record, epoch) {
                done.push('redis write')
                tier.write(record, epoch)
              },
              stats: () => tier.stats(),
              close: () => tier.close(),
            }
          },
        }),
  })
  path = opened
  opened.before = (text) => void done.push(text)
  const theirs = await opened.addTenant('theirs')
  const ours = await opened.addTenant('ours')
  const [insider, outsider] = [await opened.addUser(), await opened.addUser()]
  await opened.addMember(insider, theirs, 'Owner')
  await opened.addMember(outsider, ours)
  await opened.heard()

  /** What is done for one request, and its answer. */
  async function trace(user: string, tenantHeader: string | undefined, pipeline = opened.pipeline) {
    done.length = 0
    const answer = await Promise.resolve(pipeline.handle(asking(opened.tokenFor(user), { tenantHeader }))).then(
      ({ tenant }) => tenant?.slug,
      (error: unknown) => findTenancyError(error)?.code ?? error,
    )
    return { answer, done: [...done] }
  }
  return { path: opened, theirs, ours, insider, outsider, trace }
}

function sameWork(url?: string): void {
  test('a request for a tenant without membership takes the same steps whether that tenant exists or not', async () => {
    const { path: opened, theirs, insider, outsider, trace } = await setUp(url)
    await trace(outsider, undefined)
    const compare = async () => {
      const bySlug = [await trace(outsider, 'theirs'), await trace(outsider, 'nobodys')]
      const byId = [await trace(outsider, theirs), await trace(outsider, randomUUID())]
      for (const [there, notThere] of [bySlug, byId]) {
        expect(there?.answer).toBe('TENANCY_TENANT_FORBIDDEN')
        expect(there).toEqual(notThere)
        expect(there?.done).toHaveLength(1)
        expect(there?.done).not.toContain('redis read')
      }
    }
    await compare()
    // When the tenant is in use, here and elsewhere, and known to this process.
    expect((await trace(insider, theirs)).answer).toBe('theirs')
    expect((await trace(insider, 'theirs')).answer).toBe('theirs')
    await compare()
    // When it has just changed.
    await opened.catalog.pool.query("update tenants set name = 'Other' where id = $1", [theirs])
    await opened.heard()
    await compare()
    await opened.catalog.pool.query("update tenants set status = 'suspended' where id = $1", [theirs])
    await opened.heard()
    await compare()
    // Once it is gone.
    await opened.catalog.pool.query('delete from tenants where id = $1', [theirs])
    await opened.heard()
    await compare()
  })
}

describe('without Redis', () => {
  sameWork()
})

describeWithRedis('with Redis', (url) => {
  sameWork(url)

  test('a request that names no tenant writes its member to Redis and reads the one of another process', async () => {
    const { path: opened, outsider, trace } = await setUp(url)
    const first = await trace(outsider, undefined)
    expect(first).toMatchObject({ answer: 'ours' })
    expect(first.done.filter((item) => item.startsWith('redis'))).toEqual(['redis read', 'redis write'])
    const other = opened.anotherProcess()
    // The user and the epochs; the member comes from Redis, wherever it was named.
    await vi.waitFor(async () => {
      const second = await trace(outsider, undefined, opened.anotherProcess().pipeline)
      expect(second).toMatchObject({ answer: 'ours' })
      expect(second.done).toHaveLength(3)
      expect(second.done[2]).toBe('redis read')
    })
    const named = await trace(outsider, 'ours', other.pipeline)
    expect(named).toMatchObject({ answer: 'ours' })
    expect(named.done[2]).toBe('redis read')
    expect(named.done).toHaveLength(3)
    other.close()
  })

  test('a changed, suspended or deleted default tenant is noticed by a process that read the member from Redis', async () => {
    const { path: opened, ours, outsider, trace } = await setUp(url)
    const second = await opened.addTenant('second')
    const other = opened.anotherProcess()
    const both = async () => [
      (await trace(outsider, undefined)).answer,
      (await trace(outsider, undefined, other.pipeline)).answer,
    ]
    const after = async (text: string, ...values: string[]) => {
      await opened.catalog.pool.query(text, values)
      await opened.heard()
      return both()
    }
    expect(await both()).toEqual(['ours', 'ours'])
    expect(await after('insert into user_tenants (user_id, tenant_id) values ($1, $2)', outsider, second)).toEqual([
      'TENANCY_TENANT_REQUIRED',
      'TENANCY_TENANT_REQUIRED',
    ])
    expect(await after('update user_tenants set is_default = true where tenant_id = $1', second)).toEqual([
      'second',
      'second',
    ])
    expect(await after("update tenants set status = 'suspended' where id = $1", second)).toEqual([
      'TENANCY_TENANT_SUSPENDED',
      'TENANCY_TENANT_SUSPENDED',
    ])
    expect(await after('update user_tenants set is_default = false where tenant_id = $1', second)).toEqual([
      'TENANCY_TENANT_REQUIRED',
      'TENANCY_TENANT_REQUIRED',
    ])
    expect(await after("update tenants set status = 'deleted' where id = $1", second)).toEqual(['ours', 'ours'])
    expect(await after("update tenants set status = 'active' where id = $1", second)).toEqual([
      'TENANCY_TENANT_REQUIRED',
      'TENANCY_TENANT_REQUIRED',
    ])
    expect(await after("update tenants set status = 'deleted' where id in ($1, $2)", ours, second)).toEqual([
      'TENANCY_TENANT_REQUIRED',
      'TENANCY_TENANT_REQUIRED',
    ])
    expect(await after('delete from user_tenants where user_id = $1', outsider)).toEqual([
      'TENANCY_TENANT_NONE',
      'TENANCY_TENANT_NONE',
    ])
    other.close()
  })
})
