// What it costs to write down where a change comes from: the setting of the transaction, the trigger of the audit log, and the
// client's address. One small change of a tenant (`PATCH /tenants/{tenant}`) in this process, one at a time, on one embedded
// server whose commits do not wait for the disk: in stretches with and without the trigger, which take turns.
//
//   T2F_BENCH_ROUNDS  changes of each kind (default 1500)
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { createApi } from 'tenants2fast/api'
import { withServer } from './database.js'
import { figure, limit, median } from './figures.js'

const rounds = Number(process.env.T2F_BENCH_ROUNDS ?? 1500)
const most = 1_000_000_000

/** Changes that are measured at a stretch, after some that fill what switching the trigger has emptied. */
const stretch = 50
const unmeasured = 15

export function run() {
  return withServer(
    async (url) => {
      const installation = await open(url)
      try {
        return [...(await changes(installation)), ...(await reads(installation))]
      } finally {
        await installation.close()
      }
    },
    { synchronous_commit: 'off' },
  )
}

async function changes(installation) {
  const kinds = {
    known: () => '192.0.2.1',
    fresh: (count) => `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}`,
    none: () => undefined,
    off: () => '192.0.2.1',
  }
  const change = await installation.changer()
  const names = Object.keys(kinds)
  const ms = Object.fromEntries(names.map((name) => [name, []]))
  let count = 0
  for (let round = -1; round < rounds / stretch; round += 1) {
    for (let index = 0; index < names.length; index += 1) {
      const name = names[(index + round + names.length) % names.length]
      await installation.query(
        `alter table audit_log ${name === 'off' ? 'disable' : 'enable'} trigger audit_log_add_origin`,
      )
      const taken = []
      for (let one = -unmeasured; one < stretch; one += 1) {
        count += 1
        const started = performance.now()
        await change(kinds[name](count), count)
        if (one >= 0) taken.push(performance.now() - started)
      }
      if (round >= 0) ms[name].push(median(taken))
    }
  }
  const { rows } = await installation.query(
    `select count(after #>> '{tenants2fast.origin,address}')::int as addressed,
       (select count(*)::int from audit_addresses) as addresses from audit_log where action = 'tenant.update'`,
  )
  if (rows[0].addressed < 2 * rounds || rows[0].addresses < rounds) throw new Error('not a measurement')
  const against = 'the same change without the trigger'
  return [
    figure('a change from a known address', 'ms', against, ms.known, ms.off),
    figure('a change from an address that is new each time', 'ms', against, ms.fresh, ms.off),
    figure('a change without an address', 'ms', against, ms.none, ms.off),
  ]
}

/** Reads write nothing down: they leave the address alone. */
async function reads(installation) {
  const read = await installation.reader('192.0.2.1')
  const before = installation.addressesRead()
  for (let index = 0; index < 100; index += 1) await read()
  return [
    limit('addresses that 100 reads work out', installation.addressesRead() - before, 'addresses', 0, 'none', '0'),
  ]
}

async function open(url) {
  const opened = await createTenancy({
    config: loadConfig({ TENANT_DATABASE_URL: url, TENANT_READY_DATABASES: '0' }),
  })
  let addresses = 0
  const tenancy = {
    ...opened,
    clientAddress(origin) {
      addresses += 1
      return opened.clientAddress(origin)
    },
  }
  const limits = { changesPerUser: most, changesPerTenant: most, readsPerUser: most, strangersPerAddress: most }
  const api = createApi({ tenancy, limits })
  const client = new pg.Client({ connectionString: new URL(`/${opened.config.catalogDatabase}`, url).href })
  await client.connect()
  let count = 0
  const newTenant = async () => {
    count += 1
    const user = { email: `user-${count}@example.com`, name: 'User', emailVerified: true }
    const { id } = await opened.createUser(user)
    const { slug } = await opened.createTenant({ name: 'Acme', slug: `acme-${count}`, owner: id })
    return { slug, authorization: `Bearer ${(await opened.issueAccessToken({ user: id })).token}` }
  }
  const send = async (method, path, headers, remoteAddress, body) => {
    const request = new Request(`http://localhost${path}`, { method, headers, body })
    const answer = await api.handle(request, { remoteAddress, requestId: 'bench-request' })
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`)
    await answer.arrayBuffer()
  }
  return {
    addressesRead: () => addresses,
    query: (text) => client.query(text),
    async changer() {
      const { slug, authorization } = await newTenant()
      const headers = { authorization, 'content-type': 'application/json' }
      return (address, number) =>
        send('PATCH', `/tenants/${slug}`, headers, address, JSON.stringify({ name: `Acme ${number}` }))
    },
    async reader(remoteAddress) {
      const { slug, authorization } = await newTenant()
      return () => send('GET', `/tenants/${slug}`, { authorization }, remoteAddress)
    },
    async close() {
      await client.end()
      await opened.close()
    },
  }
}
