import cors from '@fastify/cors'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { cors as honoCors } from 'hono/cors'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createWebHandler } from '../../src/adapters/web/index.js'
import type { Operation } from '../../src/api/operation.js'
import { operations as ofTenants, platformOperations } from '../../src/api/operations/index.js'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

// HEAD and OPTIONS, which no operation names, and requests from browsers of other origins.

const operations: readonly Operation[] = [...ofTenants, ...platformOperations]
let api: ApiApp
let owner: Caller
let administrator: Caller
let tenant: Tenant
beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
  administrator = await api.createAdministrator()
})
afterAll(() => api.close())

const pathOf = ({ path }: Operation) =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => (name === 'tenant' ? tenant.id : randomUUID()))
const callerOf = ({ access }: Operation) => ('platform' in access ? administrator : owner)

describe.each(['call', 'callDirectly'] as const)('by %s', (way) => {
  test.each(operations.filter(({ method }) => method === 'get').map((each) => [each.path, each] as const))(
    'HEAD %s answers as GET does, without a body',
    async (_, operation) => {
      const path = pathOf(operation)
      for (const as of [callerOf(operation), undefined]) {
        const get = await api[way](`GET ${path}`, { as })
        const answer = await api.sendUnchecked(way, `HEAD ${path}`, { as })
        expect(answer.status, path).toBe(get.status)
        // No line is what an empty stream is read as.
        expect(answer.json ?? [], path).toEqual([])
        for (const name of ['content-type', 'etag', 'www-authenticate', 'cache-control']) {
          expect(answer.headers[name], name).toBe(get.headers[name])
        }
      }
    },
  )

  test.each([...new Set(operations.map(({ path }) => path))])(
    'OPTIONS %s says which methods there are',
    async (path) => {
      const here = operations.filter((each) => each.path === path)
      const [first] = here
      const answer = await api.sendUnchecked(way, `OPTIONS ${first === undefined ? path : pathOf(first)}`)
      expect([answer.status, answer.json, answer.headers['access-control-allow-origin']]).toEqual([
        204,
        undefined,
        undefined,
      ])
      const allowed = String(answer.headers['allow']).split(', ')
      const named = here.map(({ method }) => method.toUpperCase())
      expect(allowed).toEqual(expect.arrayContaining([...named, 'OPTIONS']))
      // A concrete path may be of two: `members/me` and `members/{user}`.
      expect(allowed.includes('HEAD')).toBe(allowed.includes('GET'))
    },
  )
})

const origin = 'https://app.example.com'
const preflight = {
  ...{ origin, 'access-control-request-method': 'PATCH' },
  'access-control-request-headers': 'authorization,content-type,if-match',
}

test('Without CORS of the application, a browser of another origin is told nothing', async () => {
  const answer = await api.app.inject({ method: 'OPTIONS', url: `/tenants/${tenant.id}`, headers: preflight })
  expect(answer.statusCode).toBe(204)
  expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
})

test('@fastify/cors, registered before the plugin, decides for every answer of the API', async () => {
  const app = Fastify()
  await app.register(cors, { origin, methods: ['GET', 'PATCH'], exposedHeaders: ['ETag', 'Retry-After'] })
  await app.register(tenancyPlugin, { tenancy: api.tenancy, api: api.api })
  const asked = await app.inject({ method: 'OPTIONS', url: `/tenants/${tenant.id}`, headers: preflight })
  expect([asked.statusCode, asked.headers]).toMatchObject([
    204,
    { 'access-control-allow-origin': origin, 'access-control-allow-headers': 'authorization,content-type,if-match' },
  ])
  const headers = { origin, authorization: `Bearer ${owner.token}` }
  for (const [url, status, given] of [
    [`/tenants/${tenant.id}`, 200, headers],
    [`/tenants/${tenant.id}`, 401, { origin }],
    ['/me/nothing', 404, headers],
    ['/openapi.json', 200, { origin }],
  ] as const) {
    const answer = await app.inject({ url, headers: given })
    expect([answer.statusCode, answer.headers['access-control-allow-origin']], url).toEqual([status, origin])
    expect(answer.headers['access-control-expose-headers']).toBe('ETag, Retry-After')
  }
  await app.close()
})

test('A middleware of Hono around the web handler does the same', async () => {
  const handle = createWebHandler({ tenancy: api.tenancy, api: api.api })
  const app = new Hono()
  app.use(honoCors({ origin, exposeHeaders: ['ETag'] }))
  app.all('*', (context) => handle(context.req.raw))
  const asked = await app.request(`/tenants/${tenant.id}`, { method: 'OPTIONS', headers: preflight })
  expect([asked.status, asked.headers.get('access-control-allow-origin')]).toEqual([204, origin])
  const answer = await app.request('/me', { headers: { origin, authorization: `Bearer ${owner.token}` } })
  expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, origin])
})
