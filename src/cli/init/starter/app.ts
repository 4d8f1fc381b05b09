/** Text of `access.js`: who may do what. */
export const accessFile = `// @ts-check
import { defineAccess, managementAccess } from 'tenants2fast'

/**
 * Permissions, the routes that they open, and the roles that hold them. Owner always exists and holds everything. What
 * managementAccess has is for the management API: members, invitations, roles.
 */
export const access = defineAccess({
  version: 1,
  categories: managementAccess.categories,
  permissions: { ...managementAccess.permissions, 'notes:read': 'Read notes', 'notes:write': 'Write notes' },
  routes: { 'GET /notes': 'notes:read', 'POST /notes': 'notes:write' },
  roles: {
    Member: [...managementAccess.roles.Member, 'notes:read'],
    Admin: { permissions: [...managementAccess.roles.Admin, 'notes:write'], includes: ['Member'] },
  },
})
`

/** Text of `app.js`: the application. */
export const appFile = `// @ts-check
import Fastify from 'fastify'
import { getCurrentTenant, getTenantPool } from 'tenants2fast'
import { createApi } from 'tenants2fast/api'
import { requirePermission, tenancyPlugin } from 'tenants2fast/fastify'

const noteBody = {
  type: 'object',
  required: ['body'],
  additionalProperties: false,
  properties: { body: { type: 'string', minLength: 1, maxLength: 2000 } },
}

/**
 * The application. Every route knows who calls and for which tenant, or is not reached.
 *
 * @param {import('tenants2fast').Tenancy} tenancy
 */
export async function createApp(tenancy) {
  const app = Fastify()
  // The management API: tenants, members, invitations, roles.
  await app.register(tenancyPlugin, { tenancy, api: createApi({ tenancy }) })

  app.get('/tenant', async () => {
    const { name, slug } = getCurrentTenant()
    return { name, slug }
  })

  // The pool reaches the database of the request's tenant, and no other.
  app.get('/notes', { preHandler: requirePermission() }, async () => {
    const { rows } = await getTenantPool().query('select id, author, body from notes order by id')
    return rows
  })

  app.post('/notes', { preHandler: requirePermission(), schema: { body: noteBody } }, async (request, reply) => {
    const { body } = /** @type {{ body: string }} */ (request.body)
    const { rows } = await getTenantPool().query(
      'insert into notes (author, body) values ($1, $2) returning id, author, body',
      [request.user.email, body],
    )
    return reply.code(201).send(rows[0])
  })

  app.get('/health', { config: { tenancy: 'none' } }, async (_request, reply) => {
    const health = await tenancy.health()
    return reply.code(health.ready ? 200 : 503).send({ ready: health.ready })
  })
  return app
}
`

/** Text of `main.js`: starts the application. */
export const mainFile = `// @ts-check
// npm start. Ctrl-C stops it; the data stays.
import { createTenancy } from 'tenants2fast'
import { access } from './access.js'
import { createApp } from './app.js'
import { createDemoData } from './demo-data.js'

// A signal during the start stops what has been started so far.
const stopping = new Promise((resolve) => {
  process.once('SIGINT', resolve)
  process.once('SIGTERM', resolve)
})

const tenancy = await createTenancy({ access })
const app = await createApp(tenancy)
try {
  const address = await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: process.env['HOST'] ?? '127.0.0.1' })
  console.log(\`Listening on \${address} (\${tenancy.serverDescription})\`)
  if (process.env['NODE_ENV'] !== 'production') {
    const { token, expiresIn } = await createDemoData(tenancy)
    console.log(\`
# Two demo tenants, and a token of their owner for \${expiresIn / 60} minutes:
TOKEN=\${token}
curl -s \${address}/notes -H "Authorization: Bearer $TOKEN" -H 'X-Tenant-Id: acme'
curl -s \${address}/notes -H "Authorization: Bearer $TOKEN" -H 'X-Tenant-Id: globex'   # another database
curl -s \${address}/notes -H "Authorization: Bearer $TOKEN" -H 'X-Tenant-Id: acme' -H 'Content-Type: application/json' -d '{"body":"Hello"}'
# The management API, here the members of a tenant:
curl -s \${address}/tenants/acme/members -H "Authorization: Bearer $TOKEN"

Ctrl-C stops it; the data stays.\`)
  }
  await stopping
} finally {
  await app.close()
  await tenancy.close()
}
`

/** Text of `demo-data.js`: tenants to try the application with. */
export const demoDataFile = `// @ts-check

/**
 * Two tenants with one owner. Running it again changes nothing.
 *
 * @param {import('tenants2fast').Tenancy} tenancy
 */
export async function createDemoData(tenancy) {
  const email = 'dana@example.com'
  const dana =
    (await tenancy.findUserByEmail(email)) ?? (await tenancy.createUser({ email, name: 'Dana', emailVerified: true }))
  for (const [slug, name] of /** @type {const} */ ([['acme', 'Acme'], ['globex', 'Globex']])) {
    const tenant = (await tenancy.findTenant(slug)) ?? (await tenancy.createTenant({ slug, name, owner: dana.id }))
    if (tenant.status !== 'active') continue
    await tenancy
      .getTenantPool(tenant)
      .query('insert into notes (author, body) select $1, $2 where not exists (select from notes)', [
        email,
        \`The first note of \${name}\`,
      ])
  }
  return tenancy.issueAccessToken({ user: dana.id })
}
`
