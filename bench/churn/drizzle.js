// Beside drizzle-multitenant, which has a schema for each tenant in one database: 300 tenants, Zipf 1.0, 50 connections,
// Drizzle on both sides; with fewer callers than connections, and with more. To open a connection is cheaper for it: the
// catalog of its one database is always in the server's memory, and it proves nothing.
import { figure, limit, median } from '../figures.js'
import { openClient } from '../fleet/process.js'
import { nobodyConnected, sampleConnections, sessionsOpened } from '../fleet/sampler.js'
import { makeSchemas } from '../fleet/schemas.js'

const most = 300
const callers = [32, 128]
const warmUpRequests = 1000
const names = ['tenants2fast-drizzle', 'drizzle-multitenant']

/**
 * @param {import('../fleet/fleet.js').Fleet} fleet
 * @param {{ seconds: number, rounds: number, connections: number }} options
 */
export async function raceWithDrizzle(fleet, { seconds, rounds, connections }) {
  const tenants = fleet.tenants.slice(0, most)
  const schemas = await makeSchemas(fleet, tenants.length)
  const { host, port } = fleet.server
  const setup = { env: fleet.env, server: { host, port }, tenants, connections, schemas }
  const results = Object.fromEntries(
    names.map((name) => [name, Object.fromEntries(callers.map((count) => [count, []]))]),
  )
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const client = await openClient(name, setup)
      try {
        const warmUp = { seconds: Math.min(3, seconds), requests: warmUpRequests }
        await client.run('closed', { draw: 'zipf', ...warmUp, concurrency: callers[0] })
        for (const concurrency of callers) {
          const result = await measure(fleet, client, { seconds, concurrency })
          results[name][concurrency].push(result)
          console.error(
            `round ${round + 1}, ${tenants.length} tenants, ${concurrency} callers, ${describe(name, result)}`,
          )
        }
      } finally {
        await client.close()
        await nobodyConnected(fleet)
      }
    }
  }
  return callers.flatMap((count) => figures(tenants.length, count, results))
}

async function measure(fleet, client, { seconds, concurrency }) {
  const before = await sessionsOpened(fleet)
  const stop = sampleConnections(fleet)
  try {
    const result = await client.run('closed', { draw: 'zipf', seconds, concurrency })
    const opensPerRequest = ((await sessionsOpened(fleet)) - before) / result.answered
    const peak = Math.max(...(await stop()).map((sample) => sample.connections))
    return { ...result, opensPerRequest, peak }
  } finally {
    await stop()
  }
}

function describe(name, { rate, p50, p99, slowest, opensPerRequest, peak, errors, firstError }) {
  const times = `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, slowest ${slowest.toFixed(0)} ms`
  const failed = errors > 0 ? `, ${errors} errors (${firstError})` : ''
  return `${name}: ${rate.toFixed(0)}/s, ${times}, ${opensPerRequest.toFixed(2)} opens a request, peak ${peak}${failed}`
}

function figures(tenants, count, results) {
  const [ours, theirs] = names.map((name) => results[name][count])
  const all = (measured, field) => measured.map((result) => result[field])
  const label = `${tenants} tenants, ${count} callers through Drizzle`
  const against = 'drizzle-multitenant, 50 pools of 1 connection'
  const errors = all(ours, 'errors').reduce((sum, one) => sum + one)
  return [
    figure(label, 'queries/s', against, all(ours, 'rate'), all(theirs, 'rate'), '>= 1.1'),
    figure(`${label}, p99`, 'ms', against, all(ours, 'p99'), all(theirs, 'p99'), '<= 1'),
    figure(`${label}, slowest`, 'ms', against, all(ours, 'slowest'), all(theirs, 'slowest')),
    limit(`${label}, slowest`, median(all(ours, 'slowest')), 'ms', 500, 'half a second', '<= 1'),
    limit(`${label}, errors`, errors, 'errors', 0, 'none', '0'),
  ]
}
