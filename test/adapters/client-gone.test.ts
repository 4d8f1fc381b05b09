import { once } from 'node:events'
import { type ClientRequest, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type ConnectionScheduler, createConnectionScheduler } from '../../src/connections/scheduler.js'
import { tryGetScope } from '../../src/core/context/request-scope.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { createTenantDatabase, type TestTenantDatabase } from '../connections/tenant-database.js'
import { createRequestPath, type RequestPath, silentLogger } from '../http/fixture.js'
import { bearer, createApp } from './fastify-app.js'

let path: RequestPath
let database: TestTenantDatabase
let scheduler: ConnectionScheduler
let pool: TenantPool
let app: FastifyInstance
let token: string
let ended: (string | undefined)[] = []

beforeAll(async () => {
  path = await createRequestPath()
  const user = await path.addUser()
  await path.addMember(user, await path.addTenant('acme'))
  token = path.tokenFor(user)
  database = await createTenantDatabase()
  scheduler = createConnectionScheduler({ maxConnections: 1, acquireTimeoutMs: 60_000, logger: silentLogger })
  pool = scheduler.pool(database.key, database.resolveTarget)
  app = await createApp(path)
  const handler = async () => {
    try {
      await pool.query('select 1')
      ended.push('answered')
      return 'answered'
    } catch (error) {
      ended.push((error as { code?: string }).code)
      throw error
    }
  }
  app.get('/wait', handler)
  app.post('/wait', handler)
  app.get('/many', () => Promise.all(Array.from({ length: 50 }, () => pool.query('select 1'))))
  app.get('/background', async () => {
    const scope = tryGetScope()
    scope?.onAborted(() => ended.push('aborted'))
    // The request is answered before its connection ends, so code that still runs is not aborted.
    setTimeout(() => ended.push(String(scope?.isAborted)), 50)
    return 'answered'
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
})
beforeEach(() => {
  ended = []
})
afterAll(async () => {
  await app.close()
  await scheduler.close()
  await database.drop()
  await path.close()
})

function send(url: string, body?: string): ClientRequest {
  const { port } = app.server.address() as AddressInfo
  const method = body === undefined ? 'GET' : 'POST'
  const headers = { ...bearer(token), ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
  const outgoing = httpRequest({ port, path: url, method, headers, agent: false })
  outgoing.on('error', () => {})
  outgoing.end(body)
  return outgoing
}

test.each([
  ['A request', undefined],
  ['A request whose body has been read', '{"a":1}'],
])('%s leaves the queue for connections as soon as its client goes away', async (_kind, body) => {
  const client = await pool.connect()
  const gone = send('/wait', body)
  const stays = send('/wait', body)
  await expect.poll(() => pool.waitingCount).toBe(2)
  gone.destroy()
  await expect.poll(() => pool.waitingCount).toBe(1)
  await expect.poll(() => ended).toEqual(['TENANCY_CONNECTION_ABORTED'])
  client.release()
  const [response] = (await once(stays, 'response')) as [{ statusCode: number; resume(): void }]
  response.resume()
  expect(response.statusCode).toBe(200)
  expect(ended).toEqual(['TENANCY_CONNECTION_ABORTED', 'answered'])
})

test('Fifty queries of one request leave the queue together and share one listener on its response', async () => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  const client = await pool.connect()
  const gone = send('/many')
  await expect.poll(() => pool.waitingCount).toBe(50)
  gone.destroy()
  await expect.poll(() => pool.waitingCount).toBe(0)
  client.release()
  process.off('warning', onWarning)
  expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([])
})

test('A request that has been answered is not aborted when its connection ends', async () => {
  const [response] = (await once(send('/background'), 'response')) as [{ resume(): void; socket: { destroy(): void } }]
  response.resume()
  response.socket.destroy()
  await expect.poll(() => ended).toEqual(['false'])
})
