import { PassThrough, Readable } from 'node:stream'
import { DrizzleQueryError } from 'drizzle-orm'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { requireRole, tenancyErrorHandler, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { TenancyError } from '../../src/core/errors/errors.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, createApp, tenancyOver } from './fastify-app.js'

let path: RequestPath
let app: FastifyInstance
let token: string

beforeAll(async () => {
  path = await createRequestPath()
  const user = await path.addUser()
  await path.addMember(user, await path.addTenant('acme'))
  token = path.tokenFor(user)
})
afterAll(() => path.close())
afterEach(() => app.close())

const sql = 'insert into vault values ($1)'
const failures: Record<string, () => unknown> = {
  'a query of an ORM': () => new DrizzleQueryError(sql, ['parameter'], new Error('duplicate key (vault)')),
  'an error with a status of 500': () => Object.assign(new Error(sql), { statusCode: 502, code: '23505', detail: sql }),
  'something that is no error': () => sql,
  'an error of a stream': () => new Error(sql),
}
const refuses = () => {
  throw new Error(sql)
}
const unwritable: Record<string, () => unknown> = {
  'an aggregate that holds itself'() {
    const error = new AggregateError([], sql)
    error.errors.push(error)
    return error
  },
  'two aggregates that hold each other'() {
    const first = new AggregateError([], sql)
    first.errors.push(new AggregateError([first], sql))
    return first
  },
  'fifty thousand causes'() {
    let error = new Error(sql)
    for (let level = 0; level < 50_000; level += 1) error = new Error(sql, { cause: error })
    return error
  },
  'fifty thousand aggregates'() {
    let error = new Error(sql)
    for (let level = 0; level < 50_000; level += 1) error = new AggregateError([error], sql)
    return error
  },
  'aggregates that hold the next one twice'() {
    let error = new Error(sql)
    for (let level = 0; level < 64; level += 1) error = new AggregateError([error, error], sql)
    return error
  },
  'a message that throws': () => Object.defineProperty(new Error(sql), 'message', { get: refuses }),
  'a stack that throws': () => Object.defineProperty(new Error(sql), 'stack', { get: refuses }),
  'a frozen error': () => Object.freeze(new Error(sql)),
  'a proxy that refuses everything': () =>
    new Proxy(new Error(sql), { get: refuses, has: refuses, ownKeys: refuses, getPrototypeOf: refuses, set: refuses }),
}
const problemJson = 'application/problem+json; charset=utf-8'
const get = (url: string, headers: object = bearer(token)) => app.inject({ url, headers: { ...headers } })

describe('the plugin’s error handler', () => {
  test.each(Object.entries(failures))(
    'An unknown error, %s, is answered 5xx with a title and the request’s id, and is logged once',
    async (_name, make) => {
      const log = new PassThrough()
      app = await createApp(path, {}, { logger: { level: 'info', stream: log } })
      app.get('/x', () => Promise.reject(make()))
      const response = await get('/x')
      expect(response.headers['content-type']).toBe(problemJson)
      const status = response.statusCode
      expect(status).toBeGreaterThanOrEqual(500)
      expect(response.json()).toEqual({
        type: 'about:blank',
        title: status === 500 ? 'Internal Server Error' : 'Bad Gateway',
        status,
        requestId: 'req-1',
      })
      const lines = String(log.read())
        .split('\n')
        .filter((line) => line.includes('vault'))
      expect(lines).toHaveLength(1)
      expect(JSON.parse(lines[0]!)).toMatchObject({ level: 50, requestId: 'req-1' })
    },
  )

  test('A stream that fails before its first byte is answered 500 without the error’s text', async () => {
    app = await createApp(path)
    app.get('/x', (_request, reply) =>
      reply.send(
        new Readable({
          read() {
            this.destroy(new Error(sql))
          },
        }),
      ),
    )
    const response = await get('/x')
    expect([response.statusCode, response.headers['content-type']]).toEqual([500, problemJson])
    expect(response.body).not.toContain('vault')
  })

  test('A pool error wrapped by an ORM is answered 503 with Retry-After', async () => {
    app = await createApp(path)
    app.get('/x', () => Promise.reject(new DrizzleQueryError(sql, [], new TenancyError('TENANCY_CONNECTION_TIMEOUT'))))
    const response = await get('/x')
    expect([response.statusCode, response.headers['retry-after'], response.json()]).toEqual([
      503,
      '1',
      expect.objectContaining({ code: 'TENANCY_CONNECTION_TIMEOUT', requestId: 'req-1' }),
    ])
  })

  test('The status that a handler had chosen is kept, and the message of an error without a status is hidden', async () => {
    app = await createApp(path)
    app.get('/x', (_request, reply) => {
      reply
        .code(400)
        .serializer(() => 'not this')
        .type('text/html')
      throw new Error(sql)
    })
    const response = await get('/x')
    expect([response.headers['content-type'], response.json()]).toEqual([
      problemJson,
      { type: 'about:blank', title: 'Bad Request', status: 400, requestId: 'req-1' },
    ])
  })

  test('A body that Fastify refuses is answered with a problem document that holds Fastify’s findings', async () => {
    app = await createApp(path)
    const body = { type: 'object', required: ['name'], properties: { name: { type: 'string', maxLength: 3 } } }
    app.post('/x', { schema: { body }, bodyLimit: 100 }, async () => 'ok')
    const post = async (payload: string, type = 'application/json') => {
      const response = await app.inject({
        method: 'POST',
        url: '/x',
        headers: { ...bearer(token), 'content-type': type },
        payload,
      })
      expect(response.headers['content-type']).toBe(problemJson)
      return response.json()
    }
    expect(await post('{"name":"long"}')).toEqual({
      type: 'about:blank',
      title: 'Bad Request',
      status: 400,
      code: 'FST_ERR_VALIDATION',
      detail: 'body/name must NOT have more than 3 characters',
      validation: [{ in: 'body', path: '/name', message: 'must NOT have more than 3 characters' }],
      requestId: 'req-1',
    })
    expect(await post('{"name":')).toMatchObject({ status: 400, code: 'FST_ERR_CTP_INVALID_JSON_BODY' })
    expect(await post('')).toMatchObject({ status: 400, code: 'FST_ERR_CTP_EMPTY_JSON_BODY' })
    expect(await post('x', 'text/csv')).toMatchObject({ status: 415, code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE' })
    expect(await post(`"${'x'.repeat(200)}"`)).toMatchObject({ status: 413, code: 'FST_ERR_CTP_BODY_TOO_LARGE' })
  })

  test.each(Object.entries(unwritable))(
    'An error that cannot be logged, %s, is answered, and the log says so',
    async (_name, make) => {
      const log = new PassThrough()
      app = await createApp(path, {}, { logger: { level: 'info', stream: log } })
      app.get('/x', () => Promise.reject(make()))
      const response = await get('/x')
      expect([response.statusCode, response.headers['content-type']]).toEqual([500, problemJson])
      expect(response.body).not.toContain('vault')
      const errors = String(log.read())
        .split('\n')
        .filter((line) => line.includes('"level":50'))
      expect(errors).toHaveLength(1)
      expect(JSON.parse(errors[0]!)).toMatchObject({
        requestId: 'req-1',
        msg: 'An error that was answered with 500 could not be written to the log',
      })
    },
  )

  test('An error with twenty causes and an aggregate of three hundred errors are logged in full', async () => {
    const log = new PassThrough()
    app = await createApp(path, {}, { logger: { level: 'info', stream: log } })
    let caused = new Error('vault 0')
    for (let level = 1; level <= 20; level += 1) caused = Object.assign(new Error(`vault ${level}`), { cause: caused })
    const many = new AggregateError(Array.from({ length: 300 }, (_, index) => new Error(`many ${index}.`)))
    app.get('/caused', () => Promise.reject(caused))
    app.get('/many', () => Promise.reject(many))
    await get('/caused')
    await get('/many')
    const text = String(log.read())
    for (const said of ['vault 20: vault 19:', 'vault 1: vault 0', 'many 0.', 'many 299.']) expect(text).toContain(said)
    expect(text).not.toContain('could not be written')
  })

  test.each<[string, () => unknown]>([
    ['an error', () => new Error(sql)],
    [
      'an error with a status of 400 and headers',
      () => Object.assign(new Error(sql), { statusCode: 400, headers: { vault: sql } }),
    ],
    ['something that is no error', () => sql],
    ['an object without a prototype', () => Object.assign(Object.create(null) as object, { message: sql })],
  ])(
    'An onSend hook that always throws %s leads to a plain 500 and a log line, on every kind of route',
    async (_name, make) => {
      const log = new PassThrough()
      app = await createApp(path, {}, { logger: { level: 'info', stream: log } })
      const finished: number[] = []
      app.addHook('onResponse', async (_request, reply) => void finished.push(reply.statusCode))
      app.addHook('onSend', async (_request, reply) => {
        reply.header('content-encoding', 'gzip')
        reply.raw.setHeader('x-vault', 'raw')
        throw make()
      })
      app.get('/fine', async () => ({ fine: true }))
      app.get('/broken', () => Promise.reject(new Error(sql)))
      app.get('/handled', {
        errorHandler: (error, request, reply) => tenancyErrorHandler(error, request, reply),
        handler: () => Promise.reject(new Error(sql)),
      })
      await app.register(async (scope) => {
        scope.setErrorHandler(async (error, request, reply) => {
          tenancyErrorHandler(error, request, reply)
          return reply
        })
        scope.get('/async', () => Promise.reject(new Error(sql)))
      })
      const urls = ['/fine', '/broken', '/handled', '/async', '/nothing']
      for (const url of urls) {
        const response = await get(url)
        expect([response.statusCode, response.headers['content-type']]).toEqual([500, problemJson])
        expect(response.json()).toEqual({
          type: 'about:blank',
          title: 'Internal Server Error',
          status: 500,
          requestId: expect.stringMatching(/^req-/),
        })
        expect(JSON.stringify(response.headers)).not.toMatch(/vault|gzip/)
        expect(response.headers['content-length']).toBe(String(response.body.length))
      }
      expect(finished).toEqual(urls.map(() => 500))
      expect(String(log.read())).toContain('vault')
    },
  )

  test('An application’s error handler that calls tenancyErrorHandler gets the same plain 500 when sending fails', async () => {
    app = Fastify()
    app.setErrorHandler((error, request, reply) => tenancyErrorHandler(error, request, reply))
    await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
    app.addHook('onSend', (_request, _reply, _payload, done) => done(new Error(sql)))
    app.get('/x', async () => 'fine')
    const response = await get('/x')
    expect([response.statusCode, response.headers['content-type']]).toEqual([500, problemJson])
    expect(response.body).not.toContain('vault')
  })

  test('The problem document for an onSend hook that throws once passes through the hooks', async () => {
    app = await createApp(path)
    let calls = 0
    app.addHook('onSend', async (_request, reply) => {
      calls += 1
      if (calls === 1) throw new TenancyError('TENANCY_TENANT_NONE')
      reply.header('x-hook', 'ran')
    })
    app.get('/x', async () => 'fine')
    const response = await get('/x')
    expect([response.json().code, response.headers['x-hook']]).toEqual(['TENANCY_TENANT_NONE', 'ran'])
  })

  test('Headers of an error that concern the next request are sent; headers that describe its body are not', async () => {
    app = await createApp(path)
    app.get('/x', () =>
      Promise.reject(
        Object.assign(new Error('slow down'), {
          statusCode: 429,
          headers: { 'Retry-After': '9', 'Content-Type': 'text/html', 'Content-Length': '3' },
        }),
      ),
    )
    const response = await get('/x')
    expect([response.statusCode, response.headers['retry-after'], response.headers['content-type']]).toEqual([
      429,
      '9',
      problemJson,
    ])
  })

  test('A request id from genReqId that has no text is shown as "_" in the problem document', async () => {
    app = await createApp(path, {}, { genReqId: () => Object.create(null) as string })
    app.get('/x', () => Promise.reject(new Error(sql)))
    const response = await get('/x')
    expect([response.statusCode, response.json().requestId]).toEqual([500, '_'])
  })

  test('Errors of routes registered before the plugin, and of hooks without a route, get problem documents too', async () => {
    app = Fastify()
    void app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
    app.get('/x', () => Promise.reject(new Error(sql)))
    app.addHook('preHandler', async (request) => {
      if (request.is404) throw new Error(sql)
    })
    for (const url of ['/x', '/nothing']) {
      const response = await get(url)
      expect([response.statusCode, response.headers['content-type']]).toEqual([500, problemJson])
      expect(response.body).not.toContain('vault')
    }
    expect((await get('/x', {})).json()).toMatchObject({ code: 'TENANCY_AUTH_REQUIRED', requestId: 'req-3' })
  })

  test('A request id that a client sends comes back bounded and in safe characters', async () => {
    app = await createApp(path, {}, { requestIdHeader: 'x-request-id' })
    app.get('/x', async () => 'ok')
    const ask = async (id: string) => (await get('/x', { 'x-request-id': id })).json<{ requestId: string }>().requestId
    expect(await ask('0c5f-7')).toBe('0c5f-7')
    expect(await ask('<script>"')).toBe('_script__')
    expect(await ask('x'.repeat(4000))).toBe('x'.repeat(128))
  })
})

describe('an application’s error handler', () => {
  test.each(['before', 'after'])(
    'An application’s error handler set %s the plugin also gets refusals by hooks and guards',
    async (when) => {
      app = Fastify({ allowErrorHandlerOverride: false })
      const seen: string[] = []
      const set = () =>
        app.setErrorHandler((error, _request, reply) => {
          seen.push((error as TenancyError).code)
          return reply.code(499).send()
        })
      if (when === 'before') set()
      await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
      if (when === 'after') set()
      app.get('/x', async () => 'ok')
      app.get('/guarded', { preHandler: requireRole('Owner') }, async () => 'ok')
      path.cache.invalidate()
      const statuses = [await get('/x', {}), await get('/x', bearer(token, 'globex')), await get('/guarded')].map(
        ({ statusCode }) => statusCode,
      )
      expect(statuses).toEqual([499, 499, 499])
      expect(seen).toEqual(['TENANCY_AUTH_REQUIRED', 'TENANCY_TENANT_FORBIDDEN', 'TENANCY_ACCESS_DENIED'])
    },
  )

  test('An application’s error handler replaces the plugin’s without a warning', async () => {
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    app = await createApp(path)
    app.setErrorHandler((_error, _request, reply) => reply.code(499).send())
    await app.ready()
    await new Promise(setImmediate)
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
  })

  test('An application’s error handler can pass on unknown errors by throwing or by tenancyErrorHandler', async () => {
    app = await createApp(path)
    app.setErrorHandler((error, request, reply) => {
      if ((error as Error).message === 'mine') return reply.code(499).send()
      if (request.url === '/throw') throw error
      return tenancyErrorHandler(error, request, reply)
    })
    app.get('/mine', () => Promise.reject(new Error('mine')))
    for (const url of ['/throw', '/hand-on']) app.get(url, () => Promise.reject(new Error(sql)))
    expect((await get('/mine')).statusCode).toBe(499)
    for (const url of ['/throw', '/hand-on']) {
      const response = await get(url)
      expect([response.statusCode, response.headers['content-type']]).toEqual([500, problemJson])
      expect(response.body).not.toContain('vault')
    }
  })

  test('The error handler of a child scope or route stays in place and rethrows to its parent’s', async () => {
    app = await createApp(path)
    await app.register(async (scope) => {
      scope.setErrorHandler((error, _request, reply) => {
        if (error instanceof TenancyError) return reply.code(498).send()
        throw error
      })
      scope.get('/child', async () => 'ok')
      scope.get('/child-fails', () => Promise.reject(new Error(sql)))
    })
    app.get('/route', { errorHandler: (_error, _request, reply) => void reply.code(497).send() }, async () => 'ok')
    app.get('/outside', async () => 'ok')
    const ask = async (url: string, headers?: object) => (await get(url, headers)).statusCode
    expect([await ask('/child', {}), await ask('/route', {}), await ask('/outside', {})]).toEqual([498, 497, 401])
    const failed = await get('/child-fails')
    expect([failed.statusCode, failed.headers['content-type']]).toEqual([500, problemJson])
  })

  test('onError hooks see the plugin’s refusals', async () => {
    app = await createApp(path)
    const seen: unknown[] = []
    app.addHook('onError', async (_request, _reply, error) => void seen.push(error.code))
    app.get('/x', async () => 'ok')
    await get('/x', {})
    expect(seen).toEqual(['TENANCY_AUTH_REQUIRED'])
  })
})
