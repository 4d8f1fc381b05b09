import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { HTTPException } from 'hono/http-exception'
import { requestId } from 'hono/request-id'
import { stream, streamSSE, streamText } from 'hono/streaming'
import { validator } from 'hono/validator'
import { afterAll, beforeAll, beforeEach, describe, expect, expectTypeOf, test } from 'vitest'
import {
  assertGuarded,
  needs,
  requirePermission,
  requireRole,
  requireSchema,
  tenancyErrorHandler,
  tenancyMiddleware,
  type TenancyEnv,
  type TenancyMiddlewareOptions,
} from '../../src/adapters/hono/index.js'
import { getCurrentTenant, tryGetCurrentTenant } from '../../src/core/context/current.js'
import { tryGetScope } from '../../src/core/context/request-scope.js'
import type { Tenant, User } from '../../src/core/model.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, tenancyOver } from './fastify-app.js'

let path: RequestPath
let app: Hono<TenancyEnv>
let owner: string
let member: string
let lines: string[] = []
const log = (fields: object, message: string) => void lines.push(JSON.stringify({ ...fields, message }))
const logger = { debug: log, info: log, warn: log, error: log }

beforeAll(async () => {
  path = await createRequestPath()
  const acme = await path.addTenant('acme')
  const [ownerId, memberId] = [await path.addUser('owner@example.com'), await path.addUser()]
  await path.addMember(ownerId, acme, 'Owner')
  await path.addMember(memberId, acme)
  owner = path.tokenFor(ownerId)
  member = path.tokenFor(memberId)
})
afterAll(() => path.close())
beforeEach(() => {
  lines = []
  app = createApp()
})

const middleware = (options: Partial<TenancyMiddlewareOptions> = {}) =>
  tenancyMiddleware({ tenancy: tenancyOver(path), logger, ...options })

function createApp(options: Partial<TenancyMiddlewareOptions> = {}): Hono<TenancyEnv> {
  const made = new Hono<TenancyEnv>()
  made.use(middleware(options))
  made.onError(tenancyErrorHandler)
  return made
}

async function ask(url: string, token?: string, init: RequestInit = {}, of: Hono<TenancyEnv> = app) {
  const response = await of.request(url, { headers: token === undefined ? {} : bearer(token), ...init })
  const text = await response.text()
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json') === true
  const code = isProblem ? (JSON.parse(text) as { code?: string }).code : undefined
  return { status: response.status, text, code, headers: response.headers }
}
const statuses = async (url: string) => [
  (await ask(url, owner)).status,
  (await ask(url, member)).status,
  (await ask(url)).status,
]

test('The variables have types: a guard and needs() say that there is a tenant or a user', async () => {
  app.get('/a', (c) => {
    expectTypeOf(c.get('user')).toEqualTypeOf<User | undefined>()
    expectTypeOf(c.var.tenant).toEqualTypeOf<Tenant | undefined>()
    return c.text(`${c.get('user')?.email} ${c.var.tenant?.slug}`)
  })
  app.get('/b', requirePermission('reports:read'), (c) => c.text(c.get('tenant').slug))
  app.get('/c', needs('user'), (c) => c.text(c.get('user').email))
  expect([(await ask('/a', owner)).text, (await ask('/b', owner)).text, (await ask('/c', owner)).text]).toEqual([
    'owner@example.com acme',
    'acme',
    'owner@example.com',
  ])
})

