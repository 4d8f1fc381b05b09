import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWebHandler } from '../../src/adapters/web/index.js'
import { type ApiApp, createApiApp } from './api-app.js'

// The API on Fastify makes no Request and no Response; elsewhere it is given and gives them. Both answer the same bytes on a socket.

/** `npm run soak -- api` sends more. */
const requests = Number(process.env['T2F_API_REQUESTS'] ?? 400)

let api: ApiApp
let web: Server
let ports: readonly [fastify: number, web: number]

beforeAll(async () => {
  api = await createApiApp()
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  const handle = createWebHandler(api)
  web = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const headers = new Headers()
      for (const [name, value] of Object.entries(request.headers)) {
        for (const item of [value ?? []].flat()) headers.append(name, item)
      }
      const { method = 'GET', url: target = '/' } = request
      const body = method === 'GET' || method === 'HEAD' || chunks.length === 0 ? null : Buffer.concat(chunks)
      const answer = await handle(new Request(new URL('http://localhost/'), { method, headers, body }), {
        ...{ target, requestId: 'req', remoteAddress: request.socket.remoteAddress },
      })
      const content = Buffer.from(await answer.arrayBuffer())
      const length = content.length === 0 ? {} : { 'content-length': content.length }
      response.writeHead(answer.status, { ...Object.fromEntries(answer.headers), ...length })
      response.end(content)
    })().catch((error: unknown) => {
      response.writeHead(599).end(String(error))
    })
  })
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
  ports = [portOf(api.app.server), portOf(web)]
})
afterAll(async () => {
  await new Promise((resolve) => web.close(resolve))
  await api.close()
})
const portOf = (server: FastifyInstance['server'] | Server) => (server.address() as AddressInfo).port

function exchange(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')))
    socket.on('error', reject)
    socket.write(bytes)
  })
}

interface Shown {
  readonly status: number
  readonly headers: readonly string[]
  readonly body: string
}

/** What an answer says. How its end is marked is Node's, and counts go up with each. */
function shown(text: string): Shown {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [status = '', ...lines] = head.split('\r\n')
  const headers = lines
    .map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase()))
    .filter((line) => !/^(date|connection|transfer-encoding|content-length|ratelimit):/.test(line))
    .toSorted()
  const body = rest.join('\r\n\r\n')
  const isChunked = lines.some((line) => /^transfer-encoding: *chunked$/i.test(line))
  return { status: Number(status.split(' ')[1]), headers, body: isChunked ? joined(body) : body }
}

function joined(chunks: string): string {
  const size = Number.parseInt(chunks, 16)
  if (size === 0 || Number.isNaN(size)) return ''
  const start = chunks.indexOf('\r\n') + 2
  return chunks.slice(start, start + size) + joined(chunks.slice(start + size + 2))
}

/** Fastify reads a body before anybody is asked who sends it, and refuses two kinds by itself. */
const isBodyRefused = ({ status }: Shown) => status === 413 || status === 415

interface Parts {
  readonly method: string
  readonly target: string
  readonly lines: readonly string[]
  readonly body: Buffer | undefined
  readonly isChunked: boolean
}

