// More and more tenants touched in one process: connections, memory, and what a first and a repeated query cost.
//
//   T2F_BENCH_QUERIES  repeated queries of each of 20 tenants (default 50)
//   T2F_BENCH_STEPS  numbers of tenants (default 100,1000,5000; those above T2F_BENCH_TENANTS are left out, and it says so)
import { askChild, startChild, stopChild } from '../child.js'
import { figure, limit } from '../figures.js'
import { withFleet } from '../fleet/fleet.js'
import { percentiles } from '../fleet/load.js'

const steps = (process.env.T2F_BENCH_STEPS ?? '100,1000,5000').split(',').map(Number)

export function run() {
  return withFleet(async ({ env, server, tenants, admin, prefix }) => {
    const possible = steps.filter((step) => step <= tenants.length)
    for (const step of steps.filter((count) => !possible.includes(count))) {
      console.error(`${step} tenants: not measured, there are ${tenants.length} (T2F_BENCH_TENANTS, 8 MB of disk each)`)
    }
    const { host, port } = server
    const client = await startChild(new URL('client.js', import.meta.url), {
      execArgv: ['--expose-gc'],
      setup: { env, server: { host, port }, tenants },
    })
    const results = []
    for (const step of possible) {
      const result = await askChild(client, { touch: step })
      const { rows } = await admin.query(
        `select count(*)::int as count from pg_stat_activity
          where backend_type = 'client backend' and starts_with(datname, $1)`,
        [prefix],
      )
      results.push({ step, connections: rows[0].count, ...result })
      report(results.at(-1))
    }
    await stopChild(client)
    return results.flatMap((result) => figuresOf(result)).concat(growth(results))
  })
}

function report({ step, connections, rssBytes, heapBytes, cold, bare, warm }) {
  const show = (values) => {
    const { p50, p99 } = percentiles(values)
    return `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`
  }
  console.error(
    `${step} tenants touched: ${connections} connections, ${(rssBytes / 1e6).toFixed(0)} MB resident, ` +
      `${(heapBytes / 1e6).toFixed(1)} MB heap; cold ${show(cold)}; bare pg connect and query ${show(bare)}; warm ${show(warm)}`,
  )
}

function figuresOf({ step, connections, cold, bare, warm, plain }) {
  const p99 = (values) => percentiles(values).p99
  return [
    figure(`cold query, ${step} tenants`, 'ms', 'a bare pg connect and query', cold, bare, '<= 1.5'),
    limit(`cold query p99, ${step} tenants`, p99(cold), 'ms', p99(bare), 'a bare pg connect and query'),
    figure(`warm query, ${step} tenants`, 'ms', 'an open pg client', warm, plain),
    limit(`warm query p99, ${step} tenants`, p99(warm), 'ms', p99(plain), 'an open pg client'),
    limit(`connections, ${step} tenants`, connections, 'connections', 50, 'the budget', '<= 1'),
  ]
}

/** Memory between the smallest and the largest step, by tenant. */
function growth(results) {
  const [first, last] = [results[0], results.at(-1)]
  if (first === undefined || first === last) return []
  const perTenant = (name) => (last[name] - first[name]) / (last.step - first.step) / 1000
  return [
    limit('heap growth per idle tenant', perTenant('heapBytes'), 'kB', 20, '20 kB', '<= 1'),
    limit('resident memory growth per idle tenant', perTenant('rssBytes'), 'kB', 20, '20 kB', '<= 1'),
  ]
}
