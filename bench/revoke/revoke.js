// From the commit of a revocation until the first denial on each of several processes, memberships and roles in turn, and
// beside it the floor of this machine: until as many bare connections have heard of the same revocations.
//
// Whoever asks costs as little as possible, since everything shares the machine: the processes remember their members
// beforehand, ask only for those whose revocation is due, and report when it is over. What a revocation cost the processors
// goes to standard error, and how late the processes came to ask: on a busy machine that is what the 99th percentile shows.
// A process asks every other millisecond, so a denial comes one later than the news, on average.
//
//   T2F_BENCH_RATE, T2F_BENCH_PROCESSES  revocations a second, and processes (default: 100 with 4, then 500 with 8)
//   T2F_BENCH_REVOKES  how many are counted (default 2000); those of the first two seconds, while processes warm up, are not
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { askChild, startChild, stopChild } from '../child.js'
import { withServer } from '../database.js'
import { figure, limit } from '../figures.js'
import { percentiles } from '../fleet/load.js'
import { fillCatalog, memberAt } from '../members.js'
import { cpuMsSince, monotonicMs } from './clock.js'
import { processorTimeMs } from './processor-time.js'

const { T2F_BENCH_RATE: askedRate, T2F_BENCH_PROCESSES: askedProcesses } = process.env
const settings =
  askedRate === undefined && askedProcesses === undefined
    ? [
        { perSecond: 100, processes: 4, goalMs: 50 },
        { perSecond: 500, processes: 8, goalMs: 10 },
      ]
    : [{ perSecond: Number(askedRate ?? 500), processes: Number(askedProcesses ?? 8), goalMs: 10 }]
const counted = Number(process.env.T2F_BENCH_REVOKES ?? 2000)
const tenants = 20
const kinds = [
  { name: 'a membership', statement: 'delete from user_tenants where user_id = $1 and tenant_id = $2' },
  { name: 'a role', statement: 'delete from user_tenant_roles where user_id = $1 and tenant_id = $2' },
]
// Nine processes may open more connections than the server of development takes.
const serverSettings = { max_connections: '300' }
const ours = new URL('process.js', import.meta.url)
const bare = new URL('bare.js', import.meta.url)

const warmUpOf = ({ perSecond }) => 2 * perSecond
const countOf = (setting) => warmUpOf(setting) + counted

export function run() {
  return withServer(async (url) => {
    const env = {
      TENANT_DATABASE_URL: url,
      TENANT_PROCESSES: String(1 + Math.max(...settings.map((setting) => setting.processes))),
      TENANT_MAX_CONNECTIONS: '5',
      TENANT_READY_DATABASES: '0',
    }
    const { catalogUrl, takeMembers } = await prepare(env, url)
    const figures = []
    for (const setting of settings) {
      const { goalMs } = setting
      const heard = await measure({ program: bare, setting, env, catalogUrl, members: takeMembers(countOf(setting)) })
      const denied = await measure({ program: ours, setting, env, catalogUrl, members: takeMembers(countOf(setting)) })
      const what = `revocation to denial, ${setting.perSecond} a second, ${setting.processes} processes`
      figures.push(...limits(what, denied.flat(), goalMs, '<= 1'))
      kinds.forEach(({ name }, kind) => figures.push(...limits(`${what}: ${name}`, denied[kind], goalMs, undefined)))
      const against = 'the floor: bare connections that listen'
      // The median of the floor is 0: half of the news overtakes the answer to whoever revoked.
      const p99Of = (delays) => [percentiles(delays.flat()).p99]
      figures.push(figure(`${what}: p99`, 'ms', against, p99Of(denied), p99Of(heard), undefined))
    }
    return figures
  }, serverSettings)
}

function limits(what, delays, goalMs, goal) {
  const { p50, p99 } = percentiles(delays)
  return [
    limit(`${what}, median`, p50, 'ms', 5, 'the goal, in ms', goal),
    limit(`${what}, p99`, p99, 'ms', goalMs, 'the goal, in ms', goal),
  ]
}

