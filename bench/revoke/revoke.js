// From the commit of a revocation until the first denial on each of four processes, at a hundred revocations a second:
// memberships and roles in turn.
//
// Whoever asks costs as little as possible, since everything shares the machine: the processes remember their members
// beforehand, ask only for those whose revocation is near, and report when it is over. What a revocation cost the processors
// goes to standard error, and how often the processes really came to ask: on a machine that is busy with other work that is
// what the 99th percentile shows.
//
//   T2F_BENCH_REVOKES  how many are counted (default 2000); those of the first three seconds, while processes warm up, are not
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { askChild, startChild, stopChild } from '../child.js'
import { withServer } from '../database.js'
import { limit } from '../figures.js'
import { percentiles } from '../fleet/load.js'
import { fillCatalog, memberAt } from '../members.js'
import { processorTimeMs } from './processor-time.js'

const perSecond = 100
const warmUp = 3 * perSecond
const count = warmUp + Number(process.env.T2F_BENCH_REVOKES ?? 2000)
const processes = 4
const tenants = 20
const program = new URL('process.js', import.meta.url)
const kinds = [
  { name: 'a membership', statement: 'delete from user_tenants where user_id = $1 and tenant_id = $2' },
  { name: 'a role', statement: 'delete from user_tenant_roles where user_id = $1 and tenant_id = $2' },
]

export function run() {
  return withServer(async (url) => {
    const env = {
      TENANT_DATABASE_URL: url,
      TENANT_PROCESSES: '5',
      TENANT_MAX_CONNECTIONS: '5',
      TENANT_READY_DATABASES: '0',
    }
    const { catalogUrl, members } = await prepare(env, url)
    const children = await Promise.all(Array.from({ length: processes }, () => startChild(program, { env })))
    const catalog = new pg.Pool({ connectionString: catalogUrl, max: 10 })
    // A pool has ended before its connections have: the server's goodbye may reach them.
    catalog.on('error', () => {})
    try {
      await Promise.all(children.map((child) => askChild(child, members)))
      const delays = await revokeAll({ members, children, catalog })
      return [
        ...limits('revocation to denial', delays.flat(), '<= 1'),
        ...kinds.flatMap(({ name }, kind) => limits(`of ${name}`, delays[kind], undefined)),
      ]
    } finally {
      await Promise.all(children.map(stopChild))
      await catalog.end()
    }
  })
}

function limits(what, delays, goal) {
  const { p50, p99 } = percentiles(delays)
  return [
    limit(`${what}, median`, p50, 'ms', 5, 'the goal, in ms', goal),
    limit(`${what}, p99`, p99, 'ms', 50, 'the goal, in ms', goal),
  ]
}

/** Fills the catalog, and makes a token for everybody who is to be revoked. */
async function prepare(env, url) {
  const tenancy = await createTenancy({ config: loadConfig({ ...env, TENANT_SEED_PROFILE: 'dev' }) })
  try {
    const catalogUrl = new URL(`/${tenancy.config.catalogDatabase}`, url).href
    await fillCatalog(catalogUrl, { tenants, memberships: 2 * count })
    const members = []
    for (let number = 1; number <= count; number += 1) {
      const { userId, tenantId } = memberAt(number, tenants)
      members.push({ userId, tenantId, token: (await tenancy.issueAccessToken({ user: userId })).token })
    }
    return { catalogUrl, members }
  } finally {
    await tenancy.close()
  }
}

/** The delays of each kind, in milliseconds, one of every process for every revocation that counts. */
async function revokeAll({ members, children, catalog }) {
  const before = { own: process.cpuUsage(), server: await processorTimeMs(catalog) }
  const fromMs = monotonicMs() + 100
  const asking = children.map((child) => askChild(child, { fromMs, perSecond }))
  const revoking = []
  for (const [index, member] of members.entries()) {
    await sleep(Math.max(0, fromMs + ((index + 1) * 1000) / perSecond - monotonicMs()))
    revoking.push(revoke(catalog, kinds[index % kinds.length], member))
  }
  const revoked = await Promise.all(revoking)
  const tookMs = monotonicMs() - fromMs
  const reports = await Promise.all(asking)
  const { user, system } = process.cpuUsage(before.own)
  const each = (cpuMs) => `${(cpuMs / count).toFixed(2)} ms`
  const ofServer = before.server === undefined ? '?' : each((await processorTimeMs(catalog)) - before.server)
  console.error(
    `${Math.round((count * 1000) / tookMs)} revocations a second; processor time of one: ` +
      `${reports.map(({ cpuMs }) => each(cpuMs)).join(', ')} in the processes, ${ofServer} in PostgreSQL, ` +
      `${each((user + system) / 1000)} in whoever revokes; ` +
      `99 of 100 times the processes asked after at most ${Math.max(...reports.map(({ gapMs }) => gapMs)).toFixed(1)} ms`,
  )
  const delays = reports.map(({ deniedAtMs }) => delaysOf(revoked, deniedAtMs))
  return [...kinds.keys()].map((kind) =>
    delays.flatMap((ofOne) => ofOne.filter((_, index) => index % kinds.length === kind)),
  )
}

async function revoke(catalog, { statement }, { userId, tenantId }) {
  const sentAtMs = monotonicMs()
  await catalog.query(statement, [userId, tenantId])
  return { sentAtMs, committedAtMs: monotonicMs() }
}

function delaysOf(revoked, deniedAtMs) {
  return deniedAtMs.slice(warmUp).map((atMs, index) => {
    const { sentAtMs, committedAtMs } = revoked[warmUp + index]
    if (atMs < sentAtMs) throw new Error('A member was denied who was not revoked yet')
    // News can invalidate the answer to whoever revoked.
    return Math.max(0, atMs - committedAtMs)
  })
}

/** The clock that processes of one machine share. */
const monotonicMs = () => Number(process.hrtime.bigint() / 1000n) / 1000
