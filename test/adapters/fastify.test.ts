import { PassThrough } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createAccessRules, devAccess } from '../../src/access/index.js'
import { requirePermission, requireRole, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createRuleSetReader } from '../../src/catalog/access/rule-set-reader.js'
import { getCurrentTenant, getCurrentUser, getTenantPool, tryGetCurrentUser } from '../../src/core/context/current.js'
import { TenancyError } from '../../src/core/errors/errors.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, createApp, tenancyOver } from './fastify-app.js'

let path: RequestPath
let app: FastifyInstance
let owner: string
let member: string

beforeAll(async () => {
  path = await createRequestPath()
  const acme = await path.addTenant('acme')
  const [ownerId, memberId] = [await path.addUser('owner@example.com'), await path.addUser('member@example.com')]
  await path.addMember(ownerId, acme, 'Owner')
  await path.addMember(memberId, acme, 'Member')
  await path.catalog.pool.query(
    `insert into route_rules (method, path, permission_id) select 'GET', '/api/reports/{id}', id from permissions where name = 'reports:read'`,
  )
  await path.rules.refresh()
  await path.heard()
  owner = path.tokenFor(ownerId)
  member = path.tokenFor(memberId)
})
afterAll(() => path.close())
afterEach(() => app.close())

async function get(url: string, token: string | undefined, method: 'GET' | 'HEAD' | 'POST' = 'GET') {
  const response = await app.inject({ method, url, headers: token === undefined ? {} : bearer(token) })
  return response
}
const statusOf = async (...args: Parameters<typeof get>) => (await get(...args)).statusCode
const codeOf = async (...args: Parameters<typeof get>) => (await get(...args)).json<{ code: string }>().code

describe('the request’s context', () => {
  test('A handler sees user, tenant and pool, on the request and by the getters', async () => {
    app = await createApp(path)
    app.get('/me', async (request) => ({
      user: [request.user.email, getCurrentUser().email],
      tenant: [request.tenant.slug, getCurrentTenant().slug],
      pool: getTenantPool(),
    }))
    expect((await get('/me', owner)).json()).toEqual({
      user: ['owner@example.com', 'owner@example.com'],
      tenant: ['acme', 'acme'],
      pool: { tenant: 'acme' },
    })
  })

  test('A route serves only users in a tenant unless it says otherwise', async () => {
    app = await createApp(path)
    app.get('/default', async () => 'ok')
    app.get(
      '/user',
      { config: { tenancy: 'user' } },
      async (request) => `${request.user.email} ${String(tryGetCurrentUser()?.id)}`,
    )
    app.get('/public', { config: { tenancy: 'none' } }, async () => 'ok')
    const nobody = path.tokenFor(await path.addUser())
    for (const url of ['/default', '/user']) {
      const response = await get(url, undefined)
      expect([response.statusCode, response.headers['www-authenticate'], response.headers['content-type']]).toEqual([
        401,
        'Bearer',
        'application/problem+json; charset=utf-8',
      ])
      expect((await get(url, 'rubbish')).headers['www-authenticate']).toBe('Bearer error="invalid_token"')
    }
    expect([await codeOf('/default', nobody), await statusOf('/user', nobody)]).toEqual(['TENANCY_TENANT_NONE', 200])
    expect([await statusOf('/public', undefined), await statusOf('/public', 'rubbish')]).toEqual([200, 200])
  })

  test('A route whose config.tenancy is not tenant, user or none fails at registration', async () => {
    app = await createApp(path)
    expect(() => app.get('/x', { config: { tenancy: 'nobody' as 'none' } }, async () => 'ok')).toThrow(
      /config\.tenancy/,
    )
  })

  test('A request that matches no route is answered 404, with or without credentials', async () => {
    app = await createApp(path)
    for (const token of [undefined, 'rubbish', owner]) expect(await statusOf('/nothing/here', token)).toBe(404)
  })

  test('request.user and request.tenant throw coded errors where there is none', async () => {
    app = await createApp(path)
    app.get('/u', { config: { tenancy: 'none' } }, async (request) => request.user)
    app.get('/t', { config: { tenancy: 'user' } }, async (request) => request.tenant)
    app.get('/g', { config: { tenancy: 'none' } }, async () => getCurrentTenant())
    expect([await codeOf('/u', owner), await codeOf('/t', owner), await codeOf('/g', owner)]).toEqual([
      'TENANCY_AUTH_REQUIRED',
      'TENANCY_TENANT_NONE',
      'TENANCY_AUTH_REQUIRED',
    ])
  })

  test('The path names the tenant below the URL prefix, also behind a prefix of the application', async () => {
    app = await createApp(path)
    await app.register(
      async (scope) => {
        scope.get('/tenants/:tenant/me', async () => getCurrentTenant().slug)
      },
      { prefix: '/api' },
    )
    expect((await get('/api/tenants/acme/me', owner)).body).toBe('acme')
    expect(await codeOf('/api/tenants/globex/me', owner)).toBe('TENANCY_TENANT_FORBIDDEN')
    expect(await codeOf('/api/tenants/%2e%2e%2facme/me', owner)).toBe('TENANCY_TENANT_FORBIDDEN')
  })

  test('Application hooks that are added after the plugin have the context', async () => {
    app = await createApp(path)
    const seen: string[] = []
    app.addHook('onRequest', async () => void seen.push(getCurrentTenant().slug))
    app.addHook('onSend', async (request) => void seen.push(request.tenant.slug))
    app.get('/x', async () => 'ok')
    await get('/x', owner)
    expect(seen).toEqual(['acme', 'acme'])
  })
})

