import { afterAll, beforeAll, expect, test } from 'vitest'
import { withConnection } from '../../src/databases/admin-connection.js'
import { startNode } from '../support/node-process.js'
import { type PrivateEmbedded, startPrivateEmbedded } from '../support/private-embedded.js'

let server: PrivateEmbedded
beforeAll(async () => {
  server = await startPrivateEmbedded({ max_connections: '100' })
}, 60_000)
afterAll(() => server.stop())

/** A process with default settings that uses all it may: its tenants' connections, the catalog's, the builder's. */
const program = `
  import { createTenancy } from 'tenants2fast'
  const tenancy = await createTenancy()
  const owner = await tenancy.createUser({ email: process.pid + '@example.com', name: 'O', emailVerified: true })
  const create = (index) => tenancy.createTenant({ name: 'T', slug: 't-' + process.pid + '-' + index, owner: owner.id })
  const tenants = await Promise.all([1, 2, 3, 4, 5, 6].map(create))
  console.log('started')
  const queries = tenants.flatMap((tenant) =>
    Array.from({ length: 10 }, () => tenancy.getTenantPool(tenant).query('select pg_sleep(0.5)')),
  )
  const reads = Array.from({ length: 200 }, () => tenancy.listTenants())
  const builds = Array.from({ length: 4 }, () => tenancy.createTenantDatabase())
  const results = await Promise.allSettled([...queries, ...reads, ...builds])
  console.log(JSON.stringify({ refused: results.flatMap(({ reason }) => reason ? [String(reason.cause ?? reason)] : []),
    opened: tenancy.stats().maxConnections }))
  await tenancy.close()
`

test('with the defaults an old and a new process work side by side on a server with max_connections = 100', async () => {
  const env = { TENANT_DATABASE_URL: server.url(), TENANT_SECRET: 'ab'.repeat(32) }
  const processes = [startNode([], { env, program }), startNode([], { env, program })]
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
  const endings = await Promise.all(processes.map(({ ended }) => ended))
  running = false
  await watching
  expect(processes.map(({ stderr }) => stderr)).toEqual(['', ''])
  expect(endings).toEqual([0, 0])
  for (const { stdout } of processes) expect(stdout).toContain('{"refused":[],"opened":25}')
  // They did use what they may have, and what is left suffices for an operator's psql and a monitor.
  expect(most).toBeGreaterThan(50)
  expect(most).toBeLessThanOrEqual(86)
}, 120_000)
