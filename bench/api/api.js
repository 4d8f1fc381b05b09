// What an organisation does over HTTP, beside the organization plugin of better-auth: the same requests to two handlers
// (`Request` to `Response`) in this process, on one embedded server, durable (fsync on), one at a time, taking turns. Ours counts
// requests and mails in the catalog and writes the audit log; the rival's limiter is off, as it is by default outside of
// production, and it has no log. Each is measured for a caller in one tenant and for one in 1,000.
//
//   T2F_BENCH_ROUNDS  of each operation (default 120; tenants are created in a third of them)
import { fileURLToPath } from 'node:url'
import { withServer } from '../database.js'
import { figure, limit, median } from '../figures.js'
import { percentiles } from '../fleet/load.js'
import { race } from '../load.js'
import { counting } from './counting.js'
import { openOurs } from './ours.js'
import { openRival } from './rival.js'

const rounds = Number(process.env.T2F_BENCH_ROUNDS ?? 120)
const creations = Math.ceil(rounds / 3)
const warmUps = 10
export const size = { tenants: 1000, members: 2000, page: 100 }
const plugin = "better-auth's organization plugin"

const operations = [
  { id: 'create', name: 'create a tenant', runs: creations },
  { id: 'invite', name: 'invite and accept', ms: 8, trips: 6 },
  { id: 'list', name: `list ${size.page} of ${size.members} members`, ms: 3, queries: 2 },
  { id: 'explain', name: 'check a permission', rival: 'permission' },
  { id: 'permissions', name: '/me/permissions', rival: 'permission' },
]

export async function run() {
  const figures = await withServer(async (url) => {
    const ours = await openOurs(url, size, 2 * (creations + warmUps))
    const rival = await openRival(url, size)
    try {
      return await compare(ours, rival)
    } finally {
      await rival.close()
      await ours.close()
    }
  })
  return [...figures, ...(await raceWithGuardedRoute())]
}

async function compare(ours, rival) {
  const figures = []
  for (const operation of operations) {
    const { id, rival: theirId = id, runs = rounds } = operation
    const subjects = {
      few: () => ours[id]('few'),
      theirFew: () => rival[theirId]('few'),
      many: () => ours[id]('many'),
      theirMany: () => rival[theirId]('many'),
    }
    figures.push(...figuresOf(operation, await takeTurns(subjects, runs)))
  }
  return figures
}

/** Each subject prepares a call, which is then measured. Every round begins with another subject. */
async function takeTurns(subjects, runs) {
  const names = Object.keys(subjects)
  const results = Object.fromEntries(names.map((name) => [name, { ms: [], queries: [], trips: [] }]))
  for (let round = -warmUps; round < runs; round += 1) {
    for (let index = 0; index < names.length; index += 1) {
      const name = names[(index + round + names.length * warmUps) % names.length]
      const call = await subjects[name]()
      const taken = await counting(call)
      if (round < 0) continue
      for (const [key, value] of Object.entries(taken)) results[name][key].push(value)
    }
  }
  return results
}

function figuresOf({ name, ms, queries, trips }, { few, theirFew, many, theirMany }) {
  const p99 = (values) => percentiles(values).p99
  const pairs = [
    [`${name}`, few, theirFew],
    [`${name}, caller in ${size.tenants} tenants`, many, theirMany],
  ]
  return [
    ...pairs.flatMap(([what, ours, theirs]) => [
      figure(what, 'ms', plugin, ours.ms, theirs.ms, ms === undefined ? '< 1' : `< 1, <= ${ms} ms`),
      limit(`${what}, p99`, p99(ours.ms), 'ms', p99(theirs.ms), plugin),
      limit(what, median(ours.queries), 'queries', median(theirs.queries), plugin, queries && `<= ${queries} queries`),
      limit(what, median(ours.trips), 'round trips', median(theirs.trips), plugin, trips && `<= ${trips} round trips`),
    ]),
    figure(`${name}, caller in ${size.tenants} tenants`, 'ms', 'the same caller in 1', many.ms, few.ms, 'about 1'),
  ]
}

/** `/me/permissions` over a socket, against a guarded route of the application on the same Fastify with the same plugin. */
function raceWithGuardedRoute() {
  return withServer(async (url) => {
    const server = fileURLToPath(new URL('server.js', import.meta.url))
    const { permissions, guarded } = await race(server, ['permissions', 'guarded'], {
      starts: 2,
      rounds: 6,
      seconds: 1,
      env: { TENANT_DATABASE_URL: url },
    })
    const units = { rate: 'requests/s', cpuRate: 'requests/s of processor time' }
    return Object.entries(units).map(([key, unit]) => {
      const valuesOf = (all) => all.map((round) => round[key])
      return figure('/me/permissions', unit, 'a guarded route', valuesOf(permissions), valuesOf(guarded), '>= 0.8')
    })
  })
}
