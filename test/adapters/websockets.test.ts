import { once } from 'node:events'
import { type AddressInfo, connect as connectSocket } from 'node:net'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { requireRole, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { getCurrentTenant, getTenantPool, tryGetCurrentTenant } from '../../src/core/context/current.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, tenancyOver } from './fastify-app.js'

let path: RequestPath
let app: FastifyInstance
let acme: string
let globex: string

beforeAll(async () => {
  path = await createRequestPath()
  const tokens: string[] = []
  for (const slug of ['acme', 'globex']) {
    const user = await path.addUser()
    await path.addMember(user, await path.addTenant(slug))
    tokens.push(path.tokenFor(user))
  }
  acme = tokens[0]!
  globex = tokens[1]!
})
afterAll(() => path.close())
afterEach(() => app.close())

type Order =
  | 'before @fastify/websocket'
  | 'after @fastify/websocket'
  | 'before, and @fastify/websocket in a child scope'

async function open(order: Order, routes: (scope: FastifyInstance) => void): Promise<void> {
  app = Fastify()
  if (order === 'after @fastify/websocket') await app.register(websocket)
  await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
  if (order === 'before @fastify/websocket') await app.register(websocket)
  if (order === 'before, and @fastify/websocket in a child scope') {
    await app.register(async (scope) => {
      await scope.register(websocket)
      routes(scope)
    })
  } else routes(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
}

const connect = (url: string, headers: object) =>
  new WebSocket(`ws://127.0.0.1:${(app.server.address() as AddressInfo).port}${url}`, { headers: { ...headers } })

/** The status of a refused upgrade. The client keeps its half of the socket open. */
async function refusal(url: string, headers: object): Promise<{ status: number; connection: string | undefined }> {
  const client = connect(url, headers)
  client.on('error', () => {})
  const [, response] = (await once(client, 'unexpected-response')) as [
    unknown,
    { statusCode: number; headers: { connection?: string }; resume(): void },
  ]
  response.resume()
  return { status: response.statusCode, connection: response.headers.connection }
}

/** The complete answer to an upgrade. The client keeps its half of the socket open forever. */
async function rawUpgrade(url: string): Promise<string> {
  const socket = connectSocket({
    port: (app.server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  })
  socket.write(
    `GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part))
  await once(socket, 'end')
  return Buffer.concat(parts).toString()
}

const connections = () =>
  new Promise<number>((resolve, reject) =>
    app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  )

describe.each<Order>([
  'before @fastify/websocket',
  'after @fastify/websocket',
  'before, and @fastify/websocket in a child scope',
])('registered %s', (order) => {
  test('Three hundred refused upgrades leave no socket open, and close() ends', async () => {
    await open(order, (scope) => {
      scope.get('/socket', { websocket: true }, (socket) => socket.send('hello'))
      scope.get('/guarded', { websocket: true, preHandler: requireRole('Owner') }, (socket) => socket.send('hello'))
    })
    const kinds = [
      ['/socket', {}, 401],
      ['/socket', bearer('rubbish'), 401],
      ['/socket', bearer(acme, 'globex'), 403],
      ['/guarded', bearer(acme), 403],
      ['/nothing', bearer(acme), 404],
    ] as const
    for (let round = 0; round < 10; round += 1) {
      await Promise.all(
        Array.from({ length: 30 }, async (_, index) => {
          const [url, headers, status] = kinds[index % kinds.length]!
          expect(await refusal(url, headers)).toEqual({ status, connection: 'close' })
        }),
      )
    }
    await expect.poll(connections).toBe(0)
    await app.close()
  })

  test.each([
    ['a URL that cannot be decoded', '/%zz', 400],
    ['a parameter that is too long', `/rooms/${'x'.repeat(200)}`, 414],
  ])('Fifty upgrades to %s, which no hook sees, leave no socket open, and close() ends', async (_what, url, status) => {
    await open(order, (scope) => {
      scope.get('/rooms/:room', { websocket: true }, (socket) => socket.send('hello'))
    })
    const answers = await Promise.all(Array.from({ length: 50 }, () => rawUpgrade(url)))
    for (const answer of answers) expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*connection: close`, 'i'))
    await expect.poll(connections).toBe(0)
    await app.close()
  })

  test('Listeners of a WebSocket have the context of its upgrade, whatever else is served', async () => {
    await open(order, (scope) => {
      scope.get('/socket', { websocket: true }, (socket) => {
        const answer = async (text: string) => {
          await new Promise(setImmediate)
          const { tenant } = getTenantPool() as unknown as { tenant: string }
          socket.send(`${getCurrentTenant().slug} ${tenant} ${text}`)
        }
        socket.on('message', (text: Buffer) => void answer(text.toString()))
        socket.once('close', () => closed.push(tryGetCurrentTenant()?.slug))
      })
    })
    const closed: (string | undefined)[] = []
    const clients = [acme, globex].map((token) => connect('/socket', bearer(token)))
    await Promise.all(clients.map((client) => once(client, 'open')))
    for (let message = 0; message < 20; message += 1) {
      const answers = clients.map(async (client, index) => {
        const answer = once(client, 'message')
        client.send(`${index}-${message}`)
        return String(((await answer) as [Buffer])[0])
      })
      expect(await Promise.all(answers)).toEqual([`acme acme 0-${message}`, `globex globex 1-${message}`])
    }
    for (const client of clients) client.close()
    await expect.poll(() => new Set(closed)).toEqual(new Set(['acme', 'globex']))
    await expect.poll(connections).toBe(0)
  })
})

test('A successful HTTP response to an upgrade also closes its socket', async () => {
  await open('before @fastify/websocket', (scope) => {
    scope.addHook('preHandler', async (_request, reply) => reply.code(200).send('no sockets here'))
    scope.get('/socket', { websocket: true }, (socket) => socket.send('hello'))
  })
  expect(await refusal('/socket', bearer(acme))).toEqual({ status: 200, connection: 'close' })
  await expect.poll(connections).toBe(0)
})

test('An upgrade that fails before Fastify can answer leaves no socket open', async () => {
  app = Fastify({
    genReqId() {
      throw new Error('no ids today')
    },
  })
  await app.register(websocket)
  await app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  expect(await rawUpgrade('/nothing')).toBe('')
  await expect.poll(connections).toBe(0)
})