describe('what a route needs', () => {
  test('needs() on a route is for that route, and for no other that the same address matches', async () => {
    app.get('/open', needs('none'), (c) => c.text('open'))
    app.get('/:id', (c) => c.text('by id'))
    expect([(await ask('/open')).text, (await ask('/other')).status]).toEqual(['open', 401])
  })

  test('A route that is registered before a public one at the same address answers, and is closed', async () => {
    app.get('/:id', (c) => c.text('by id'))
    app.get('/open', needs('none'), (c) => c.text('open'))
    expect([(await ask('/open')).status, (await ask('/open', owner)).text]).toEqual([401, 'by id'])
  })

  test('A public route that may pass a request on is as closed as the route behind it', async () => {
    app.get('/open', needs('none'), async (_c, next) => next())
    app.get('/:id', (c) => c.text('by id'))
    expect([(await ask('/open')).status, (await ask('/open', owner)).text]).toEqual([401, 'by id'])
  })

  test('A handler before needs() in its route is not opened by it', async () => {
    app.get('/x', async (c, next) => (c.req.query('answer') === undefined ? next() : c.text('early')))
    app.get('/x', needs('none'), (c) => c.text('open'))
    expect((await ask('/x?answer')).status).toBe(401)
  })

  test('By app.use(), needs() is for the routes behind it, at its paths', async () => {
    app.get('/public/before', (c) => c.text('closed'))
    app.use('/public/*', needs('none'))
    app.get('/public/x', (c) => c.text('open'))
    app.get('/x', (c) => c.text('closed'))
    expect([(await ask('/public/before')).status, (await ask('/public/x')).text, (await ask('/x')).status]).toEqual([
      401,
      'open',
      401,
    ])
  })

  test('Of several around a route the strictest counts, in any order, and what the route says goes before', async () => {
    app.use('/public/*', needs('none'))
    app.use('/public/me/*', needs('user'))
    app.use('/public/*', needs('none'))
    app.get('/public/me/x', (c) => c.text('user'))
    app.get('/public/me/open', needs('none'), (c) => c.text('open'))
    app.get('/public/closed', needs('tenant'), (c) => c.text('closed'))
    expect([
      (await ask('/public/me/x')).status,
      (await ask('/public/me/open')).text,
      (await ask('/public/closed')).status,
    ]).toEqual([401, 'open', 401])
  })

  test('In a part of an application, needs() is for that part', async () => {
    const open = new Hono<TenancyEnv>()
    open.use(needs('none'))
    open.get('/x', (c) => c.text('open'))
    const closed = new Hono<TenancyEnv>()
    closed.get('/x', (c) => c.text('closed'))
    app.route('/open', open)
    app.route('/closed', closed)
    expect([(await ask('/open/x')).text, (await ask('/closed/x')).status]).toEqual(['open', 401])
  })

  test('A part of an application with an error handler of its own keeps its needs, guards and context', async () => {
    const part = new Hono<TenancyEnv>()
    part.onError((error, c) => c.text(`${error.message} ${tryGetCurrentTenant()?.slug}`, 418))
    part.get('/open', needs('none'), (c) => c.text('open'))
    part.get('/guarded', requireRole('Owner'), (c) => c.text('ok'))
    part.get('/fails', () => {
      throw new Error('mine')
    })
    app.route('/part', part)
    expect([(await ask('/part/open')).text, (await ask('/part/guarded', owner)).text]).toEqual(['open', 'ok'])
    expect([(await ask('/part/guarded', member)).status, (await ask('/part/fails', owner)).text]).toEqual([
      ...[418, 'mine acme'],
    ])
  })

  test('Middleware behind the tenancy’s that may answer needs a tenant, and where nothing may answer it is 404', async () => {
    app.use('/files/*', async (c, next) => (c.req.path === '/files/a' ? c.text('a file') : next()))
    expect([(await ask('/files/a')).status, (await ask('/files/a', owner)).text]).toEqual([401, 'a file'])
    expect([(await ask('/nothing')).status, (await ask('/nothing', 'rubbish')).status]).toEqual([404, 404])
  })

  test('Middleware before the tenancy’s does not make an unknown path a known one', async () => {
    const each = new Hono<TenancyEnv>()
    each.use(cors())
    each.use(middleware())
    each.onError(tenancyErrorHandler)
    expect((await ask('/nothing', undefined, {}, each)).status).toBe(404)
  })

  test('needs() of something else is refused', () => {
    expect(() => needs('nobody' as 'none')).toThrow(expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID' }))
  })

  test('The middleware twice in a chain is the middleware once', async () => {
    const tenancy = tenancyOver(path)
    app = createApp({ tenancy })
    const part = new Hono<TenancyEnv>()
    part.use(middleware({ tenancy }))
    part.get('/x', (c) => c.text(`${tryGetScope()?.requestId === undefined} ${c.var.tenant?.slug}`))
    app.route('/part', part)
    expect((await ask('/part/x', owner)).text).toBe('false acme')
  })

  test('A preflight reaches nothing behind the middleware: CORS middleware belongs before it', async () => {
    const init = {
      method: 'OPTIONS',
      headers: { origin: 'https://app.example.com', 'access-control-request-method': 'GET' },
    }
    const early = new Hono<TenancyEnv>()
    early.use(cors({ origin: 'https://app.example.com' }))
    early.use(middleware())
    early.onError(tenancyErrorHandler)
    early.all('/all', (c) => c.text('secret'))
    const answer = await ask('/all', undefined, init, early)
    expect([answer.status, answer.headers.get('access-control-allow-origin'), answer.text]).toEqual([
      ...[204, 'https://app.example.com', ''],
    ])
    // Such as static files, whose middleware answers any method.
    app.use('/files/*', async (c, _next) => c.text('secret'))
    app.all('/all', (c) => c.text('secret'))
    for (const url of ['/files/a', '/all']) expect((await ask(url, undefined, init)).status).toBe(401)
  })

  test('A request is bound to one tenancy: the middleware of another one refuses it', async () => {
    const part = new Hono<TenancyEnv>()
    part.use(middleware({ tenancy: { ...tenancyOver(path) } }))
    part.get('/x', (c) => c.text('ok'))
    app.route('/part', part)
    expect((await ask('/part/x', owner)).code).toBe('TENANCY_CONFIG_INVALID')
  })
})

describe('guards', () => {
  test('Of two routes that match an address, the guard of the one that answers decides, by its own rule', async () => {
    await path.catalog.pool.query(
      `insert into route_rules (method, path, permission_id)
       select 'GET', '/files/{id}', id from permissions where name = 'reports:read'`,
    )
    await path.rules.refresh()
    app.get('/files/:id', requirePermission(), (c) => c.text(`one ${c.req.param('id')}`))
    app.get('/files/all', requireRole('Member'), (c) => c.text('all'))
    expect(await statuses('/files/all')).toEqual([200, 403, 401])
    expect((await ask('/files/all', owner)).text).toBe('one all')
  })

  test('requirePermission() knows its route below app.route() and basePath(), nested', async () => {
    const part = new Hono<TenancyEnv>().basePath('/api')
    part.get('/files/:id', requirePermission(), (c) => c.text('ok'))
    app.basePath('/v1').route('/more', part)
    await path.catalog.pool.query(
      `insert into route_rules (method, path, permission_id)
       select 'GET', '/v1/more/api/files/{id}', id from permissions where name = 'reports:read'`,
    )
    await path.rules.refresh()
    expect(await statuses('/v1/more/api/files/1')).toEqual([200, 403, 401])
  })

  test('requirePermission() by app.use() goes by the route behind it', async () => {
    app.use(requirePermission())
    app.get('/reports', (c) => c.text('ok'))
    app.get('/notes', (c) => c.text('ok'))
    expect([await statuses('/reports'), await statuses('/notes')]).toEqual([
      [200, 403, 401],
      [200, 200, 401],
    ])
    expect((await ask('/nothing', owner)).status).toBe(404)
  })

  test('requirePermission() by app.use() refuses where several routes may answer', async () => {
    app.use(requirePermission())
    app.get('/reports', async (_c, next) => next())
    app.get('/:name', (c) => c.text('ok'))
    const answer = await ask('/reports', owner)
    expect([answer.status, answer.code]).toEqual([500, 'TENANCY_ACCESS_DEFINITION_INVALID'])
    expect(lines.join()).toContain('GET /reports, GET /:name')
  })

  test('A validator between guard and handler does not hide the route', async () => {
    app.get(
      '/reports',
      requirePermission(),
      validator('query', (value) => value),
      (c) => c.text('ok'),
    )
    expect(await statuses('/reports')).toEqual([200, 403, 401])
  })

  test('app.all() is guarded by the rule of each method', async () => {
    app.all('/reports', requirePermission(), (c) => c.text('ok'))
    expect(await statuses('/reports')).toEqual([200, 403, 401])
    const put = await ask('/reports', owner, { method: 'PUT', headers: bearer(owner) })
    expect([put.status, put.code]).toEqual([403, 'TENANCY_ACCESS_DENIED'])
  })

  test.each(['/files/*', '/x/:id{[0-9]+}', '/x/:id?'])(
    'requirePermission() on %s, whose rule nobody can name, answers 500 to everybody',
    async (url) => {
      app.get(url, requirePermission(), (c) => c.text('ok'))
      expect((await ask(url.replace(/:.*|\*/, '1'), owner)).code).toBe('TENANCY_ACCESS_DEFINITION_INVALID')
    },
  )

  test('A guard that names something undefined refuses everybody and is logged once', async () => {
    app.get('/x', requirePermission('nothing:here'), (c) => c.text('ok'))
    expect([await statuses('/x'), await statuses('/x')]).toEqual([
      [403, 403, 401],
      [403, 403, 401],
    ])
    expect(lines.filter((line) => line.includes('permission nothing:here'))).toHaveLength(1)
  })

  test('Without the middleware, or before it, a guard refuses everybody', async () => {
    app = new Hono<TenancyEnv>()
    app.get('/x', requireRole('Owner'), (c) => c.text('ok'))
    app.use(middleware())
    expect((await ask('/x', owner)).code).toBe('TENANCY_CONTEXT_MISSING')
  })

  test('Ambiguous arguments of guards are refused', () => {
    for (const call of [
      () => requirePermission('/reports', undefined as unknown as string),
      () => requirePermission('reports'),
      () => requirePermission('reports:read', 'GET'),
      () => requirePermission(''),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: 'TENANCY_ACCESS_DEFINITION_INVALID' }))
    }
    expect(() => requireSchema('')).toThrow(expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID' }))
  })
})

