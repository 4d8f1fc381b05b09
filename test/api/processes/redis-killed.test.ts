import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenant } from '../../../src/index.js'
import { openRedisIntruder } from '../../support/redis/redis-intruder.js'
import { type RedisProcess, redisServer, startRedisProcess } from '../../support/redis/redis-process.js'
import { describeWith } from '../../support/requirements.js'
import { type ApiProcess, ApiProcesses, type Caller } from './api-processes.js'

// A Redis that is killed, and comes back with what it knew before, under two processes of the operating system.

const limits = { changesPerUser: 20 }

describeWith(redisServer, 'Redis killed with -9, and started again', () => {
  let redis: RedisProcess
  let processes: ApiProcesses
  let both: readonly [ApiProcess, ApiProcess]
  let owner: Caller
  let tenant: Tenant
  beforeAll(async () => {
    redis = await startRedisProcess()
    processes = new ApiProcesses(limits, { TENANT_REDIS_URL: redis.url })
    await processes.open()
    both = await Promise.all([processes.start(), processes.start()])
    owner = await processes.createUser()
    tenant = await processes.createTenant(owner)
  })
  afterAll(async () => {
    await processes?.close()
    await redis?.close()
  })

  const change = (served: ApiProcess, as: Caller) =>
    served.call(`PATCH /tenants/${tenant.id}`, { as, body: { name: 'Acme' } })
  const read = (served: ApiProcess, as: Caller) => served.call(`GET /tenants/${tenant.id}/members`, { as })

  const keysInRedis = async (part: string) => {
    const intruder = await openRedisIntruder(redis.url)
    try {
      return (await intruder.keys('tenants2fast:')).filter((key) => key.includes(part))
    } finally {
      intruder.close()
    }
  }
  const countsInCatalog = async (user: Caller) => {
    const { catalog } = processes.tenancy.accountsHost()
    const { rows } = await catalog.query<{ points: number }>('select points from limited_requests where key = $1', [
      `user:${user.id}`,
    ])
    return rows.map(({ points }) => points)
  }
  /** A process counts in Redis: a change of somebody new leaves a count there, and none in the catalog. */
  const countsInRedis = (served: ApiProcess) =>
    expect
      .poll(async () => {
        const somebody = await processes.join(tenant, ['Owner'])
        expect((await change(served, somebody)).status).toBe(200)
        return [(await keysInRedis(`:user:${somebody.id}`)).length, await countsInCatalog(somebody)]
      })
      .toEqual([1, []])
  const haveRecovered = () => Promise.all(both.map(countsInRedis))

  test('Requests go on: none is answered 5xx while it goes, is away, and comes back', async () => {
    await haveRecovered()
    const members = await Promise.all(Array.from({ length: 8 }, () => processes.join(tenant, ['Owner'])))
    const counts = new Map<string, number>()
    let isStopped = false
    let answered = 0
    const workers = members.map(async (as, index) => {
      for (let round = 0; !isStopped; round += 1) {
        const served = both[(index + round) % 2]!
        const { status, json } = await (round % 4 === 0 ? change(served, as) : read(served, as))
        const outcome = (json?.code as string | undefined) ?? String(status)
        counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
        answered += 1
      }
    })
    const some = async (more: number) => {
      const before = answered
      await expect.poll(() => answered).toBeGreaterThan(before + more)
    }
    try {
      for (let round = 0; round < 3; round += 1) {
        await some(50)
        await redis.kill()
        await some(150)
        await redis.start()
      }
      await haveRecovered()
      await some(50)
    } finally {
      isStopped = true
      await Promise.all(workers)
    }
    // Who has reached the limit of changes is told so; that is all that was refused.
    expect([...counts.keys()].filter((outcome) => outcome !== '200' && outcome !== 'TENANCY_REQUEST_TOO_MANY')).toEqual(
      [],
    )
    expect(counts.get('200')).toBeGreaterThan(400)
  })

  test('The catalog counts on, for both, and nobody has more than twice the limit', async () => {
    await haveRecovered()
    const user = await processes.join(tenant, ['Owner'])
    const changes = async (count: number) => {
      const statuses: number[] = []
      for (let index = 0; index < count; index += 1) statuses.push((await change(both[index % 2]!, user)).status)
      return statuses
    }
    const earlier = await changes(6)
    expect(earlier).toEqual([200, 200, 200, 200, 200, 200])
    await redis.kill()
    const later = await changes(limits.changesPerUser + 5)
    const [points] = await countsInCatalog(user)
    expect(points).toBeGreaterThanOrEqual(limits.changesPerUser)
    const done = [...earlier, ...later].filter((status) => status === 200).length
    expect(done).toBeGreaterThanOrEqual(limits.changesPerUser)
    expect(done).toBeLessThanOrEqual(2 * limits.changesPerUser)
    expect(new Set(later)).toEqual(new Set([200, 429]))
    expect(later.slice(-2)).toEqual([429, 429])
    await redis.start()
    await haveRecovered()
  })

  test('What is revoked while it is away stays revoked when it comes back with what it knew', async () => {
    await haveRecovered()
    const [removed, demoted, stays] = await Promise.all([
      processes.join(tenant, ['Admin']),
      processes.join(tenant, ['Admin']),
      processes.join(tenant, ['Admin']),
    ])
    const outcomes = async (served: readonly ApiProcess[]) =>
      Promise.all(
        served.flatMap((one) =>
          [removed, demoted, stays].map(async (as) => {
            const { status, json } = await read(one, as)
            return (json?.code as string | undefined) ?? status
          }),
        ),
      )
    // Redis has them, from both.
    await expect
      .poll(async () => {
        expect(await outcomes(both)).toEqual([200, 200, 200, 200, 200, 200])
        return (await Promise.all([removed, demoted].map(({ id }) => keysInRedis(id)))).every((keys) => keys.length > 0)
      })
      .toBe(true)
    await redis.kill()
    const { status } = await both[0].call(`DELETE /tenants/${tenant.id}/members/${removed.id}`, { as: owner })
    expect(status).toBe(204)
    const roles = { as: owner, body: { roles: [] } }
    const path = `/tenants/${tenant.id}/members/${demoted.id}/roles`
    expect((await both[0].call(`PUT ${path}`, roles)).status).toBeLessThan(300)
    const refused = ['TENANCY_TENANT_FORBIDDEN', 'TENANCY_ACCESS_DENIED', 200]
    await expect.poll(() => outcomes(both)).toEqual([...refused, ...refused])
    await redis.start()
    expect((await keysInRedis(removed.id)).length).toBeGreaterThan(0)
    // A process that knows nothing but what Redis and the catalog say.
    const fresh = await processes.start()
    for (let round = 0; round < 5; round += 1) {
      expect(await outcomes([...both, fresh])).toEqual([...refused, ...refused, ...refused])
    }
    await haveRecovered()
    expect(await outcomes([...both, fresh])).toEqual([...refused, ...refused, ...refused])
  })
})
