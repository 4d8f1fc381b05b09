// Many tenants on few connections: point reads and writes, Zipf 1.0 over all tenants, 64 requests at a time, on 50
// connections; against a pool per tenant under an LRU (in two sizes), and against PgBouncer. Each measurement is a process of its own
// that starts with nothing open and warms up first; the variants take turns. drizzle.js adds drizzle-multitenant.
//
//   T2F_BENCH_SECONDS  of each measurement (default 10)
//   T2F_BENCH_ROUNDS   (default 3)
//   T2F_BENCH_SAMPLES  file for what scripts/draw-churn.js draws
import { writeFileSync } from 'node:fs'
import { figure, limit } from '../figures.js'
import { withFleet } from '../fleet/fleet.js'
import { hasPgBouncer, startPgBouncer } from '../fleet/pgbouncer.js'
import { openClient } from '../fleet/process.js'
import { nobodyConnected, sampleConnections, sessionsOpened } from '../fleet/sampler.js'
import { raceWithDrizzle } from './drizzle.js'

const seconds = Number(process.env.T2F_BENCH_SECONDS ?? 10)
const rounds = Number(process.env.T2F_BENCH_ROUNDS ?? 3)
const connections = 50
const concurrency = 64
// A cache of tenants shows its worth when it is full of the right ones, which takes a slow machine some time.
const warmUpRequests = 1000

export function run() {
  return withFleet(async (fleet) => {
    if (!hasPgBouncer()) console.error('pgbouncer is not installed: not measured against it')
    const names = [
      'tenants2fast',
      'pool-per-tenant-lru',
      'one-connection-pools-lru',
      ...(hasPgBouncer() ? ['pgbouncer'] : []),
    ]
    const results = Object.fromEntries(names.map((name) => [name, []]))
    for (let round = 0; round < rounds; round += 1) {
      for (let index = 0; index < names.length; index += 1) {
        const name = names[(index + round) % names.length]
        const result = await measure(fleet, name)
        results[name].push(result)
        console.error(`round ${round + 1}, ${describe(name, result)}`)
      }
    }
    save(fleet.tenants.length, results)
    return [
      ...figures(fleet.tenants.length, results),
      ...(await raceWithDrizzle(fleet, { seconds, rounds, connections })),
    ]
  })
}

async function measure(fleet, name) {
  const { env, server, tenants } = fleet
  // PgBouncer's connections outlive its clients.
  const pgbouncer = name === 'pgbouncer' ? await startPgBouncer(fleet, connections) : undefined
  const { host, port } = server
  const pooler = pgbouncer && { port: pgbouncer.port, user: pgbouncer.user }
  const client = await openClient(name, { env, server: { host, port }, tenants, connections, pgbouncer: pooler })
  const stop = sampleConnections(fleet)
  const started = performance.now()
  try {
    // The most that connections to one tenant give, to compare with all tenants.
    const single = await client.run('closed', { draw: 'one', seconds: Math.min(3, seconds), concurrency })
    const churnFromMs = Math.round(performance.now() - started)
    const warmUp = { seconds: Math.min(3, seconds), requests: warmUpRequests }
    await client.run('closed', { draw: 'zipf', ...warmUp, concurrency })
    const before = await sessionsOpened(fleet)
    const result = await client.run('closed', { draw: 'zipf', seconds, concurrency })
    const opensPerRequest = ((await sessionsOpened(fleet)) - before) / result.answered
    return { ...result, opensPerRequest, singleRate: single.rate, churnFromMs, samples: await stop() }
  } finally {
    await stop()
    await client.close()
    await pgbouncer?.stop()
    await nobodyConnected(fleet)
  }
}

function describe(name, { rate, p50, p99, opensPerRequest, errors, firstError, samples }) {
  const peak = Math.max(...samples.map((sample) => sample.connections))
  const failed = errors > 0 ? `, ${errors} errors (${firstError})` : ''
  return `${name}: ${rate.toFixed(0)}/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${opensPerRequest.toFixed(2)} opens a request, peak ${peak}${failed}`
}

function figures(count, results) {
  const ours = results.tenants2fast
  const rates = (name) => results[name].map(({ rate }) => rate)
  const opens = (name) => results[name].map(({ opensPerRequest }) => opensPerRequest)
  const against = (name, title, goal) =>
    figure(`churn over ${count} tenants`, 'queries/s', title, rates('tenants2fast'), rates(name), goal)
  const peak = Math.max(...ours.flatMap(({ samples }) => samples.map((sample) => sample.connections)))
  const errors = ours.reduce((sum, result) => sum + result.errors, 0)
  return [
    against('pool-per-tenant-lru', 'a pool per tenant under an LRU, 10 pools of 5 connections', '>= 2'),
    against('one-connection-pools-lru', 'the same, 50 pools of 1 connection', '>= 2'),
    ...(results.pgbouncer ? [against('pgbouncer', 'PgBouncer with 50 server connections', '>= 1')] : []),
    figure(
      `churn over ${count} tenants`,
      'queries/s',
      'the same on one tenant',
      rates('tenants2fast'),
      ours.map(({ singleRate }) => singleRate),
      '> 0.07',
    ),
    figure(
      'connections opened',
      'a request',
      'a pool of 1 connection per tenant under an LRU of 50',
      opens('tenants2fast'),
      opens('one-connection-pools-lru'),
    ),
    limit('peak of pg_stat_activity', peak, 'connections', connections, 'the budget', '<= 1'),
    limit('errors', errors, 'errors', 0, 'none', '0'),
  ]
}

function save(tenants, results) {
  const file = process.env.T2F_BENCH_SAMPLES
  if (file === undefined) return
  const last = Object.entries(results).map(([name, measured]) => {
    const { rate, p50, p99, samples, churnFromMs } = measured.at(-1)
    return { name, rate, p50, p99, samples, churnFromMs }
  })
  writeFileSync(file, JSON.stringify({ tenants, connections, variants: last }))
}
