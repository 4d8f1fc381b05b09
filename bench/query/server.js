// One variant of the query route in a process of its own: `node server.js plain-pool | tenants2fast`.
import Fastify from 'fastify'
import pg from 'pg'
import { createTenancy, getTenantPool } from 'tenants2fast'
import { requirePermission, tenancyPlugin } from 'tenants2fast/fastify'

const stopped = new Promise((resolve) => process.once('SIGTERM', resolve))
const select = 'select id, name from items where id = $1'
const urlOf = (database) => new URL(`/${database}`, process.env.TENANT_DATABASE_URL).href
const nextId = () => 1 + Math.floor(Math.random() * 10_000)

const tenancy = await createTenancy()
const owner = await tenancy.findUserByEmail('owner@example.com')
const tenant = await tenancy.findTenant('acme-bench')
const { token } = await tenancy.issueAccessToken({ user: owner.id })
const app = Fastify()
let pool
if (process.argv[2] === 'tenants2fast') {
  await app.register(tenancyPlugin, { tenancy })
  app.get('/items', { preHandler: requirePermission('reports:read') }, async () => {
    const { rows } = await getTenantPool().query(select, [nextId()])
    return rows[0]
  })
} else {
  const catalog = new pg.Client({ connectionString: urlOf(tenancy.config.catalogDatabase) })
  await catalog.connect()
  const found = await catalog.query('select name from tenant_databases where id = $1', [tenant.databaseId])
  await catalog.end()
  pool = new pg.Pool({ connectionString: urlOf(found.rows[0].name), max: tenancy.config.maxTenantConnections })
  app.get('/items', async () => {
    const { rows } = await pool.query(select, [nextId()])
    return rows[0]
  })
}
const address = await app.listen({ port: 0, host: '127.0.0.1' })
process.on('message', () => process.send(process.cpuUsage()))
process.send({
  url: `${address}/items`,
  headers: { authorization: `Bearer ${token}`, 'x-tenant-id': 'acme-bench' },
})
await stopped
await app.close()
await pool?.end()
await tenancy.close()
process.exit(0)
