import Fastify from 'fastify'
import { requirePermission, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { defineAccess } from '../../src/access/index.js'
import { getTenantPool } from '../../src/core/context/current.js'
import { createTenancy } from '../../src/tenancy.js'
import { endWithParent } from '../support/processes/parent-process.js'
import { silentLogger } from '../support/silent-logger.js'

// A typical application: a query, a transaction and a slow query, with no code for outages.

/** The message of the process to its parent. */
export interface RestartReport {
  readonly address: string
  readonly token: string
  readonly tenants: readonly string[]
}

const access = defineAccess({
  permissions: { 'marks:read': 'See marks' },
  routes: { 'GET /query': 'marks:read' },
  roles: { Member: ['marks:read'] },
})
const tenancy = await createTenancy({ access, logger: silentLogger })
const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'Owner', emailVerified: true })
const tenants = ['first', 'second', 'third']
for (const slug of tenants) await tenancy.createTenant({ name: slug, slug, owner: owner.id })

const app = Fastify()
await app.register(tenancyPlugin, { tenancy })
app.get('/query', { preHandler: requirePermission() }, async () => {
  const { rows } = await getTenantPool().query('select count(*)::int as count from marks')
  return rows[0]
})
app.get('/slow', async () => {
  await getTenantPool().query('select pg_sleep($1)', [0.05])
  return {}
})
app.get('/transaction', async () => {
  const client = await getTenantPool().connect()
  try {
    await client.query('begin')
    await client.query('insert into marks (tenant_id) values (gen_random_uuid())')
    await new Promise((resolve) => setTimeout(resolve, 5))
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  } finally {
    client.release()
  }
  return {}
})
app.post('/tenants/:name', { config: { tenancy: 'user' } }, async (request) => {
  const { name } = request.params as { name: string }
  return tenancy.createTenant({ name, slug: name, owner: owner.id })
})
const address = await app.listen({ port: 0, host: '127.0.0.1' })
const { token } = await tenancy.issueAccessToken({ user: owner.id })
process.send?.({ address, token, tenants } satisfies RestartReport)
process.once('message', () => void stop())
const leaveParent = endWithParent()

async function stop(): Promise<void> {
  await app.close()
  await tenancy.close()
  leaveParent()
}
