// From the commit of a revocation until the first denial on each of four processes, at a hundred revocations a second.
//
//   T2F_BENCH_REVOKES  how many are counted (default 2000); those of the first three seconds, while processes warm up, are not
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { withServer } from '../database.js'
import { limit } from '../figures.js'
import { percentiles } from '../fleet/load.js'
import { fillCatalog, memberAt } from '../members.js'

const perSecond = 100
const warmUp = 3 * perSecond
const count = warmUp + Number(process.env.T2F_BENCH_REVOKES ?? 2000)
const processes = 4
const tenants = 20

export function run() {
  return withServer(async (url) => {
    const env = {
      TENANT_DATABASE_URL: url,
      TENANT_PROCESSES: '5',
      TENANT_MAX_CONNECTIONS: '5',
      TENANT_READY_DATABASES: '0',
    }
    const tenancy = await createTenancy({ config: loadConfig({ ...env, TENANT_SEED_PROFILE: 'dev' }) })
    const catalogUrl = new URL(`/${tenancy.config.catalogDatabase}`, url).href
    await fillCatalog(catalogUrl, { tenants, memberships: 2 * count })
    const children = await Promise.all(Array.from({ length: processes }, () => start(env)))
    const catalog = new pg.Pool({ connectionString: catalogUrl, max: 10 })
    try {
      const delays = await revokeAll({ tenancy, children, catalog })
      const { p50, p99 } = percentiles(delays)
      return [
        limit('revocation to denial, median', p50, 'ms', 5, 'the goal, in ms', '<= 1'),
        limit('revocation to denial, p99', p99, 'ms', 50, 'the goal, in ms', '<= 1'),
      ]
    } finally {
      await Promise.all(children.map(stop))
      await catalog.end()
      await tenancy.close()
    }
  })
}

async function revokeAll({ tenancy, children, catalog }) {
  const committedAtMs = new Map()
  const denials = []
  const watchers = new Map()
  for (const child of children) {
    child.on('message', ({ watching: isWatching, denied, atMs }) => {
      if (isWatching !== undefined) watchers.set(isWatching, (watchers.get(isWatching) ?? 0) + 1)
      else denials.push({ number: denied, atMs })
    })
  }
  const tokens = []
  for (let number = 1; number <= count; number += 1) {
    tokens.push((await tenancy.issueAccessToken({ id: memberAt(number, tenants).userId })).token)
  }
  // Watched shortly before: that many at a time cost the processes little.
  const lead = 25
  const watch = (number) => {
    const member = { number, token: tokens[number - 1], tenantId: memberAt(number, tenants).tenantId }
    if (number <= count) for (const child of children) child.send(member)
  }
  for (let number = 1; number <= lead; number += 1) watch(number)
  const startedAtMs = performance.now()
  const revoking = []
  for (let number = 1; number <= count; number += 1) {
    watch(number + lead)
    await sleep(Math.max(0, startedAtMs + (number * 1000) / perSecond - performance.now()))
    while ((watchers.get(number) ?? 0) < children.length) await sleep(1)
    const { userId, tenantId } = memberAt(number, tenants)
    const revoke = catalog.query('delete from user_tenants where user_id = $1 and tenant_id = $2', [userId, tenantId])
    revoking.push(revoke.then(() => committedAtMs.set(number, monotonicMs())))
  }
  await Promise.all(revoking)
  console.error(`${Math.round((count * 1000) / (performance.now() - startedAtMs))} revocations a second`)
  while (denials.length < count * children.length) await sleep(10)
  // News can overtake the answer to whoever revoked.
  return denials
    .filter(({ number }) => number > warmUp)
    .map(({ number, atMs }) => Math.max(0, atMs - committedAtMs.get(number)))
}

/** The clock that processes of one machine share. */
const monotonicMs = () => Number(process.hrtime.bigint() / 1000n) / 1000

async function start(env) {
  const child = fork(fileURLToPath(new URL('process.js', import.meta.url)), {
    env: { ...process.env, ...env, NODE_ENV: 'development' },
  })
  await once(child, 'message')
  return child
}

async function stop(child) {
  if (child.exitCode !== null) return
  const exited = once(child, 'exit')
  child.send('stop')
  await exited
}