describe('assertGuarded', () => {
  const failure = (of: Hono<TenancyEnv>, strict = false): string => {
    try {
      assertGuarded(of, { strict })
      return 'ok'
    } catch (error) {
      return `${(error as { code: string }).code} ${(error as Error).message}`
    }
  }

  test('It names the routes that the middleware does not run before', () => {
    const late = new Hono<TenancyEnv>()
    late.get('/before', (c) => c.text('open'))
    late.use('/api/*', middleware())
    late.get('/api/x', (c) => c.text('closed'))
    late.get('/api', (c) => c.text('closed'))
    late.post('/elsewhere', (c) => c.text('open'))
    expect(failure(late)).toBe(
      'TENANCY_CONFIG_INVALID assertGuarded: tenancyMiddleware does not run before GET /before, POST /elsewhere: register it first',
    )
  })

  test('A route whose addresses the path of the middleware may miss is named', () => {
    const each = new Hono<TenancyEnv>()
    each.use('/:a/:b', middleware())
    each.get('/x/:id', (c) => c.text('covered'))
    each.get('/files/:path{.+}', (c) => c.text('open'))
    each.get('/y/:id?', (c) => c.text('open'))
    expect(failure(each)).toMatch(/does not run before GET \/files\/:path\{\.\+\}, GET \/y\/:id\?: /)
  })

  test('Strict, it names the routes without a guard that do not say what they need', () => {
    const part = new Hono<TenancyEnv>()
    part.get('/x', (c) => c.text('ok'))
    app.get('/guarded', requireRole('Owner'), (c) => c.text('ok'))
    app.get('/open', needs('none'), (c) => c.text('ok'))
    app.get('/said', needs('tenant'), (c) => c.text('ok'))
    app.use('/admin/*', requireRole('Owner'))
    app.get('/admin/x', (c) => c.text('ok'))
    app.post('/admin', (c) => c.text('ok'))
    expect(failure(app, true)).toBe('ok')
    app.route('/part', part)
    app.delete('/plain', (c) => c.text('ok'))
    expect(failure(app)).toBe('ok')
    expect(failure(app, true)).toMatch(/^TENANCY_CONFIG_INVALID .*GET \/part\/x, DELETE \/plain have no guard/)
  })

  test('It fails for an undefined permission, and only warns with undefinedAccess: warn', () => {
    for (const undefinedAccess of ['refuse', 'warn'] as const) {
      const each = createApp({ undefinedAccess })
      each.get('/x', requirePermission('nothing:here'), (c) => c.text('ok'))
      expect(failure(each)).toMatch(undefinedAccess === 'warn' ? /^ok$/ : /^TENANCY_ACCESS_DEFINITION_INVALID /)
    }
    expect(lines.join()).toContain('permission nothing:here')
  })

  test('An application without the middleware fails', () => {
    expect(failure(new Hono<TenancyEnv>())).toContain('has no tenancyMiddleware')
  })
})