describe('guards', () => {
  test('Guards by path and method, by permission and by role let an owner pass and refuse a member', async () => {
    app = await createApp(path)
    const pass = async () => 'ok'
    app.get('/a', { preHandler: requirePermission('/reports', 'GET') }, pass)
    app.get('/b', { preHandler: [(_request, _reply, done) => done(), requirePermission('reports:read')] }, pass)
    app.get('/c', { preHandler: requireRole('Owner') }, pass)
    app.get('/d', { onRequest: requireRole('Owner') }, pass)
    app.post('/e', { preValidation: requireRole('Owner') }, pass)
    for (const url of ['/a', '/b', '/c', '/d']) {
      expect([url, await statusOf(url, owner), await statusOf(url, member), await statusOf(url, undefined)]).toEqual([
        url,
        200,
        403,
        401,
      ])
      expect(await codeOf(url, member)).toBe('TENANCY_ACCESS_DENIED')
      expect([await statusOf(url, owner, 'HEAD'), await statusOf(url, member, 'HEAD')]).toEqual([200, 403])
    }
    expect([await statusOf('/e', owner, 'POST'), await statusOf('/e', member, 'POST')]).toEqual([200, 403])
  })

  test('requirePermission() goes by the route’s own URL with its prefix, also for HEAD and any spelling of the request', async () => {
    app = await createApp(path)
    await app.register(
      async (scope) => {
        scope.get('/reports/:id', { preHandler: requirePermission() }, async () => 'ok')
      },
      { prefix: '/api' },
    )
    for (const url of [
      '/api/reports/1',
      '/api/reports/..%2F..%2Fnotes',
      '/api/reports/a%2Fb',
      '/api/reports/REPORTS',
    ]) {
      expect([url, await statusOf(url, owner), await statusOf(url, member)]).toEqual([url, 200, 403])
    }
    expect([await statusOf('/api/reports/1', owner, 'HEAD'), await statusOf('/api/reports/1', member, 'HEAD')]).toEqual(
      [200, 403],
    )
    for (const url of ['/API/reports/1', '/api//reports/1', '/api/reports/1/', '/api/x/../reports/1']) {
      expect([url, await statusOf(url, member)]).not.toEqual([url, 200])
    }
  })

  test('On a route of several methods, requirePermission() checks each method by its own rule', async () => {
    app = await createApp(path)
    app.route({
      method: ['GET', 'POST'],
      url: '/api/reports/:id',
      preHandler: requirePermission(),
      handler: async () => 'ok',
    })
    // A rule names GET; nothing names POST.
    expect([await statusOf('/api/reports/1', owner), await statusOf('/api/reports/1', owner, 'POST')]).toEqual([
      200, 403,
    ])
    expect(await statusOf('/api/reports/1', owner, 'HEAD')).toBe(200)
  })

  test.each(['/files/*', '/:a-:b', '/:id(^\\d+$)', '/:id?'])(
    'requirePermission() on %s fails at registration, because no rule has that form',
    async (url) => {
      app = await createApp(path)
      expect(() => app.get(url, { preHandler: requirePermission() }, async () => 'ok')).toThrow(
        expect.objectContaining({ code: 'TENANCY_ACCESS_DEFINITION_INVALID' }),
      )
    },
  )

  test('With undefinedAccess: warn, a guard without a rule warns at registration and refuses everybody', async () => {
    const log = new PassThrough()
    app = await createApp(path, { undefinedAccess: 'warn' }, { logger: { level: 'warn', stream: log } })
    app.get('/x', { preHandler: requirePermission('nothing:here') }, async () => 'ok')
    expect(String(log.read())).toContain('permission nothing:here')
    expect(await statusOf('/x', owner)).toBe(403)
  })

  test('requireRole ignores a tenant’s own role of the same name', async () => {
    const log = new PassThrough()
    app = await createApp(path, { undefinedAccess: 'warn' }, { logger: { level: 'warn', stream: log } })
    app.get('/x', { preHandler: requireRole('Auditor') }, async () => 'ok')
    expect(String(log.read())).toContain('role Auditor')
    const { rows } = await path.catalog.pool.query<{ id: string; user_id: string }>(
      `select tenants.id, user_id from tenants join user_tenants on tenant_id = tenants.id where slug = 'acme'`,
    )
    await path.catalog.pool.query(`insert into roles (tenant_id, name) values ($1, 'Auditor')`, [rows[0]?.id])
    await path.catalog.pool.query(
      `insert into user_tenant_roles (user_id, tenant_id, role_id)
       select user_id, tenant_id, id from user_tenants join roles using (tenant_id) where name = 'Auditor'`,
    )
    await path.heard()
    expect(rows.length).toBeGreaterThan(0)
    expect([await statusOf('/x', owner), await statusOf('/x', member)]).toEqual([403, 403])
  })

  test('requireRole of a role that the access definition does not have fails when its route is registered', async () => {
    const rules = createAccessRules(createRuleSetReader(path.catalog.pool), devAccess)
    app = await createApp({ ...path, rules })
    app.get('/x', { preHandler: requireRole('Admin') }, async () => 'ok')
    expect(() => app.get('/y', { preHandler: requireRole('Auditor') }, async () => 'ok')).toThrow(
      expect.objectContaining({ code: 'TENANCY_ACCESS_DEFINITION_INVALID' }),
    )
  })

  test('Without the plugin, a guard refuses everybody', async () => {
    app = Fastify()
    app.get('/x', { preHandler: requireRole('Owner') }, async () => 'ok')
    const response = await get('/x', owner)
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([500, 'TENANCY_CONTEXT_MISSING'])
  })

  test('Routes that are registered before the plugin has loaded are guarded and have the context as well', async () => {
    app = Fastify()
    void app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
    app.get('/x', { preHandler: requireRole('Owner') }, async () => getCurrentTenant().slug)
    app.get('/reports', { preHandler: requirePermission() }, async () => 'ok')
    app.get('/files/*', { preHandler: requirePermission() }, async () => 'ok')
    for (const url of ['/x', '/reports']) {
      expect([await statusOf(url, owner), await statusOf(url, member), await statusOf(url, undefined)]).toEqual([
        200, 403, 401,
      ])
    }
    expect(await statusOf('/files/a', owner)).toBe(500)
  })

  test('A guard added to a whole scope guards each of its routes', async () => {
    app = await createApp(path)
    await app.register(async (scope) => {
      scope.addHook('preHandler', requirePermission())
      scope.get('/reports', async () => 'ok')
      scope.get('/notes', async () => 'ok')
    })
    expect([await statusOf('/reports', member), await statusOf('/notes', member)]).toEqual([403, 200])
    expect([await statusOf('/reports', owner), await statusOf('/notes', owner)]).toEqual([200, 200])
  })

  test('A guard on a route without a tenant refuses', async () => {
    app = await createApp(path)
    app.get('/none', { config: { tenancy: 'none' }, preHandler: requireRole('Owner') }, async () => 'ok')
    app.get('/user', { config: { tenancy: 'user' }, preHandler: requireRole('Owner') }, async () => 'ok')
    expect([await codeOf('/none', owner), await codeOf('/user', owner)]).toEqual([
      'TENANCY_AUTH_REQUIRED',
      'TENANCY_TENANT_NONE',
    ])
  })

  test('Ambiguous arguments of requirePermission are refused', () => {
    for (const call of [
      () => requirePermission('/reports', undefined as unknown as string),
      () => requirePermission('reports'),
      () => requirePermission('reports:read', 'GET'),
      () => requirePermission(''),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: 'TENANCY_ACCESS_DEFINITION_INVALID' }))
    }
  })
})

