// The process whose memory is measured. Told how many tenants to touch, it touches those that it has not yet, as a
// request does: token, user, tenant, membership, access, a query.
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { serveParent } from '../serve-parent.js'

const text = 'select id, name, hits from items where id = $1'
/** Of each tenant, on an open connection. */
const queries = Number(process.env.T2F_BENCH_QUERIES ?? 50)
const { env, server, tenants } = await new Promise((resolve) => process.once('message', resolve))
const tenancy = await createTenancy({ config: loadConfig(env) })
const owner = await tenancy.findUserByEmail('owner@example.com')
const authorization = `Bearer ${(await tenancy.issueAccessToken({ user: owner.id })).token}`
const timed = async (work) => {
  const started = performance.now()
  await work()
  return performance.now() - started
}
let touched = 0

async function contextOf({ slug }) {
  const facts = { authorization, needs: 'tenant', tenantHeader: slug, host: undefined, pathTenant: undefined }
  return tenancy.pipeline.handle(facts)
}

async function bareQuery({ account }) {
  const client = new pg.Client({ ...account, host: server.host, port: server.port })
  await client.connect()
  await client.query(text, [1])
  return client
}

async function touch(count) {
  const cold = []
  const bare = []
  for (; touched < count; touched += 1) {
    const tenant = tenants[touched]
    const pool = (await contextOf(tenant)).pool()
    const own = async () => cold.push(await timed(() => pool.query(text, [1])))
    const plain = async () => {
      let client
      bare.push(await timed(async () => (client = await bareQuery(tenant))))
      await client.end()
    }
    // The first one in a database also pays for what the operating system has to fetch.
    for (const measure of touched % 2 === 0 ? [own, plain] : [plain, own]) await measure()
  }
  return { cold, bare }
}

/** On connections that are open: the first query of each is not measured, here or there. */
async function repeat() {
  const warm = []
  const plain = []
  for (const tenant of tenants.slice(Math.max(0, touched - 20), touched)) {
    const pool = tenancy.getTenantPool(tenant)
    const client = await bareQuery(tenant)
    // The scheduler may have closed this tenant's connection for one that is missed more.
    await pool.query(text, [1])
    for (let index = 0; index < queries; index += 1) {
      plain.push(await timed(() => client.query(text, [1 + index])))
      warm.push(await timed(() => pool.query(text, [1 + index])))
    }
    await client.end()
  }
  return { warm, plain }
}

async function step({ touch: count }) {
  const first = await touch(count)
  const again = await repeat()
  for (let round = 0; round < 3; round += 1) globalThis.gc()
  const { rss, heapUsed, external } = process.memoryUsage()
  return { ...first, ...again, rssBytes: rss, heapBytes: heapUsed + external }
}

serveParent(tenancy, step)