describe('errors', () => {
  test('Without app.onError, refusals are problem documents all the same', async () => {
    const bare = new Hono<TenancyEnv>()
    bare.use(middleware())
    bare.get('/x', requireRole('Owner'), (c) => c.text('ok'))
    const stranger = await ask('/x', undefined, {}, bare)
    expect([stranger.status, stranger.code, stranger.headers.get('www-authenticate')]).toEqual([
      ...[401, 'TENANCY_AUTH_REQUIRED', 'Bearer'],
    ])
    expect((await ask('/x', member, {}, bare)).code).toBe('TENANCY_ACCESS_DENIED')
  })

  test('An HTTPException is answered with its status and message, or with the response that it has', async () => {
    app.get('/plain', () => {
      throw new HTTPException(409, { message: 'out of stock' })
    })
    app.get('/own', () => {
      throw new HTTPException(409, { res: new Response('mine', { status: 409 }) })
    })
    const plain = await ask('/plain', owner)
    expect([plain.status, JSON.parse(plain.text)]).toEqual([
      ...[409, expect.objectContaining({ title: 'Conflict', detail: 'out of stock' })],
    ])
    expect((await ask('/own', owner)).text).toBe('mine')
  })

  test('Headers for the answer that failed do not describe the problem document; others stay', async () => {
    app.use(async (c, next) => {
      c.res.headers.set('x-mine', 'yes')
      await next()
    })
    app.get('/x', (c) => {
      c.header('cache-control', 'public, max-age=600')
      c.res.headers.set('cache-control', 'public, max-age=600')
      c.header('content-length', '3')
      c.header('etag', '"a"')
      c.header('content-type', 'text/html')
      throw new Error('late')
    })
    const { status, headers } = await ask('/x', owner)
    expect([status, headers.get('content-type'), headers.get('cache-control'), headers.get('x-mine')]).toEqual([
      ...[500, 'application/problem+json; charset=utf-8', 'no-store', 'yes'],
    ])
    expect([headers.get('content-length'), headers.get('etag')]).toEqual([null, null])
  })

  test('The id of hono/request-id is the request’s, bounded and in safe characters', async () => {
    const each = new Hono<TenancyEnv>()
    each.use(requestId({ generator: () => '<script>"' }))
    each.use(middleware())
    each.onError(tenancyErrorHandler)
    each.get('/x', (c) => c.text('ok'))
    expect(JSON.parse((await ask('/x', undefined, {}, each)).text)).toMatchObject({ requestId: '_script__' })
  })

  test('Middleware behind the tenancy’s sees the error and the context', async () => {
    const seen: unknown[] = []
    app.use(async (c, next) => {
      await next()
      seen.push(c.error?.message, tryGetCurrentTenant()?.slug, c.res.status)
    })
    app.get('/x', () => {
      throw new Error('seen')
    })
    await ask('/x', owner)
    expect(seen).toEqual(['seen', 'acme', 500])
  })
})

