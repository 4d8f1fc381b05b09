import Fastify from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { type ApiApp, createApiApp } from './api-app.js'

let api: ApiApp
beforeAll(async () => {
  api = await createApiApp()
})
afterAll(() => api.close())

const send = (method: string, url: string, headers: Record<string, string> = {}, payload?: string) =>
  api.app.inject({ method: method as 'GET', url, headers, ...(payload === undefined ? {} : { payload }) })

test.each([
  ['GET', '/tenants/acme/nothing/here', 404],
  ['GET', '/me/nothing', 404],
  ['POST', '/platform/nothing', 404],
  ['DELETE', '/me', 405],
])('%s %s is answered %i by the API, as a problem', async (method, url, status) => {
  const answer = await send(method, url)
  expect(answer.statusCode).toBe(status)
  expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8')
  if (status === 405) expect(answer.headers.allow).toBe('GET, HEAD, OPTIONS')
})

test('A body that Fastify refuses is answered as a problem, too', async () => {
  const as = await api.createUser()
  const headers = { authorization: `Bearer ${as.token}`, 'content-type': 'application/json' }
  const answers = [
    await send('PUT', '/me/default-tenant', headers, '{'),
    await send('PUT', '/me/default-tenant', headers, JSON.stringify({ tenant: 'x'.repeat(70_000) })),
    await send('PUT', '/me/default-tenant', { ...headers, 'content-type': 'text/plain' }, '{}'),
  ]
  expect(answers.map(({ statusCode }) => statusCode)).toEqual([400, 413, 415])
  for (const { headers: given } of answers)
    expect(given['content-type']).toBe('application/problem+json; charset=utf-8')
})

test('Routes of the application below the same prefix stay its own, and so do its other unknown paths', async () => {
  const app = Fastify()
  await app.register(tenancyPlugin, { tenancy: api.tenancy, api: api.api })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send('elsewhere'))
  app.get('/tenants/:tenant/orders', { config: { tenancy: 'none' } }, async () => 'orders')
  app.get('/me/*', { config: { tenancy: 'none' } }, async () => 'mine')
  expect((await app.inject('/tenants/acme/orders')).payload).toBe('orders')
  expect((await app.inject('/me/anything')).payload).toBe('mine')
  expect((await app.inject('/elsewhere')).payload).toBe('elsewhere')
  expect((await app.inject({ method: 'POST', url: '/tenants/acme/orders' })).headers['content-type']).toContain(
    'problem',
  )
  await app.close()
})
