// `/me/permissions` or a guarded route, on the same application: `node server.js permissions | guarded`.
import Fastify from 'fastify'
import { createTenancy, defineAccess, managementAccess } from 'tenants2fast'
import { createApi } from 'tenants2fast/api'
import { requirePermission, tenancyPlugin } from 'tenants2fast/fastify'

const stopped = new Promise((resolve) => process.once('SIGTERM', resolve))
const user = { email: 'owner@example.com', name: 'Owner', emailVerified: true }
const most = 1_000_000_000

const tenancy = await createTenancy({
  access: defineAccess({
    categories: managementAccess.categories,
    permissions: { ...managementAccess.permissions, 'reports:read': '' },
    routes: { 'GET /reports': 'reports:read' },
    roles: { Admin: { permissions: '*' } },
  }),
})
let owner = await tenancy.findUserByEmail(user.email)
if (owner === undefined) {
  owner = await tenancy.createUser(user)
  await tenancy.createTenant({ name: 'Acme', slug: 'acme-bench', owner: owner.id })
}
const { token } = await tenancy.issueAccessToken({ user: owner.id })

const app = Fastify()
await app.register(tenancyPlugin, { tenancy, api: createApi({ tenancy, limits: { readsPerUser: most } }) })
app.get('/reports', { preHandler: requirePermission('/reports', 'GET') }, async (request) => ({
  user: request.user.email,
}))
const address = await app.listen({ port: 0, host: '127.0.0.1' })
process.on('message', () => process.send(process.cpuUsage()))
process.send({
  url: address + { permissions: '/me/permissions', guarded: '/reports' }[process.argv[2]],
  headers: { authorization: `Bearer ${token}`, 'x-tenant-id': 'acme-bench' },
})
await stopped
await app.close()
await tenancy.close()
process.exit(0)