describe('the context', () => {
  test.each([
    ['stream()', (c: never) => stream(c, async (out) => void (await out.write(getCurrentTenant().slug)))],
    ['streamText()', (c: never) => streamText(c, async (out) => void (await out.write(getCurrentTenant().slug)))],
    ['streamSSE()', (c: never) => streamSSE(c, (out) => out.writeSSE({ data: getCurrentTenant().slug }))],
  ])('It is kept in %s, after waiting', async (_name, answer) => {
    app.get('/x', async (c) => {
      await new Promise((resolve) => setTimeout(resolve, 2))
      return answer(c as never)
    })
    expect((await ask('/x', owner)).text).toContain('acme')
  })

  test('The option remoteAddress says where a request comes from; without a server nobody knows', async () => {
    for (const [remoteAddress, address] of [
      [() => '192.0.2.7', '192.0.2.7'],
      [undefined, undefined],
    ] as const) {
      const each = createApp({ remoteAddress })
      each.get('/x', (c) => c.json({ address: tryGetScope()?.origin?.address }))
      expect(JSON.parse((await ask('/x', owner, {}, each)).text)).toEqual(address === undefined ? {} : { address })
    }
  })

  test('A request whose client has gone is aborted', async () => {
    const controller = new AbortController()
    const seen: unknown[] = []
    app.get('/x', async (c) => {
      const scope = tryGetScope()!
      seen.push(scope.isAborted)
      const aborted = new Promise<void>((resolve) => scope.onAborted(resolve))
      controller.abort()
      await aborted
      seen.push(scope.isAborted)
      return c.text('nobody reads this')
    })
    await app.request(new Request('http://localhost/x', { headers: bearer(owner), signal: controller.signal }))
    expect(seen).toEqual([false, true])
  })
})

