// What it costs requests that Redis is slow, or gone: a process that runs on while that happens to it, asked for members
// that it remembers and for members that it does not.
//
//   T2F_BENCH_REDIS_SECONDS  how long Redis is up, slow (5 s an answer), down, and back (default 10 each)
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { createTenancy, loadConfig } from 'tenants2fast'
import { findFreePort } from '../../dist/databases/embedded/postmaster.js'
import { askChild, startChild, stopChild } from '../child.js'
import { withServer } from '../database.js'
import { limit } from '../figures.js'
import { percentiles } from '../fleet/load.js'
import { fillCatalog, memberAt } from '../members.js'
import { startRedis } from '../redis.js'
import { startSlowProxy } from './slow-proxy.js'

const perSecond = 100
const perPhase = perSecond * Number(process.env.T2F_BENCH_REDIS_SECONDS ?? 10)
const tenants = 100
const phases = 4
const slowMs = 5000
const program = new URL('process.js', import.meta.url)

export function run() {
  return withServer(async (url) => {
    const port = await findFreePort()
    let redis = await startRedis(port)
    const proxy = await startSlowProxy(port)
    const env = {
      TENANT_DATABASE_URL: url,
      TENANT_PROCESSES: '4',
      TENANT_MAX_CONNECTIONS: '5',
      TENANT_READY_DATABASES: '0',
      TENANT_REDIS_URL: `redis://127.0.0.1:${proxy.port}`,
    }
    try {
      const members = await prepare(env)
      const earlier = await startChild(program, { env })
      await askChild(earlier, { members, perSecond: 4 * perSecond })
      await stopChild(earlier)
      const child = await startChild(program, { env })
      const phase = (number) =>
        askChild(child, { members: members.slice(number * perPhase, (number + 1) * perPhase), perSecond })
      await askChild(child, { members: members.slice(phases * perPhase), perSecond })
      const up = await phase(0)
      proxy.delayMs = slowMs
      const slow = await phase(1)
      proxy.delayMs = 0
      await redis.stop('SIGKILL')
      const down = await phase(2)
      redis = await startRedis(port)
      // Whoever lost it tries again every few seconds.
      await sleep(slowMs)
      const back = await phase(3)
      if ((await keysOf(redis.url)) === 0) throw new Error('Redis is back, and nobody uses it')
      await stopChild(child)
      const failed = [up, slow, down, back].reduce((sum, { errors }) => sum + errors, 0)
      return [
        ...rises('slow', slow, up, '<= 1'),
        ...rises('down', down, up, '<= 1'),
        ...rises('back', back, up, undefined),
        limit('requests that failed', failed, 'requests', 0, 'the goal', '<= 0'),
      ]
    } finally {
      await proxy.close()
      await redis.stop('SIGKILL')
    }
  })
}

function rises(what, now, up, goal) {
  return ['cold', 'warm'].map((kind) => {
    const [p99, before] = [percentiles(now[kind]).p99, percentiles(up[kind]).p99]
    return limit(
      `Redis ${what}: rise of the p99 of ${kind} requests`,
      p99 - before,
      'ms',
      60,
      `the goal, in ms (${p99.toFixed(2)} ms after ${before.toFixed(2)} ms)`,
      goal,
    )
  })
}

/** Fills the catalog, and makes tokens for members enough for each phase, and for a moment to warm up. */
async function prepare(env) {
  const tenancy = await createTenancy({ config: loadConfig(env) })
  try {
    const count = phases * perPhase + perSecond
    await fillCatalog(new URL(`/${tenancy.config.catalogDatabase}`, env.TENANT_DATABASE_URL).href, {
      tenants,
      memberships: 2 * count,
    })
    const members = []
    for (let number = 1; number <= count; number += 1) {
      const { userId, tenantId } = memberAt(number, tenants)
      members.push({ tenantId, token: (await tenancy.issueAccessToken({ user: userId })).token })
    }
    return members
  } finally {
    await tenancy.close()
  }
}

async function keysOf(url) {
  const client = createClient({ url })
  await client.connect()
  const keys = await client.dbSize()
  client.destroy()
  return keys
}
