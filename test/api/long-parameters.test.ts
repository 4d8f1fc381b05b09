import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAccounts } from '../../src/accounts/index.js'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import type { Operation } from '../../src/api/operation.js'
import { operations, platformOperations } from '../../src/api/operations/index.js'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

// Fastify's router refuses a parameter of more than 100 characters before it looks for a route (`maxParamLength`).

let api: ApiApp
let app: FastifyInstance
let address: string
let owner: Caller
let administrator: Caller
let tenant: Tenant
beforeAll(async () => {
  api = await createApiApp()
  const accounts = await createAccounts({ tenancy: api.tenancy, mail: { send: async () => {}, close: async () => {} } })
  app = Fastify({ genReqId: () => 'req' })
  const plugin = { tenancy: api.tenancy, api: api.api, accounts }
  await app.register((scope) => scope.register(tenancyPlugin, plugin), { prefix: '/v1' })
  app.get('/own/:thing', { config: { tenancy: 'none' } }, async () => 'own')
  await app.listen({ port: 0, host: '127.0.0.1' })
  address = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  owner = await api.createUser()
  administrator = await api.createAdministrator()
  tenant = await api.createTenant(owner)
})
afterAll(async () => {
  await app.close()
  await api.close()
})

const problem = 'application/problem+json; charset=utf-8'
const send = (method: string, path: string, as?: Caller, body?: object) =>
  fetch(address + path, {
    method,
    headers: {
      ...(as === undefined ? {} : { authorization: `Bearer ${as.token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

/** Each parameter of each operation, those to come included. */
const cases = [...operations, ...platformOperations].flatMap((operation) =>
  [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({ operation, name })),
)
const pathOf = ({ path }: Operation, long: string, value: string) =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    if (name === long) return value
    return name === 'tenant' ? tenant.id : randomUUID()
  })

test.each([
  ['letters', 'x'.repeat(150)],
  ['escapes', '%F0%9F%98%80'.repeat(60)],
])('Every operation answers a parameter of many %s over HTTP as it does without Fastify', async (_, value) => {
  expect(cases.length).toBeGreaterThan(100)
  for (const { operation, name } of cases) {
    const method = operation.method.toUpperCase()
    const path = pathOf(operation, name, value)
    const as = 'platform' in operation.access ? administrator : owner
    const body = operation.body === undefined ? undefined : {}
    const answer = await send(method, `/v1${path}`, as, body)
    const direct = await api.callDirectly(`${method} ${path}`, { as, body })
    const told = `${method} ${operation.path}: ${name}`
    expect([answer.status, answer.headers.get('content-type')], told).toEqual([direct.status, problem])
    expect(await answer.json(), told).toEqual(direct.json)
    expect([400, 401, 403, 404, 422], told).toContain(answer.status)
  }
})

test('A permission whose name is longer than Fastify’s parameters is granted and taken back', async () => {
  const name = `${'invoices'.padEnd(63, 'x')}:${'read'.padEnd(63, 'x')}`
  await api.tenancy.access.createPermission({ name, description: 'Long' })
  await api.tenancy.access.grantPermission({ tenant: null, role: 'Owner', permission: name })
  const member = await api.join(tenant, ['Member'])
  const path = `/v1/tenants/${tenant.id}/members/${member.id}/overrides/${name}`
  const given = await send('PUT', path, owner, { effect: 'allow' })
  expect(given.status, await given.text()).toBeLessThan(300)
  expect(await api.tenancy.access.listOverrides({ tenant: tenant.id })).toMatchObject([
    { user: member.id, permission: name, effect: 'allow' },
  ])
  const taken = await send('DELETE', path, owner)
  expect(taken.status, await taken.text()).toBeLessThan(300)
  expect(await api.tenancy.access.listOverrides({ tenant: tenant.id })).toEqual([])
})

test('A body at such an address has the same limit, and the connection ends with what is left of it', async () => {
  const path = `/v1/tenants/${'x'.repeat(150)}/roles`
  const answer = await send('POST', path, owner, { name: 'x'.repeat(5_000_000) })
  expect([answer.status, answer.headers.get('content-type'), answer.headers.get('connection')]).toEqual([
    ...[413, problem, 'close'],
  ])
  expect(await answer.json()).toMatchObject({ code: 'TENANCY_REQUEST_TOO_LARGE', errors: [{ pointer: '#' }] })
})

test('A client that goes in the middle of such a body harms nobody', async () => {
  const { port } = new URL(address)
  const arrived = once(app.server, 'request')
  const socket = connect(Number(port), '127.0.0.1')
  const head = `POST /v1/tenants/${'x'.repeat(150)}/roles HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`
  socket.write(head)
  const [request] = (await arrived) as [IncomingMessage]
  const gone = new Promise((resolve) => request.once('close', resolve))
  socket.destroy()
  await gone
  expect((await send('GET', '/v1/me', owner)).status).toBe(200)
})

test('Unknown paths and those of accounts with such a part are 404, and routes of the application are refused as a problem', async () => {
  const long = 'x'.repeat(150)
  for (const [path, status] of [
    [`/v1/tenants/${tenant.id}/${long}`, 404],
    [`/v1/me/${long}`, 404],
    [`/v1/platform/${long}/${long}`, 404],
    [`/v1/auth/${long}`, 404],
    [`/own/${long}`, 414],
  ] as const) {
    const answer = await send('GET', path, owner)
    expect([answer.status, answer.headers.get('content-type')], path).toEqual([status, problem])
    expect(await answer.json(), path).toMatchObject({ status })
  }
})
