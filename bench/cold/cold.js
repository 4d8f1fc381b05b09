// What a member's first request costs: a process that starts on a warm Redis, in queries of the catalog per request; and
// a large catalog against a small one, in time.
//
//   T2F_BENCH_TENANTS      tenants of the large catalog (default 100000)
//   T2F_BENCH_MEMBERSHIPS  its memberships (default 1000000)
//   TENANT_REDIS_URL       the Redis (default: one started here)
import { createTenancy, loadConfig } from 'tenants2fast'
import { askChild, startChild, stopChild } from '../child.js'
import { withServer } from '../database.js'
import { limit } from '../figures.js'
import { percentiles } from '../fleet/load.js'
import { fillCatalog, memberAt } from '../members.js'
import { withRedis } from '../redis.js'

const small = { tenants: 100, memberships: 4000 }
const large = {
  tenants: Number(process.env.T2F_BENCH_TENANTS ?? 100_000),
  memberships: Number(process.env.T2F_BENCH_MEMBERSHIPS ?? 1_000_000),
}
const first = 1000
const concurrency = 100
const rounds = 5
const perRound = 200
const program = new URL('process.js', import.meta.url)

export function run() {
  return withServer((url) => withRedis(async (redisUrl) => [...(await onWarmRedis(url, redisUrl)), await atScale(url)]))
}

async function onWarmRedis(url, redisUrl) {
  const env = envOf(url, 'bench_small', { TENANT_REDIS_URL: redisUrl })
  const members = await prepare(env, small, first)
  const earlier = await startChild(program, { env })
  await askChild(earlier, { members, concurrency })
  await stopChild(earlier)
  const fresh = await startChild(program, { env })
  const together = await askChild(fresh, { members, concurrency })
  await stopChild(fresh)
  const lonely = await startChild(program, { env })
  const alone = await askChild(lonely, { members, concurrency: 1 })
  await stopChild(lonely)
  const perRequest = ({ queries }) => queries / members.length
  return [
    limit(
      `catalog queries of a first request on a warm Redis, ${concurrency} at a time`,
      perRequest(together),
      'queries',
      0.05,
      'the goal',
      '<= 1',
    ),
    limit(
      'the same, one at a time',
      perRequest(alone),
      'queries',
      1,
      'the user (and the epochs, once a tenant)',
      undefined,
    ),
  ]
}

async function atScale(url) {
  const sizes = [small, large]
  const places = []
  for (const [index, size] of sizes.entries()) {
    const env = envOf(url, index === 0 ? 'bench_small' : 'bench_large')
    const members = await prepare(env, size, Math.min(rounds * perRound, size.memberships / 2))
    places.push({ process: await startChild(program, { env }), members, tookMs: [] })
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const place of round % 2 === 0 ? places : places.toReversed()) {
      const members = place.members.slice(round * perRound, (round + 1) * perRound)
      if (members.length > 0) place.tookMs.push(...(await askChild(place.process, { members, concurrency: 1 })).tookMs)
    }
  }
  await Promise.all(places.map((place) => stopChild(place.process)))
  const [few, many] = places.map(({ tookMs }) => percentiles(tookMs))
  const name = `a cold member’s request, p99, ${large.tenants} tenants and ${large.memberships} memberships`
  return limit(name, many.p99, 'ms', few.p99, `${small.tenants} tenants`, '<= 2')
}

const envOf = (url, catalog, more = {}) => ({
  TENANT_DATABASE_URL: url,
  TENANT_CATALOG_DB: catalog,
  TENANT_DB_PREFIX: `${catalog}_`,
  TENANT_PROCESSES: '4',
  TENANT_MAX_CONNECTIONS: '5',
  TENANT_READY_DATABASES: '0',
  TENANT_REDIS_URL: '',
  ...more,
})

/** Fills the catalog, if it is empty, and makes tokens for members that are spread over it. */
async function prepare(env, { tenants, memberships }, count) {
  const tenancy = await createTenancy({ config: loadConfig(env) })
  try {
    if ((await tenancy.findTenant('bench-1')) === undefined) {
      await fillCatalog(new URL(`/${env.TENANT_CATALOG_DB}`, env.TENANT_DATABASE_URL).href, { tenants, memberships })
    }
    const step = Math.max(1, Math.floor(memberships / 2 / count))
    const members = []
    for (let index = 0; index < count; index += 1) {
      const { userId, tenantId } = memberAt(1 + index * step, tenants)
      members.push({ tenantId, token: (await tenancy.issueAccessToken({ user: userId })).token })
    }
    return members
  } finally {
    await tenancy.close()
  }
}
