import { createRequire } from 'node:module'
import cors from '@fastify/cors'
import jwt from '@fastify/jwt'
import secureSession from '@fastify/secure-session'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import underPressure from '@fastify/under-pressure'
import Fastify, { type FastifyInstance, type FastifyPluginAsync, type FastifyRequest } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { tenancyPlugin, type TenancyPluginOptions, type TenancyRoute } from '../../src/adapters/fastify/index.js'
import { tryGetCurrentTenant } from '../../src/core/context/current.js'
import type { User } from '../../src/core/model.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, tenancyOver } from './fastify-app.js'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    user: User
  }
}

interface Passport {
  new (): {
    initialize(): FastifyPluginAsync
    secureSession(): FastifyPluginAsync
    use(strategy: object): void
    authenticate(name: string, options: object): never
  }
}
// Not imported, because its types would declare its own `user` for all tests.
const require = createRequire(import.meta.url)
const { Authenticator } = require('@fastify/passport') as { Authenticator: Passport }

let path: RequestPath
let app: FastifyInstance
let token: string

beforeAll(async () => {
  path = await createRequestPath()
  const user = await path.addUser('dana@example.com')
  await path.addMember(user, await path.addTenant('acme'))
  token = path.tokenFor(user)
})
afterAll(() => path.close())
afterEach(() => app.close())

const orders = ['before', 'after'] as const
type Order = (typeof orders)[number]

async function open(
  order: Order,
  others: (app: FastifyInstance) => PromiseLike<unknown>,
  options: Partial<TenancyPluginOptions> = {},
) {
  app = Fastify()
  if (order === 'before') await others(app)
  await app.register(tenancyPlugin, { tenancy: tenancyOver(path), ...options })
  if (order === 'after') await others(app)
}

const decorated = (request: FastifyRequest) => request as FastifyRequest & { account: User; shop: { slug: string } }

describe.each(orders)('registered %s the tenancy plugin', (order) => {
  test('@fastify/jwt keeps request.user, and our user has another name', async () => {
    await open(order, (each) => each.register(jwt, { secret: 'a secret of the test' }), {
      decorators: { user: 'account', tenant: 'shop' },
      needs: ({ url }) => (url === '/webhook' ? 'none' : undefined),
    })
    app.get('/both', async (request) => {
      request.user = app.jwt.verify<User>(app.jwt.sign({ email: 'other@example.com' }))
      return [request.user.email, decorated(request).account.email, decorated(request).shop.slug, 'tenant' in request]
    })
    app.get('/webhook', async (request) => {
      await request.jwtVerify()
      return request.user.email
    })
    const both = await app.inject({ url: '/both', headers: bearer(token) })
    expect(both.json()).toEqual(['other@example.com', 'dana@example.com', 'acme', false])
    const theirs = app.jwt.sign({ email: 'hook@example.com' })
    expect((await app.inject({ url: '/webhook', headers: bearer(theirs) })).body).toBe('hook@example.com')
    const refused = await app.inject({ url: '/webhook', headers: bearer(token) })
    expect([refused.statusCode, refused.json()]).toMatchObject([401, { status: 401, code: /^FAST_JWT|^FST_JWT/ }])
  })

  test('@fastify/passport keeps request.user', async () => {
    const passport = new Authenticator()
    passport.use({
      name: 'code',
      async authenticate(this: { success(user: object): void; fail(): void }, request: FastifyRequest) {
        if ((request.query as { code?: string }).code === 'right') this.success({ login: 'dana' })
        else this.fail()
      },
    })
    const others = async (each: FastifyInstance) => {
      await each.register(secureSession, { key: Buffer.alloc(32, 1), cookie: { path: '/' } })
      await each.register(passport.initialize())
      await each.register(passport.secureSession())
    }
    await open(order, others, { decorators: { user: false } })
    app.get('/x', { preValidation: passport.authenticate('code', { session: false }) }, async (request) => [
      request.user,
      request.tenant.slug,
    ])
    const ask = async (url: string) => await app.inject({ url, headers: bearer(token) })
    expect((await ask('/x?code=right')).json()).toEqual([{ login: 'dana' }, 'acme'])
    expect((await ask('/x?code=wrong')).statusCode).toBe(401)
    expect((await app.inject({ url: '/x?code=right' })).statusCode).toBe(401)
  })

  test('The option `needs` opens the pages of @fastify/swagger-ui, and nothing else', async () => {
    const asked: TenancyRoute[] = []
    const others = async (each: FastifyInstance) => {
      await each.register(swagger, { openapi: { info: { title: 'Notes', version: '1' } } })
      await each.register(swaggerUi, { routePrefix: '/documentation' })
    }
    await open(order, others, {
      needs(route) {
        asked.push(route)
        return route.url.startsWith('/documentation') ? 'none' : undefined
      },
    })
    app.get('/notes', { schema: { summary: 'All notes' } }, async () => 'ok')
    app.get('/own', { config: { tenancy: 'user' } }, async () => 'ok')
    await app.ready()
    const ask = async (url: string) => (await app.inject({ url })).statusCode
    expect([await ask('/documentation/'), await ask('/documentation/static/swagger-ui.css')]).toEqual([200, 200])
    expect((await app.inject({ url: '/documentation/json' })).body).toContain('All notes')
    expect([await ask('/notes'), await ask('/own')]).toEqual([401, 401])
    expect(asked.find(({ url, method }) => url === '/notes' && method === 'GET')).toMatchObject({
      schema: { summary: 'All notes' },
    })
    // The option is not called for a route with its own config.tenancy.
    expect(asked.some(({ url }) => url === '/own')).toBe(false)
  })

  test('@fastify/under-pressure answers its health check and sheds load with a problem document', async () => {
    let isHealthy = true
    const others = async (each: FastifyInstance) =>
      each.register(underPressure, {
        exposeStatusRoute: '/status',
        healthCheck: async () => isHealthy,
        healthCheckInterval: 5,
        retryAfter: 20,
      })
    await open(order, others, { needs: ({ url }) => (url === '/status' ? 'none' : undefined) })
    app.get('/x', async () => 'ok')
    await app.ready()
    expect((await app.inject({ url: '/status' })).json()).toEqual({ status: 'ok' })
    isHealthy = false
    const ask = () => app.inject({ url: '/x', headers: bearer(token) })
    await expect.poll(async () => (await ask()).statusCode).toBe(503)
    const response = await ask()
    expect([response.statusCode, response.headers['retry-after'], response.json()]).toMatchObject([
      503,
      '20',
      { type: 'about:blank', title: 'Service Unavailable', status: 503 },
    ])
  })

  test('@fastify/cors answers preflights, and refused requests after them keep its headers', async () => {
    await open(order, (each) => each.register(cors, { origin: 'https://app.example.com', methods: ['GET', 'PUT'] }))
    app.put('/notes', async () => 'ok')
    const preflight = await app.inject({ method: 'OPTIONS', url: '/notes', headers: asks })
    expect([preflight.statusCode, preflight.headers['access-control-allow-methods'], preflight.body]).toEqual([
      204,
      'GET, PUT',
      '',
    ])
    const served = await app.inject({ method: 'PUT', url: '/notes', headers: { ...origin, ...bearer(token) } })
    expect([served.statusCode, served.headers['access-control-allow-origin']]).toEqual([200, 'https://app.example.com'])
    expect((await app.inject({ method: 'OPTIONS', url: '/notes' })).statusCode).toBe(order === 'before' ? 400 : 401)
  })
})

