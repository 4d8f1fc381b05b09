// One variant of the guarded route in a process of its own: `node server.js bare | empty-hooks | tenants2fast | jwt-casbin`.
import { AsyncLocalStorage } from 'node:async_hooks'
import Fastify from 'fastify'

const stopped = new Promise((resolve) => process.once('SIGTERM', resolve))
const user = { email: 'owner@example.com', name: 'Owner', emailVerified: true }

const variants = {
  async bare(app, options = {}) {
    app.get('/reports', options, async () => ({ user: user.email }))
    // The same bytes on the wire as for the others: about the size of a signed token.
    return { headers: { authorization: `Bearer ${'x'.repeat(420)}`, 'x-tenant-id': 'acme-bench' } }
  },

  // What any plugin costs that binds a context and guards a route: hooks that do nothing else.
  async 'empty-hooks'(app) {
    const storage = new AsyncLocalStorage()
    app.addHook('onRequest', (request, _reply, done) => storage.run(request, done))
    app.addHook('preValidation', (_request, _reply, done) => done())
    return variants.bare(app, { preHandler: (_request, _reply, done) => done() })
  },

  async tenants2fast(app) {
    const { createTenancy } = await import('tenants2fast')
    const { requirePermission, tenancyPlugin } = await import('tenants2fast/fastify')
    const tenancy = await createTenancy()
    let owner = await tenancy.findUserByEmail(user.email)
    if (owner === undefined) {
      owner = await tenancy.createUser(user)
      await tenancy.createTenant({ name: 'Acme', slug: 'acme-bench', owner: owner.id })
    }
    await app.register(tenancyPlugin, { tenancy })
    app.get('/reports', { preHandler: requirePermission('/reports', 'GET') }, async (request) => ({
      user: request.user.email,
    }))
    const { token } = await tenancy.issueAccessToken({ user: owner.id })
    return {
      headers: { authorization: `Bearer ${token}`, 'x-tenant-id': 'acme-bench' },
      close: () => tenancy.close(),
    }
  },

  async 'jwt-casbin'(app) {
    const { newEnforcer, newModelFromString } = await import('casbin')
    await app.register((await import('@fastify/jwt')).default, { secret: 'a-secret-for-the-benchmark-only' })
    const enforcer = await newEnforcer(
      newModelFromString(`
        [request_definition]
        r = sub, dom, obj, act
        [policy_definition]
        p = sub, dom, obj, act
        [role_definition]
        g = _, _, _
        [policy_effect]
        e = some(where (p.eft == allow))
        [matchers]
        m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && keyMatch2(r.obj, p.obj) && r.act == p.act
      `),
    )
    await enforcer.addPolicy('Owner', 'acme-bench', '/reports', 'GET')
    await enforcer.addGroupingPolicy(user.email, 'Owner', 'acme-bench')
    const guard = async (request, reply) => {
      await request.jwtVerify()
      const tenant = request.headers['x-tenant-id']
      if (!(await enforcer.enforce(request.user.email, tenant, request.routeOptions.url, request.method))) {
        return reply.code(403).send()
      }
    }
    app.get('/reports', { preHandler: guard }, async (request) => ({ user: request.user.email }))
    await app.ready()
    const token = app.jwt.sign({ email: user.email }, { expiresIn: '15m' })
    return { headers: { authorization: `Bearer ${token}`, 'x-tenant-id': 'acme-bench' } }
  },
}

const app = Fastify()
const { headers, close } = await variants[process.argv[2]](app)
const address = await app.listen({ port: 0, host: '127.0.0.1' })
process.on('message', () => process.send(process.cpuUsage()))
process.send({ url: `${address}/reports`, headers })
await stopped
await app.close()
await close?.()
process.exit(0)