/** Fills the catalog, and makes a token for everybody who is to be revoked; `takeMembers` gives so many of them, once. */
async function prepare(env, url) {
  const count = settings.reduce((sum, setting) => sum + 2 * countOf(setting), 0)
  const tenancy = await createTenancy({ config: loadConfig({ ...env, TENANT_SEED_PROFILE: 'dev' }) })
  try {
    const catalogUrl = new URL(`/${tenancy.config.catalogDatabase}`, url).href
    await fillCatalog(catalogUrl, { tenants, memberships: 2 * count })
    const members = []
    for (let number = 1; number <= count; number += 1) {
      const { userId, tenantId } = memberAt(number, tenants)
      members.push({ userId, tenantId, token: (await tenancy.issueAccessToken({ user: userId })).token })
    }
    return { catalogUrl, takeMembers: (many) => members.splice(0, many) }
  } finally {
    await tenancy.close()
  }
}

/** The delays of each kind, in milliseconds, one of every process for every revocation that counts. */
async function measure({ program, setting, env, catalogUrl, members }) {
  const { processes, perSecond } = setting
  const childEnv = { ...env, T2F_BENCH_CATALOG_URL: catalogUrl }
  const children = await Promise.all(Array.from({ length: processes }, () => startChild(program, { env: childEnv })))
  const catalog = new pg.Pool({ connectionString: catalogUrl, max: 10 })
  // A pool has ended before its connections have: the server's goodbye may reach them.
  catalog.on('error', () => {})
  try {
    if (program === ours) await Promise.all(children.map((child) => askChild(child, members)))
    const before = { own: process.cpuUsage(), server: await processorTimeMs(catalog) }
    const fromMs = monotonicMs() + 100
    const reporting = children.map((child) => askChild(child, program === ours ? { fromMs, perSecond } : { members }))
    const revoked = await revokeAll({ members, fromMs, perSecond, catalog })
    const tookMs = monotonicMs() - fromMs
    const reports = await Promise.all(reporting)
    const serverMs = before.server === undefined ? Number.NaN : (await processorTimeMs(catalog)) - before.server
    report({ program, setting, reports, serverMs, revokerMs: cpuMsSince(before.own), tookMs })
    const delays = reports.map(({ atMs }) => delaysOf(revoked, atMs, warmUpOf(setting)))
    return [...kinds.keys()].map((kind) =>
      delays.flatMap((ofOne) => ofOne.filter((_, index) => index % kinds.length === kind)),
    )
  } finally {
    await Promise.all(children.map(stopChild))
    await catalog.end()
  }
}

async function revokeAll({ members, fromMs, perSecond, catalog }) {
  const revoking = []
  for (const [index, member] of members.entries()) {
    const dueMs = fromMs + ((index + 1) * 1000) / perSecond
    if (dueMs > monotonicMs()) await sleep(dueMs - monotonicMs())
    revoking.push(revoke(catalog, kinds[index % kinds.length], member))
  }
  return Promise.all(revoking)
}

async function revoke(catalog, { statement }, { userId, tenantId }) {
  const sentAtMs = monotonicMs()
  await catalog.query({ name: statement.slice(0, 40), text: statement, values: [userId, tenantId] })
  return { sentAtMs, committedAtMs: monotonicMs() }
}

function report({ program, setting, reports, serverMs, revokerMs, tookMs }) {
  const count = countOf(setting)
  const each = (cpuMs) => (cpuMs / count).toFixed(2)
  const lateMs = Math.max(...reports.map((one) => one.lateMs ?? Number.NaN))
  const asks = Math.max(...reports.map((one) => one.asks ?? Number.NaN))
  const failures = reports.reduce((sum, one) => sum + (one.failures ?? 0), 0)
  console.error(
    `${program === ours ? 'processes' : 'bare connections'}: ${Math.round((count * 1000) / tookMs)} revocations a second; ` +
      `milliseconds of processor time of one: ${reports.map(({ cpuMs }) => each(cpuMs)).join(', ')} in those who listen, ` +
      `${each(serverMs)} in PostgreSQL, ${each(revokerMs)} in whoever revokes` +
      (program === ours
        ? `; 99 of 100 times the processes asked at most ${lateMs.toFixed(1)} ms late, ${each(asks)} times for each, ` +
          `and got no answer ${failures} times`
        : ''),
  )
}

function delaysOf(revoked, atMs, warmUp) {
  return atMs.slice(warmUp).map((heardAtMs, index) => {
    const { sentAtMs, committedAtMs } = revoked[warmUp + index]
    if (heardAtMs < sentAtMs) throw new Error('A member was denied who was not revoked yet')
    // News can overtake the answer to whoever revoked.
    return Math.max(0, heardAtMs - committedAtMs)
  })
}
