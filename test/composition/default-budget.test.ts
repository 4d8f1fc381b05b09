import { afterAll, beforeAll, expect, test } from 'vitest'
import { withConnection } from '../../src/databases/server/admin-connection.js'
import { startNode } from '../support/processes/node-process.js'
import { type PrivateServer, startPrivateServer } from '../support/servers/private-server.js'

let server: PrivateServer
beforeAll(async () => {
  server = await startPrivateServer({ settings: { max_connections: '100' } })
}, 60_000)
afterAll(() => server.stop())

/** A process with default settings that uses all connections it may: those to its tenants, and the others when told to. */
const program = `
  import { once } from 'node:events'
  import { createTenancy } from 'tenants2fast'
  const tenancy = await createTenancy()
  const owner = await tenancy.createUser({ email: process.pid + '@example.com', name: 'O', emailVerified: true })
  const tenants = []
  for (const index of [1, 2, 3, 4]) {
    tenants.push(await tenancy.createTenant({ name: 'T', slug: 't-' + process.pid + '-' + index, owner: owner.id }))
  }
  const failures = []
  async function connect(tenant) {
    for (;;) {
      // A connection may take too long on a busy machine, but the server must never run out of them.
      const client = await tenancy.getTenantPool(tenant).connect().catch((error) => void failures.push(error))
      if (client) return client
    }
  }
  const clients = await Promise.all(tenants.flatMap((tenant) => Array.from({ length: 5 }, () => connect(tenant))))
  const told = once(process, 'SIGUSR2')
  console.log('full')
  await told
  const reads = Array.from({ length: 200 }, () => tenancy.listTenants())
  const builds = Array.from({ length: 4 }, () => tenancy.createTenantDatabase())
  for (const { reason } of await Promise.allSettled([...reads, ...builds])) if (reason) failures.push(reason)
  for (const client of clients) client.release()
  const codes = failures.flatMap((error) => [error?.code, error?.cause?.code, error?.cause?.cause?.code])
  console.log(JSON.stringify({ held: clients.length, full: codes.filter((code) => code === '53300').length }))
  await tenancy.close()
`

test('With the default settings an old and a new process share a server with max_connections = 100', async () => {
  const env = { TENANT_DATABASE_URL: server.url(), TENANT_SECRET: 'ab'.repeat(32) }
  const processes = [startNode([], { env, program }), startNode([], { env, program })]
  await Promise.all(processes.map((each) => each.printed('full')))
  let most = 0
  let running = true
  const watching = withConnection(server.account, async (client) => {
    while (running) {
      const { rows } = await client.query<{ count: number }>(
        "select count(*)::int as count from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
      )
      most = Math.max(most, rows[0]?.count ?? 0)
    }
  })
  for (const each of processes) each.kill('SIGUSR2')
  const endings = await Promise.all(processes.map(({ ended }) => ended))
  running = false
  await watching
  expect(endings).toEqual([0, 0])
  for (const { stdout } of processes) expect(stdout).toContain('{"held":20,"full":0}')
  // The rest is enough for an operator's psql and for monitoring.
  expect(most).toBeGreaterThanOrEqual(50)
  expect(most).toBeLessThanOrEqual(86)
}, 300_000)