function write({ method, target, lines, body, isChunked }: Parts): Buffer {
  const framing =
    body === undefined ? [] : [isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`]
  const head = [`${method} ${target} HTTP/1.1`, 'Host: localhost', 'Connection: close', ...lines, ...framing, '', '']
  const chunks = (content: Buffer) => [
    ...(content.length === 0 ? [] : [Buffer.from(`${content.length.toString(16)}\r\n`), content, Buffer.from('\r\n')]),
    Buffer.from('0\r\n\r\n'),
  ]
  return Buffer.concat([
    Buffer.from(head.join('\r\n'), 'latin1'),
    ...(body === undefined ? [] : isChunked ? chunks(body) : [body]),
  ])
}

test(
  `${requests} requests on a socket get the same answer from Fastify and from a server of Requests`,
  { timeout: Math.max(120_000, requests * 100) },
  async () => {
    const owner = await api.createUser()
    const tenant = await api.createTenant(owner)
    const foreign = await api.createTenant(await api.createUser())
    const account = { tenant: tenant.id, actor: owner.id, name: 'Program' }
    const { id: serviceAccount } = await api.tenancy.createServiceAccount(account)
    const permissions = ['tenant:read', 'roles:read']
    const { key } = await api.tenancy.createApiKey({ ...account, serviceAccount, permissions })
    const member = await api.join(tenant, ['Member'])
    const suspended = await api.createTenant(owner)
    await api.tenancy.suspendTenant({ tenant: suspended.id })

    const path = fc.constantFrom(
      ...[
        '/me',
        '/me/permissions',
        '/me/tenants',
        '/me/',
        '/me//',
        '/me/../me',
        '/me/./permissions',
        '/me/permissions%2f',
      ],
      ...['/me/permissions;a', '/tenants', '/tenants/', '/tenants/x/y/z', '/tenants/%ff', '/tenants/%2e%2e/me'],
      ...[
        '/platform/summary',
        `/tenants/${'a'.repeat(300)}`,
        '/me/\\permissions',
        '/tenants/..%2fme',
        '/me/permissions?',
      ],
      ...[
        tenant.id,
        tenant.slug,
        foreign.id,
        suspended.id,
        tenant.id.toUpperCase(),
        `%${tenant.id}`,
        `${tenant.id}%00`,
      ].map((name) => `/tenants/${name}`),
      ...[
        'roles',
        '/roles',
        `members/${owner.id}`,
        `members/${owner.id}/..`,
        'audit/export',
        'settings',
        'domains',
      ].map((below) => `/tenants/${tenant.id}/${below}`),
    )
    const query = fc.constantFrom(
      ...[
        '',
        '',
        '',
        '?',
        '?limit=1',
        '?limit=1&limit=2',
        '?limit=%',
        '?a=%ff',
        '?__proto__=1',
        '?limit=1#x',
        '??',
        '?&&',
      ],
    )
    const method = fc.constantFrom('GET', 'GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE')
    const identity = fc.constantFrom(
      ...[owner, member].map(({ token }) => `Authorization: Bearer ${token}`),
      ...[
        `Authorization: Bearer ${key}`,
        `authorization:bearer ${owner.token}  `,
        `Authorization: Bearer ${owner.token}\xe4`,
      ],
      ...['Authorization: Bearer x', 'Authorization:', 'X-None: 1'],
    )
    const header = fc.constantFrom(
      ...[tenant.id, tenant.slug, foreign.id, suspended.slug, '', '\xe4', '\xa0', `${tenant.id}, ${tenant.id}`].map(
        (name) => `X-Tenant-Id: ${name}`,
      ),
      ...[`X-Tenant-Id:\t${tenant.id}\t`, `Authorization: Bearer ${owner.token}`, 'If-Match: *', 'If-Match: "x"'],
      ...['If-Match: "x", "y"', 'If-Match: W/"x"', 'If-None-Match: *', 'Idempotency-Key: ', 'Idempotency-Key: \xe4'],
      ...[
        'Content-Encoding: gzip',
        'Content-Encoding: identity',
        'Range: bytes=0-1',
        'If-Range: x',
        'Accept: text/html',
      ],
      ...[
        'X-Forwarded-For: 1.2.3.4',
        'X-HTTP-Method-Override: DELETE',
        '__proto__: x',
        'constructor: x',
        'X-Foo: \x80',
      ],
    )
    const type = fc.constantFrom(
      ...['application/json', 'application/json', 'application/json; charset=latin1', 'text/plain', '', '\xe4'],
    )
    const body = fc.option(
      fc.constantFrom(
        ...[
          '',
          '{}',
          '{"name":"Same"}',
          '{"name":"Same","name":"Other"}',
          '[]',
          'null',
          '{"__proto__":{}}',
          '{"name":1}',
        ],
        ...['{"n":"\\ud800"}', '\ufeff{}', '{"name":"a"', `{"name":"${'a'.repeat(70_000)}"}`],
      ),
    )
    const draw = { method, path, query, identity, headers: fc.array(header, { maxLength: 3 }), type, body }
    const statuses = new Map<number, number>()
    const property = fc.asyncProperty(fc.record({ ...draw, isChunked: fc.boolean() }), async (drawn) => {
      const { body: text, isChunked } = drawn
      // The second one would find what is deleted.
      fc.pre(drawn.method !== 'DELETE' || drawn.path.startsWith('/me'))
      const parts = {
        ...{ method: drawn.method, target: `${drawn.path}${drawn.query}`, isChunked },
        lines: [drawn.identity, ...drawn.headers, ...(text === null ? [] : [`Content-Type: ${drawn.type}`])],
        body: text === null ? undefined : Buffer.from(text),
      }
      // One after the other: both may change the tenant's name, the second one to what it is.
      const fastify = shown(await exchange(ports[0], write(parts)))
      const other = shown(await exchange(ports[1], write(parts)))
      statuses.set(fastify.status, (statuses.get(fastify.status) ?? 0) + 1)
      if (isBodyRefused(fastify)) expect(other.status).toBeGreaterThanOrEqual(400)
      else expect(other).toEqual(fastify)
    })
    await fc.assert(property, { numRuns: requests })
    // They reach the operations: not all are refused at the door.
    for (const status of [200, 400, 401, 403, 404, 405]) expect([...statuses.keys()]).toContain(status)
  },
)
