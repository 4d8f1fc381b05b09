import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWebHandler } from '../../src/adapters/web/index.js'
import { TenancyError } from '../../src/index.js'
import { type ApiApp, createApiApp } from './api-app.js'

let api: ApiApp
beforeAll(async () => {
  api = await createApiApp()
})
afterAll(() => api.close())

test('A bare Request gets the answers of the API, the public keys, and 404 for every other path', async () => {
  const handle = createWebHandler(api)
  const user = await api.createUser()
  const send = (path: string, init: RequestInit = {}) => handle(new Request(`https://app.example.com${path}`, init))
  const own = await send('/me/tenants', { headers: { authorization: `Bearer ${user.token}` } })
  expect([own.status, await own.json()]).toEqual([200, { items: [] }])
  expect((await send('/me/tenants')).status).toBe(401)
  expect(await (await send('/.well-known/jwks.json')).json()).toMatchObject({ keys: expect.any(Array) as unknown })
  for (const path of ['/', '/you', '/me/tenants/', '/auth/login', '/tenants/../me/tenants/x']) {
    expect((await send(path)).status, path).toBe(404)
  }
  const wrong = await send('/me/tenants', { method: 'DELETE' })
  expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
  const head = await send('/me/tenants', { method: 'HEAD', headers: { authorization: `Bearer ${user.token}` } })
  expect([head.status, await head.text()]).toEqual([200, ''])
})

test('A path is taken as it is in the request line: nothing is resolved', async () => {
  const handle = createWebHandler(api)
  const user = await api.createUser()
  const request = new Request('https://app.example.com/me/tenants', {
    headers: { authorization: `Bearer ${user.token}` },
  })
  const answer = await handle(request, { target: '/other/../me/tenants' })
  expect(answer.status).toBe(404)
})

test('While the catalog does not answer for the public keys, the answer is 503', async () => {
  const jwks = () => Promise.reject(new TenancyError('TENANCY_CATALOG_UNAVAILABLE'))
  const handle = createWebHandler({ ...api, tenancy: { authPrefix: '/auth', jwks } })
  const answer = await handle(new Request('https://app.example.com/.well-known/jwks.json'))
  expect([answer.status, answer.headers.get('content-type'), answer.headers.get('retry-after')]).toEqual([
    ...[503, 'application/problem+json; charset=utf-8', expect.any(String)],
  ])
  expect(await answer.json()).toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE', requestId: expect.any(String) })
})
