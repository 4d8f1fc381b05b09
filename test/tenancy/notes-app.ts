import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import { requirePermission, requireRole, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { getCurrentTenant, getCurrentUser, getTenantPool, type Tenancy } from '../../src/index.js'

/** Creates an application on a complete tenancy, with the quick start's routes and a few more. */
export async function createNotesApp(tenancy: Tenancy): Promise<FastifyInstance> {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(tenancyPlugin, { tenancy })
  app.get('/me/tenant', async () => {
    const { name, slug } = getCurrentTenant()
    return { name, slug }
  })
  app.get('/me', { config: { tenancy: 'user' } }, async () => ({ email: getCurrentUser().email }))
  app.get('/reports', { preHandler: requirePermission('/reports', 'GET') }, async (request) => ({
    user: request.user.email,
  }))
  app.get('/owners', { preHandler: requireRole('Owner') }, async () => ({ ok: true }))
  app.get('/notes', { preHandler: requirePermission() }, async () => {
    const { rows } = await getTenantPool().query('select id, author, body from notes order by id')
    return rows
  })
  app.post('/notes', { preHandler: requirePermission() }, async (request, reply) => {
    const { body } = request.body as { body: string }
    await getTenantPool().query('insert into notes (author, body) values ($1, $2)', [request.user.email, body])
    return reply.code(201).send()
  })
  app.get('/tenants/:tenant/notes', { preHandler: requirePermission('/notes', 'GET') }, async () => {
    const { rows } = await getTenantPool().query('select body from notes order by id')
    return { tenant: getCurrentTenant().slug, notes: rows }
  })
  app.get('/session', async () => {
    const { rows } = await getTenantPool().query('select current_database() as database, current_user as role')
    return rows[0]
  })
  app.get('/slow', async () => {
    const { rows } = await getTenantPool().query('select pg_sleep(0.5), pg_backend_pid() as pid')
    return rows[0]
  })
  app.get('/health', { config: { tenancy: 'none' } }, async () => ({ status: 'ok' }))
  return app
}

/** Headers of a request with `token`, for `tenant` if given. */
export function bearer(token: string, tenant?: string): Record<string, string> {
  return { authorization: `Bearer ${token}`, ...(tenant === undefined ? {} : { 'x-tenant-id': tenant }) }
}

/** Returns everything of a response that a client can see, except the date and the request's id, which counts requests. */
export function seen({ statusCode, headers, body }: LightMyRequestResponse): unknown {
  const { date: _date, 'content-length': length, ...rest } = headers
  const id = /,"requestId":"[\w-]+"/.exec(body)?.[0] ?? ''
  return { statusCode, headers: rest, length: Number(length) - id.length, body: body.replace(id, '') }
}

/** Returns the status and the problem code of a response. */
export function outcome(response: LightMyRequestResponse): string {
  if (response.statusCode < 400) return String(response.statusCode)
  const { code } = response.json<{ code?: string }>()
  return `${response.statusCode} ${code}`
}
