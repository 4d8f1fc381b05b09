import { PassThrough } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { requirePermission, requireRole, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, createApp, tenancyOver } from './fastify-app.js'

let path: RequestPath
let app: FastifyInstance
let owner: string
let member: string

beforeAll(async () => {
  path = await createRequestPath()
  const acme = await path.addTenant('acme')
  const [ownerId, memberId] = [await path.addUser(), await path.addUser()]
  await path.addMember(ownerId, acme, 'Owner')
  await path.addMember(memberId, acme)
  owner = path.tokenFor(ownerId)
  member = path.tokenFor(memberId)
})
afterAll(() => path.close())
afterEach(() => app.close())

async function answers(url: string, method: 'GET' | 'POST' | 'HEAD' = 'GET') {
  const statuses: number[] = []
  for (const headers of [bearer(owner), bearer(member), {}]) {
    statuses.push((await app.inject({ method, url, headers })).statusCode)
  }
  return statuses
}

describe.each(['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const)('guards at %s', (hook) => {
  test.each([
    ['requireRole', () => requireRole('Owner')],
    ['requirePermission, by name', () => requirePermission('reports:read')],
    ['requirePermission, by rule', () => requirePermission('/reports', 'GET')],
  ])('%s on a route lets the owner pass and refuses others, with and without a body', async (_name, guard) => {
    app = await createApp(path)
    app.route({ method: ['GET', 'POST'], url: '/x', [hook]: guard(), handler: async (request) => request.tenant.slug })
    expect(await answers('/x')).toEqual([200, 403, 401])
    const posts = await Promise.all(
      [owner, member].map((token) =>
        app.inject({ method: 'POST', url: '/x', headers: bearer(token), payload: { a: 'x'.repeat(1000) } }),
      ),
    )
    expect(posts.map(({ statusCode, body }) => [statusCode, statusCode === 200 && body])).toEqual([
      [200, 'acme'],
      [403, false],
    ])
  })

  test('A guard on the whole application guards its routes and answers 404 where there is no route', async () => {
    app = await createApp(path)
    addGuard(app, requireRole('Owner'))
    app.get('/x', async () => 'ok')
    expect(await answers('/x')).toEqual([200, 403, 401])
    for (const method of ['GET', 'POST', 'HEAD'] as const)
      expect(await answers('/nothing', method)).toEqual([404, 404, 404])
  })

  test('requirePermission() on the whole application answers 404 where there is no route', async () => {
    app = await createApp(path)
    addGuard(app, requirePermission())
    app.get('/reports', async () => 'ok')
    expect([await answers('/reports'), await answers('/nothing')]).toEqual([
      [200, 403, 401],
      [404, 404, 404],
    ])
  })

  test('A guard on the whole application runs before the application’s 404 handler, which may serve pages', async () => {
    app = await createApp(path)
    addGuard(app, requireRole('Owner'))
    app.setNotFoundHandler((_request, reply) => void reply.send('<html>'))
    expect(await answers('/any/page')).toEqual([404, 404, 404])
  })

  test('A guard that names something undefined fails when its route is registered', async () => {
    app = await createApp(path)
    for (const guard of [
      requirePermission('reports:raed'),
      requirePermission('/reprots', 'GET'),
      requirePermission(),
      requireRole('Onwer'),
    ]) {
      expect(() => app.get('/x', { [hook]: guard }, async () => 'ok')).toThrow(
        expect.objectContaining({
          code: 'TENANCY_ACCESS_DEFINITION_INVALID',
          message: expect.stringMatching(/^Route GET \/x: .*undefinedAccess/),
        }),
      )
    }
  })

  test('An undefined guard of a whole scope, or of a route before the plugin, fails before the application is ready', async () => {
    for (const guard of [
      requirePermission('reports:raed'),
      requirePermission('/reprots', 'GET'),
      requireRole('Chief of <everything>'),
    ]) {
      app = await createApp(path)
      await app.register(async (scope) => {
        addGuard(scope, guard)
        scope.get('/x', async () => 'ok')
      })
      await expect(app.ready()).rejects.toMatchObject({ code: 'TENANCY_ACCESS_DEFINITION_INVALID' })
      app = Fastify()
      void app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
      app.get('/x', { [hook]: guard }, async () => 'ok')
      await expect(app.ready()).rejects.toMatchObject({ code: 'TENANCY_ACCESS_DEFINITION_INVALID' })
    }
  })

  function addGuard(scope: FastifyInstance, guard: ReturnType<typeof requireRole>): void {
    // The overloads of addHook take one name each.
    if (hook === 'preParsing') scope.addHook(hook, guard)
    else scope.addHook(hook as 'onRequest', guard)
  }
})