const origin = { origin: 'https://app.example.com' }
const asks = { ...origin, 'access-control-request-method': 'PUT' }

describe('CORS preflights', () => {
  const ran: string[] = []
  const run = (name: string) => async () => {
    ran.push(name)
    return 'ran'
  }

  test.each([
    ['without @fastify/cors', false],
    ['that @fastify/cors does not answer', false],
    ['that @fastify/cors answers', true],
  ])('A preflight %s never runs a handler of the application', async (name, isAnswered) => {
    app = Fastify()
    await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
    if (name !== 'without @fastify/cors') {
      await app.register(cors, isAnswered ? { origin: true } : { origin: false })
    }
    const contexts: unknown[] = []
    app.addHook('onRequest', async () => void contexts.push(tryGetCurrentTenant()))
    app.addHook('preValidation', async () => void ran.push('preValidation'))
    app.addHook('preHandler', async () => void ran.push('preHandler'))
    app.options('/options', run('options'))
    app.all('/all', run('all'))
    app.options('/public', { config: { tenancy: 'none' } }, run('public'))
    ran.length = 0
    for (const url of ['/options', '/all']) {
      const response = await app.inject({ method: 'OPTIONS', url, headers: asks })
      expect([url, response.statusCode, ran]).toEqual([url, isAnswered ? 204 : 401, []])
    }
    // Later hooks see no tenant.
    expect(contexts.every((tenant) => tenant === undefined)).toBe(true)
    const response = await app.inject({ method: 'OPTIONS', url: '/public', headers: asks })
    expect([response.statusCode, ran.includes('public')]).toEqual(isAnswered ? [204, false] : [200, true])
  })

  test('A preflight with credentials or a body is an ordinary request', async () => {
    app = Fastify()
    await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
    app.options('/x', async (request) => request.tenant.slug)
    const seen: string[] = []
    app.addHook('onRequest', async (request) => void seen.push(request.tenant.slug))
    const ask = async (headers: object, payload?: string) =>
      app.inject({
        method: 'OPTIONS',
        url: '/x',
        headers: { ...asks, ...headers },
        ...(payload === undefined ? {} : { payload }),
      })
    expect((await ask(bearer(token))).body).toBe('acme')
    expect(seen).toEqual(['acme'])
    expect((await ask({ 'content-type': 'application/json' }, '{"not json')).statusCode).toBe(401)
    expect((await ask({})).statusCode).toBe(401)
    expect(seen).toEqual(['acme'])
  })
})

test('A decorator name that another plugin has is refused with the way out', async () => {
  app = Fastify()
  app.decorateRequest('user', null as never)
  await expect(app.register(tenancyPlugin, { tenancy: tenancyOver(path) })).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_INVALID',
    message: expect.stringContaining("decorators: { user: '"),
  })
})

test('An invalid answer of the option `needs` fails at registration, and config.tenancy of a route takes precedence', async () => {
  app = Fastify()
  const needs = ((): unknown => 'anybody') as () => 'none'
  await expect(app.register(tenancyPlugin, { tenancy: tenancyOver(path), needs })).resolves.toBeDefined()
  app.get('/own', { config: { tenancy: 'none' } }, async () => 'ok')
  expect(() => app.get('/x', async () => 'ok')).toThrow(expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID' }))
})

test('The option `needs` is called at the first request of a route that was registered before the plugin', async () => {
  app = Fastify()
  void app.register(tenancyPlugin, {
    tenancy: tenancyOver(path),
    needs: ({ url }) => (url === '/open' ? 'none' : undefined),
  })
  for (const url of ['/open', '/closed']) app.get(url, async () => 'ok')
  expect((await app.inject({ url: '/open' })).statusCode).toBe(200)
  expect((await app.inject({ url: '/closed' })).statusCode).toBe(401)
})
