// @ts-check
import Fastify from 'fastify'
import { getCurrentTenant, getTenantPool, renderMetrics } from 'tenants2fast'
import { createApi } from 'tenants2fast/api'
import { requirePermission, tenancyPlugin } from 'tenants2fast/fastify'

/**
 * The quick start as an application: every route knows who calls and for which tenant, or is not reached.
 *
 * @param {import('tenants2fast').Tenancy} tenancy
 * @param {import('tenants2fast/fastify').TenancyPluginOptions['accounts']} [accounts]
 */
export async function createApp(tenancy, accounts) {
  const app = Fastify()
  await app.register(tenancyPlugin, { tenancy, api: createApi({ tenancy }), ...(accounts && { accounts }) })

  app.get('/me/tenant', async () => {
    const { name, slug } = getCurrentTenant()
    return { name, slug }
  })
  app.get('/reports', { preHandler: requirePermission('/reports', 'GET') }, async (request) => ({
    user: request.user.email,
  }))

  // Notes live in the tenant's own database; the pool can reach no other.
  app.get('/notes', { preHandler: requirePermission() }, async () => {
    const { rows } = await getTenantPool().query('select id, author, body from notes order by id')
    return rows
  })
  const noteBody = {
    type: 'object',
    required: ['body'],
    additionalProperties: false,
    properties: { body: { type: 'string', minLength: 1, maxLength: 2000 } },
  }
  app.post('/notes', { preHandler: requirePermission(), schema: { body: noteBody } }, async (request, reply) => {
    const { body } = /** @type {{ body: string }} */ (request.body)
    const { rows } = await getTenantPool().query(
      'insert into notes (author, body) values ($1, $2) returning id, author, body',
      [request.user.email, body],
    )
    return reply.code(201).send(rows[0])
  })
  app.get('/health', { config: { tenancy: 'none' } }, async () => ({ status: 'ok' }))

  // For a Prometheus on this machine; to anybody else the route does not exist. A proxy on this machine counts as this
  // machine, so it must not forward the path; the numbers name no tenant in any case.
  app.get('/metrics', { config: { tenancy: 'none' } }, async (request, reply) => {
    if (!loopback.has(request.socket.remoteAddress ?? '')) return reply.callNotFound()
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(renderMetrics(tenancy))
  })
  return app
}

const loopback = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1'])