test('requirePermission() on a whole scope logs once for each route that has no rule', async () => {
  const log = new PassThrough()
  app = await createApp(path, {}, { logger: { level: 'error', stream: log } })
  app.addHook('preHandler', requirePermission())
  app.get('/unruled', async () => 'ok')
  expect([await answers('/unruled'), await answers('/unruled')]).toEqual([
    [403, 403, 401],
    [403, 403, 401],
  ])
  expect(String(log.read()).match(/GET \/unruled/g)).toHaveLength(1)
})

test('With undefinedAccess: warn, a guard refuses until its permission is defined at run time', async () => {
  app = await createApp(path, { undefinedAccess: 'warn' })
  app.get('/x', { preHandler: requirePermission('later:read') }, async () => 'ok')
  expect(await answers('/x')).toEqual([403, 403, 401])
  await path.catalog.pool.query(`insert into permissions (name) values ('later:read')`)
  await path.catalog.pool.query(
    `insert into role_permissions (role_id, permission_id)
     select roles.id, permissions.id from roles, permissions where roles.name = 'Owner' and permissions.name = 'later:read'`,
  )
  await path.rules.refresh()
  await path.heard()
  expect(await answers('/x')).toEqual([200, 403, 401])
  await expect(createApp(path, { undefinedAccess: 'no' as 'warn' })).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_INVALID',
  })
})

test('A guard for a permission that is switched off registers, and refuses', async () => {
  await path.catalog.pool.query(`insert into permissions (name, is_active) values ('off:read', false)`)
  await path.rules.refresh()
  app = await createApp(path)
  app.get('/x', { preHandler: requirePermission('off:read') }, async () => 'ok')
  expect(await answers('/x')).toEqual([403, 403, 401])
})

test('On a route of several methods, requirePermission() refuses the methods without a rule', async () => {
  app = await createApp(path)
  app.route({ method: ['GET', 'PUT'], url: '/reports', preHandler: requirePermission(), handler: async () => 'ok' })
  expect(await answers('/reports')).toEqual([200, 403, 401])
  expect((await app.inject({ method: 'PUT', url: '/reports', headers: bearer(owner) })).statusCode).toBe(403)
})

const misplaced = {
  code: 'TENANCY_ACCESS_DEFINITION_INVALID',
  message: expect.stringMatching(/guard at \w+, .*preHandler$/) as string,
}

describe.each(['preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort'] as const)(
  'guards at %s, which runs too late',
  (hook) => {
    const guard = requireRole('Owner') as never

    test('A guard at a hook that runs too late fails when its route is registered, alone or among other hooks', async () => {
      for (const undefinedAccess of ['refuse', 'warn'] as const) {
        app = await createApp(path, { undefinedAccess })
        for (const hooks of [guard, [async () => {}, guard]]) {
          expect(() => app.get('/x', { [hook]: hooks }, async () => 'ok')).toThrow(expect.objectContaining(misplaced))
        }
      }
    })

    test('A guard at a hook that runs too late, on a scope or on a route before the plugin, fails before the application is ready', async () => {
      app = await createApp(path, { undefinedAccess: 'warn' })
      await app.register(async (scope) => {
        scope.addHook(hook as 'onSend', guard)
        scope.get('/x', async () => 'ok')
      })
      await expect(app.ready()).rejects.toMatchObject(misplaced)
      app = Fastify()
      void app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
      app.get('/x', { [hook]: guard }, async () => 'ok')
      await expect(app.ready()).rejects.toMatchObject(misplaced)
    })
  },
)

test.each(['handler', 'errorHandler'])(
  'A guard used as the %s of a route fails when the route is registered',
  async (name) => {
    app = await createApp(path)
    expect(() =>
      app.route({ method: 'GET', url: '/x', handler: async () => 'ok', [name]: requirePermission('reports:read') }),
    ).toThrow(expect.objectContaining(misplaced))
  },
)
