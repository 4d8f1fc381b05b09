import Fastify, { type FastifyReply } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tenancyErrorHandler, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type ApiRequest, type Caller, createApiApp } from './api-app.js'

// Whatever refuses input says where it is wrong in one form.

let api: ApiApp
let owner: Caller
let tenant: Tenant
beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
})
afterAll(() => api.close())

const named = (target: string) => target.replace('$TENANT', tenant.id)
const json = { 'content-type': 'application/json' }
const long = { tenant: 'x'.repeat(70_000) }

describe.each(['call', 'callDirectly'] as const)('by %s', (way) => {
  const send = (target: string, request: ApiRequest = {}) => api[way](named(target), { as: owner, ...request })

  test.each([
    [
      'GET /tenants/$TENANT/members?limit=0',
      {},
      400,
      { parameter: 'limit', detail: 'must be a whole number from 1 to 200' },
    ],
    [
      'GET /tenants/$TENANT/members?nothing=1',
      {},
      400,
      { parameter: 'nothing', detail: 'is not a field of this request' },
    ],
    ['GET /tenants/$TENANT/members?search=%ff', {}, 400, { parameter: 'search' }],
    [
      'GET /tenants/$TENANT/members?search=a&search=b',
      {},
      400,
      { parameter: 'search', detail: 'A field is given twice' },
    ],
    ['GET /tenants/$TENANT/members?%ff=1', {}, 400, { detail: expect.stringContaining('%') as string }],
    ['GET /tenants/$TENANT/route-rules?after=x', {}, 400, { parameter: 'after' }],
    ['GET /tenants/$TENANT/members/nobody', {}, 400, { parameter: 'user', detail: 'must be a UUID' }],
    ['GET /tenants/$TENANT/members/%ff', {}, 400, { parameter: 'user' }],
    ['GET /tenants/%zz', {}, 400, { parameter: 'tenant' }],
    ['PUT /me/default-tenant', { body: {} }, 400, { pointer: '#/tenant', detail: 'must be given as text' }],
    ['PUT /me/default-tenant', { body: { tenant: 'x', 'a/b~c': 1 } }, 400, { pointer: '#/a~1b~0c' }],
    ['PUT /me/default-tenant', { body: [] }, 400, { pointer: '#', detail: 'must be given as an object' }],
    ['PUT /me/default-tenant', { body: '{' }, 400, { pointer: '#', detail: 'The body is not JSON' }],
    ['PUT /me/default-tenant', { body: '{"tenant":"a","tenant":"b"}' }, 400, { pointer: '#' }],
    ['PUT /me/default-tenant', { headers: json }, 400, { pointer: '#' }],
    ['POST /tenants/$TENANT/leave', { body: {} }, 400, { pointer: '#', detail: 'leaveTenant takes no body' }],
    [
      'POST /tenants/$TENANT/invitations',
      { body: { email: 'a@example.com', roles: [1] } },
      400,
      { pointer: '#/roles/0' },
    ],
    ['PUT /me/default-tenant', { body: long }, 413, { pointer: '#' }],
    [
      'PUT /me/default-tenant',
      { body: 'x', headers: { 'content-type': 'text/plain' } },
      415,
      { header: 'Content-Type' },
    ],
    [
      'PUT /me/default-tenant',
      { body: 'x', headers: { ...json, 'content-encoding': 'gzip' } },
      415,
      { header: 'Content-Encoding' },
    ],
    [
      'PUT /me/default-tenant',
      { body: { tenant: 'x' }, headers: { 'idempotency-key': 'x' } },
      400,
      { header: 'Idempotency-Key' },
    ],
    [
      'POST /tenants',
      { body: { name: 'a', slug: 'abc' }, headers: { 'idempotency-key': ' ä ' } },
      400,
      { header: 'Idempotency-Key' },
    ],
    ['PUT /me/default-tenant', { body: { tenant: 'x' }, headers: { 'if-match': '"x"' } }, 400, { header: 'If-Match' }],
    ['PATCH /tenants/$TENANT', { body: { name: 'a' }, headers: { 'if-match': 'x' } }, 400, { header: 'If-Match' }],
  ] as const)('%s with %o is refused in the one form', async (target, request, status, fault) => {
    const answer = await send(target, request)
    expect(answer.status, JSON.stringify(answer.json)).toBe(status)
    expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(answer.json).toMatchObject({
      status,
      code: expect.stringMatching(/^TENANCY_REQUEST_/) as string,
      errors: expect.arrayContaining([expect.objectContaining(fault)]) as unknown,
    })
    const errors = answer.json.errors as Record<string, unknown>[]
    for (const error of errors) {
      const { detail, ...place } = error
      expect(typeof detail).toBe('string')
      expect(Object.keys(place).length).toBeLessThanOrEqual(1)
    }
  })

  test('What a function refuses has its place as well', async () => {
    const answer = await send('POST /tenants', { body: { name: ' \u202e ', slug: 'fine-slug' } })
    expect(answer.json).toMatchObject({
      status: 422,
      code: 'TENANCY_TENANT_INPUT_INVALID',
      errors: [{ pointer: '#/name', detail: expect.any(String) as string }],
    })
  })
})

test('An address that Fastify cannot read is answered as a problem, by the API below its paths', async () => {
  for (const prefix of ['', '/api']) {
    const app = Fastify({ logger: false })
    await app.register((scope) => scope.register(tenancyPlugin, { tenancy: api.tenancy, api: api.api }), { prefix })
    const own = await app.inject(`${prefix}/me/%zz`)
    expect([own.statusCode, own.headers['content-type'], own.json()]).toMatchObject([
      ...[404, 'application/problem+json; charset=utf-8', { code: 'TENANCY_REQUEST_PATH_UNKNOWN' }],
    ])
    const bad = await app.inject({ url: `${prefix}/tenants/%zz`, headers: { authorization: `Bearer ${owner.token}` } })
    expect([bad.statusCode, bad.json()]).toMatchObject([400, { errors: [{ parameter: 'tenant' }] }])
    const lengthy = await app.inject({
      url: `${prefix}/tenants/${'a'.repeat(300)}`,
      headers: { authorization: `Bearer ${owner.token}` },
    })
    expect(lengthy.json()).toMatchObject({ code: expect.stringMatching(/^TENANCY_/) as string })
    const elsewhere = await app.inject('/elsewhere/%zz')
    expect([elsewhere.statusCode, elsewhere.headers['content-type'], elsewhere.json()]).toMatchObject([
      ...[400, 'application/problem+json; charset=utf-8', { status: 400, code: 'FST_ERR_BAD_URL' }],
    ])
    await app.close()
  }
})

test('An application that answers such addresses itself goes on to', async () => {
  const app = Fastify({
    frameworkErrors: (_error, _request, reply) => void (reply as FastifyReply).code(418).send('own'),
  })
  app.setErrorHandler(tenancyErrorHandler)
  await app.register(tenancyPlugin, { tenancy: api.tenancy, api: api.api })
  expect((await app.inject('/tenants/%zz')).statusCode).toBe(418)
  await app.close()
})