describe('errors', () => {
  test('Errors that a handler throws are answered with problem documents, ours and others', async () => {
    app = await createApp(path)
    app.get('/ours', async () =>
      Promise.reject(new TenancyError('TENANCY_CONNECTION_TIMEOUT', 'tenant acme on 10.0.0.7')),
    )
    app.get('/theirs', async () => Promise.reject(Object.assign(new Error('no tea'), { statusCode: 418 })))
    const ours = await get('/ours', owner)
    expect([ours.statusCode, ours.headers['retry-after'], ours.headers['content-type']]).toEqual([
      503,
      '1',
      'application/problem+json; charset=utf-8',
    ])
    expect(ours.body).not.toContain('10.0.0.7')
    const theirs = await get('/theirs', owner)
    expect([theirs.headers['content-type'], theirs.json()]).toEqual([
      'application/problem+json; charset=utf-8',
      { type: 'about:blank', status: 418, title: "I'm a Teapot", detail: 'no tea', requestId: 'req-2' },
    ])
  })

  test.each(['before', 'after'])(
    'An error handler that the application sets %s the plugin gets what handlers throw and what the plugin refuses',
    async (when) => {
      app = Fastify()
      const set = () =>
        app.setErrorHandler((error, _request, reply) => reply.code(499).send({ mine: (error as Error).message }))
      if (when === 'before') set()
      await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
      if (when === 'after') set()
      app.get('/ours', async () => Promise.reject(new TenancyError('TENANCY_CONNECTION_TIMEOUT', 'busy')))
      app.get('/route', { errorHandler: (_error, _request, reply) => void reply.code(498).send() }, async () =>
        Promise.reject(new Error('x')),
      )
      expect([(await get('/ours', owner)).json(), await statusOf('/route', owner)]).toEqual([{ mine: 'busy' }, 498])
      expect((await get('/ours', undefined)).json()).toEqual({ mine: 'Authentication required' })
    },
  )

  test('A catalog that cannot be reached is answered 503 with Retry-After', async () => {
    app = await createApp(path)
    app.get('/x', async () => 'ok')
    path.cache.invalidate()
    path.before = () => Promise.reject(new Error('connect ECONNREFUSED'))
    const response = await get('/x', owner)
    path.before = () => {}
    expect([response.statusCode, response.headers['retry-after']]).toEqual([503, '1'])
    expect(await statusOf('/x', owner)).toBe(200)
  })
})

