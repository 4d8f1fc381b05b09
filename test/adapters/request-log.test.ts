import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, createApp, tenancyOver } from './fastify-app.js'

interface Line {
  readonly msg: string
  readonly requestId?: string
  readonly reqId?: string
  readonly tenantId?: string
  readonly userId?: string
  readonly err?: { readonly stack: string }
}

let path: RequestPath
let app: FastifyInstance
let written: string[] = []
const stream = { write: (line: string) => void written.push(line) }
const who: { token: string; tenantId: string; userId: string }[] = []

beforeAll(async () => {
  path = await createRequestPath()
  for (const slug of ['acme', 'globex']) {
    const [userId, tenantId] = [await path.addUser(), await path.addTenant(slug)]
    await path.addMember(userId, tenantId)
    who.push({ token: path.tokenFor(userId), tenantId, userId })
  }
})
afterAll(() => path.close())
afterEach(() => app.close())

/** The lines logged since the last call. */
function lines(): Line[] {
  const found = written.map((line) => JSON.parse(line) as Line)
  written = []
  return found
}

function routes(scope: FastifyInstance): void {
  scope.get('/x', async (request) => {
    request.log.info('in the handler')
    await new Promise(setImmediate)
    request.log.child({ part: 'child' }).warn('in a child')
    return 'ok'
  })
  scope.get('/fails', () => Promise.reject(new Error('on fire')))
  scope.get('/public', { config: { tenancy: 'none' } }, async () => 'ok')
  scope.get('/user', { config: { tenancy: 'user' } }, async () => 'ok')
}

async function open(level = 'debug'): Promise<void> {
  written = []
  app = await createApp(path, {}, { logger: { level, stream } })
  routes(app)
}

test('Each log line of a request carries its id, and its tenant and user once they are known', async () => {
  await open()
  await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      app.inject({ url: index % 5 === 0 ? '/fails' : '/x', headers: bearer(who[index % 2]!.token) }),
    ),
  )
  const byRequest = new Map<string, Line[]>()
  for (const line of lines()) {
    const requestId = line.requestId ?? 'none'
    byRequest.set(requestId, [...(byRequest.get(requestId) ?? []), line])
  }
  expect(byRequest.size).toBe(40)
  for (const [requestId, [first, ...others]] of byRequest) {
    expect(first).toMatchObject({ msg: 'incoming request', requestId, reqId: requestId })
    const { tenantId, userId } = who[(Number.parseInt(requestId.slice(4), 36) - 1) % 2]!
    expect(others.length).toBeGreaterThanOrEqual(2)
    for (const line of others) expect(line).toMatchObject({ requestId, reqId: requestId, tenantId, userId })
    expect(others.map(({ msg }) => msg)).toContain('request completed')
  }
})

test('An error is logged once, in full, with the request’s id, tenant and user', async () => {
  await open('error')
  await app.inject({ url: '/fails', headers: bearer(who[0]!.token) })
  const [line, ...others] = lines()
  const { tenantId, userId } = who[0]!
  expect(line).toMatchObject({ msg: 'on fire', requestId: 'req-1', tenantId, userId })
  expect(line?.err?.stack).toContain('request-log.test')
  expect(others).toEqual([])
})

test('Log lines of a request without tenant or user name none', async () => {
  await open()
  for (const [url, headers, known] of [
    ['/public', {}, []],
    ['/nothing', {}, []],
    ['/x', {}, []],
    ['/user', bearer(who[0]!.token), ['userId']],
  ] as const) {
    await app.inject({ url, headers })
    const last = lines().findLast(({ msg }) => msg === 'request completed')
    expect([url, Object.keys(last ?? {}).filter((key) => /^(tenant|user)Id$/.test(key))]).toEqual([url, known])
    expect(last?.requestId).toMatch(/^req-/)
  }
})

test('A client’s request id is written to the log as it is shown in the answer', async () => {
  written = []
  app = await createApp(path, {}, { logger: { level: 'info', stream }, requestIdHeader: 'x-request-id' })
  const response = await app.inject({ url: '/x', headers: { 'x-request-id': `a b${'x'.repeat(300)}` } })
  expect(response.statusCode).toBe(404)
  expect(lines().map(({ requestId }) => requestId)).toContain(`a_b${'x'.repeat(125)}`)
})

describe('request loggers of the application', () => {
  test('A logger that the application shares among requests is never changed, so it gathers no users', async () => {
    written = []
    app = Fastify({ logger: { level: 'info', stream }, childLoggerFactory: (logger) => logger })
    await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
    routes(app)
    for (const { token } of who) await app.inject({ url: '/x', headers: bearer(token) })
    const inHandler = lines().filter(({ msg }) => msg === 'in the handler')
    expect(inHandler).toMatchObject(who.map(({ tenantId, userId }) => ({ tenantId, userId })))
    app.log.info('outside')
    expect(lines()).toEqual([expect.not.objectContaining({ userId: expect.anything() })])
  })

  test('A logger that is not pino gets a child for each request', async () => {
    const said: object[] = []
    const make = (bindings: object): FastifyBaseLogger => {
      const say = (fields: unknown, msg?: string) =>
        void said.push({ ...bindings, ...(typeof fields === 'string' ? { msg: fields } : { msg }) })
      const child = (more: object) => make({ ...bindings, ...more })
      return { level: 'info', info: say, warn: say, error: say, debug: say, trace: say, fatal: say, silent: say, child }
    }
    app = Fastify({ loggerInstance: make({}) })
    await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
    routes(app)
    await app.inject({ url: '/x', headers: bearer(who[1]!.token) })
    const { tenantId, userId } = who[1]!
    expect(said).toContainEqual({ msg: 'in the handler', reqId: 'req-1', requestId: 'req-1', tenantId, userId })
  })
})