describe('the management API', () => {
  const api = {
    routes: [{ path: '/tenants/{tenant}/members' }],
    prefixes: ['/tenants'],
    handle: async (request: Request, { target }: { readonly target?: string | undefined }) =>
      new Response(`${request.method} ${target}`),
  }

  test('Below the path of the middleware, it is given the target without it', async () => {
    const each = new Hono<TenancyEnv>()
    each.use('/api/*', middleware({ api }))
    each.onError(tenancyErrorHandler)
    each.get('/api/tenants/:tenant/notes', (c) => c.text('notes'))
    const texts = []
    for (const url of ['/api/tenants/acme/members?x=1', '/api/tenants/acme/nothing', '/tenants/acme/members']) {
      texts.push((await ask(url, owner, {}, each)).text)
    }
    expect(texts).toEqual(['GET /tenants/acme/members?x=1', 'GET /tenants/acme/nothing', '404 Not Found'])
    expect((await ask('/api/tenants/acme/notes', owner, {}, each)).text).toBe('notes')
  })

  test('Below a path with a pattern it is refused', async () => {
    const each = new Hono<TenancyEnv>()
    each.use('/:version/*', middleware({ api }))
    each.onError(tenancyErrorHandler)
    expect((await ask('/v1/tenants/acme/members', owner, {}, each)).code).toBe('TENANCY_CONFIG_INVALID')
  })
})

test('Options that are none are refused', () => {
  for (const options of [{ tenantParameter: 'tenant-id' }, { undefinedAccess: 'no' as 'warn' }]) {
    expect(() => middleware(options)).toThrow(expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID' }))
  }
})