describe('accounts and keys', () => {
  test('Accounts get the request unchanged, need no credentials, and their response is sent unchanged', async () => {
    app = await createApp(path, {
      accounts: {
        async handle(request, { remoteAddress }) {
          const body = await request.text()
          const headers = new Headers({ 'content-type': 'text/x-echo' })
          headers.append('set-cookie', 'a=1')
          headers.append('set-cookie', 'b=2')
          const said = [
            request.method,
            new URL(request.url).pathname,
            request.headers.get('content-type'),
            remoteAddress,
            body,
          ]
          return new Response(said.join('|'), { status: 201, headers })
        },
      },
    })
    for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/plain']) {
      const response = await app.inject({
        method: 'POST',
        url: '/auth/token?x=1',
        headers: { 'content-type': type },
        payload: '{not json',
      })
      expect([response.statusCode, response.body, response.headers['set-cookie']]).toEqual([
        201,
        `POST|/auth/token|${type}|127.0.0.1|{not json`,
        ['a=1', 'b=2'],
      ])
    }
    expect((await app.inject({ url: '/auth/me' })).body).toBe('GET|/auth/me||127.0.0.1|')
  })

  test('Mounting accounts leaves the application’s body parsers and route guards in place', async () => {
    app = await createApp(path, { accounts: { handle: async () => new Response(null, { status: 204 }) } })
    app.post('/json', async (request) => request.body)
    const response = await app.inject({ method: 'POST', url: '/json', headers: bearer(owner), payload: { a: 1 } })
    expect(response.json()).toEqual({ a: 1 })
    expect((await app.inject({ method: 'POST', url: '/json', payload: { a: 1 } })).statusCode).toBe(401)
    expect((await app.inject({ method: 'DELETE', url: '/auth/x' })).statusCode).toBe(204)
  })

  test('The public keys are served to anybody', async () => {
    app = await createApp(path)
    expect((await app.inject({ url: '/.well-known/jwks.json' })).json()).toEqual({ keys: [] })
  })
})
