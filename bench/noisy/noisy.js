// One tenant adds three times everybody's load: what becomes of the others' p99. Requests arrive at a rate of their own;
// phases with and without that tenant take turns.
//
//   T2F_BENCH_LOAD     load of the others, as a share of what the machine can do (default 0.2: with that tenant 0.8)
//   T2F_BENCH_SECONDS  of each phase (default 10)
//   T2F_BENCH_ROUNDS   pairs of phases (default 3)
import { figure, limit } from '../figures.js'
import { withFleet } from '../fleet/fleet.js'
import { openClient } from '../fleet/process.js'

const seconds = Number(process.env.T2F_BENCH_SECONDS ?? 10)
const rounds = Number(process.env.T2F_BENCH_ROUNDS ?? 3)
const share = Number(process.env.T2F_BENCH_LOAD ?? 0.2)

export function run() {
  return withFleet(async ({ env, server, tenants }) => {
    const { host, port } = server
    const client = await openClient('tenants2fast', { env, server: { host, port }, tenants, connections: 50 })
    try {
      await client.run('closed', { draw: 'zipf', seconds: Math.min(3, seconds), concurrency: 64 })
      const capacity = await client.run('closed', { draw: 'zipf', seconds: Math.min(5, seconds), concurrency: 64 })
      const others = { rate: capacity.rate * share, draw: 'zipf' }
      const noisy = { rate: others.rate * 3, draw: 'noisy' }
      console.error(
        `capacity ${capacity.rate.toFixed(0)}/s; others ${others.rate.toFixed(0)}/s, the noisy one three times that`,
      )
      const without = []
      const together = []
      for (let round = 0; round < rounds; round += 1) {
        const phases = [
          async () => without.push(await client.run('open', { seconds, classes: { others } })),
          async () => together.push(await client.run('open', { seconds, classes: { others, noisy } })),
        ]
        for (const phase of round % 2 === 0 ? phases : phases.toReversed()) await phase()
        const [alone, loud] = [without.at(-1), together.at(-1)]
        console.error(
          `round ${round + 1}: others p50 ${alone.others.p50.toFixed(1)} ms, p99 ${alone.others.p99.toFixed(1)} ms; with it ` +
            `p50 ${loud.others.p50.toFixed(1)} ms, p99 ${loud.others.p99.toFixed(1)} ms, itself ${loud.noisy.rate.toFixed(0)}/s, ` +
            `p99 ${loud.noisy.p99.toFixed(1)} ms, ${loud.noisy.errors} turned away (${loud.noisy.firstError ?? 'none'})`,
        )
      }
      const errors = [...without, ...together].reduce((sum, result) => sum + result.others.errors, 0)
      const p99 = (results) => results.map(({ others: result }) => result.p99)
      return [
        figure(
          'p99 of the others while one tenant adds three times their load',
          'ms',
          'without that tenant',
          p99(together),
          p99(without),
          '<= 1.5',
        ),
        limit('errors of the others', errors, 'errors', 0, 'none', '0'),
      ]
    } finally {
      await client.close()
    }
  })
}
