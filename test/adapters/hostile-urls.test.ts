import { connect, type AddressInfo } from 'node:net'
import * as fc from 'fast-check'
import type { FastifyInstance, FastifyReply, FastifyServerOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requirePermission } from '../../src/adapters/fastify/index.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { createApp } from './fastify-app.js'

// Requests are written to the socket directly, without a client that cleans them up. A reader may read a report, an exporter may
// export all of them. No spelling may let either do what only the other may.

let path: RequestPath
const tokens: Record<'reader' | 'exporter' | 'stranger', string> = { reader: '', exporter: '', stranger: '' }

beforeAll(async () => {
  path = await createRequestPath()
  const { pool } = path.catalog
  await pool.query(`insert into permissions (name) values ('files:read'), ('files:export')`)
  for (const [method, template, permission] of [
    ['GET', '/files/{id}', 'files:read'],
    ['GET', '/files/export', 'files:export'],
    ['DELETE', '/files/{id}', 'files:export'],
  ]) {
    await pool.query(
      'insert into route_rules (method, path, permission_id) select $1, $2, id from permissions where name = $3',
      [method, template, permission],
    )
  }
  await path.rules.refresh()
  const tenant = await path.addTenant('acme')
  for (const [who, permission] of [
    ['reader', 'files:read'],
    ['exporter', 'files:export'],
    ['stranger', null],
  ] as const) {
    const user = await path.addUser()
    await path.addMember(user, tenant)
    await pool.query(
      `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect)
       select $1, $2, id, 'allow' from permissions where name = $3`,
      [user, tenant, permission],
    )
    tokens[who] = path.tokenFor(user)
  }
  await path.heard()
})
afterAll(() => path.close())

/** The handler that ran: `one`, `export` or `delete`; or the status of the answer. */
async function send(app: FastifyInstance, who: keyof typeof tokens, method: string, url: string): Promise<string> {
  const { port } = app.server.address() as AddressInfo
  const text = await new Promise<string>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('end', () => resolve(Buffer.concat(chunks).toString()))
    socket.on('error', reject)
    socket.write(
      `${method} ${url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tokens[who]}\r\nConnection: close\r\n\r\n`,
      'latin1',
    )
  })
  const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? `no answer: ${text}`
  return status === '200' ? (/^x-ran: (.*)\r$/m.exec(text)?.[1] ?? 'something else') : status
}

async function open(options: FastifyServerOptions): Promise<FastifyInstance> {
  const app = await createApp(path, {}, options)
  const run = (name: string) => (_request: unknown, reply: FastifyReply) => reply.header('x-ran', name).send('')
  app.get('/files/:id', { preHandler: requirePermission() }, run('one'))
  app.get('/files/export', { preHandler: requirePermission() }, run('export'))
  app.delete('/files/:id', { preHandler: requirePermission() }, run('delete'))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

const spellings = [
  '/files/export',
  '/files/export/',
  '/files/export?',
  '/files/export?x=/files/1',
  '/files/export#x',
  '/files/export;x',
  '/files/%65xport',
  '/files/%2565xport',
  '/files/EXPORT',
  '/FILES/export',
  '//files/export',
  '/files//export',
  '/files/./export',
  '/files/../files/export',
  '/files/1/../export',
  '/files/%2e/export',
  '/files/%2e%2e/files/export',
  '/files%2fexport',
  '/files%2Fexport',
  '/files/1%2f..%2fexport',
  '/files/..%2fexport',
  '/files\\export',
  '/files/export%00',
  '/files/export%0d%0a',
  '/files/export%20',
  '/files/%c0%aeexport',
  '/files/%ef%bc%a5xport',
  '/files/\u00e9xport',
  '/files/export\u00a0',
  '/files/%',
  '/files/%zz',
  '/./files/export',
  'http://x/files/export',
  'http://evil.example/files/export',
  '*',
  'files/export',
  `/files/${'a'.repeat(3000)}`,
  `/files/${'../'.repeat(200)}files/export`,
  '/files/1',
  '/files/__proto__',
  '/files/{id}',
  '/files/:id',
]

describe.each<readonly [string, FastifyServerOptions]>([
  ['with its defaults', {}],
  [
    'with every leniency switched on',
    {
      routerOptions: {
        caseSensitive: false,
        ignoreTrailingSlash: true,
        ignoreDuplicateSlashes: true,
      },
    },
  ],
])('Fastify %s', (_name, options) => {
  let app: FastifyInstance
  beforeAll(async () => {
    app = await open(options)
  })
  afterAll(() => app.close())

  /** The answers to all three callers, if one of them got an answer that it must not get. */
  async function mistakes(method: string, url: string): Promise<object[]> {
    const [reader, exporter, stranger] = [
      await send(app, 'reader', method, url),
      await send(app, 'exporter', method, url),
      await send(app, 'stranger', method, url),
    ]
    const isRight =
      /^(one|[34]\d\d)$/.test(reader) &&
      /^(export|delete|[34]\d\d)$/.test(exporter) &&
      /^[34]\d\d$/.test(stranger) &&
      // If one caller is let in, the other is refused, as both reached the same route.
      (reader !== 'one' || exporter === '403') &&
      (exporter !== 'export' || reader === '403')
    return isRight ? [] : [{ method, url, reader, exporter, stranger }]
  }

  test('Fastify and the access rules agree which of two similar routes a request is for', async () => {
    expect(await send(app, 'reader', 'GET', '/files/7')).toBe('one')
    expect(await send(app, 'exporter', 'GET', '/files/export')).toBe('export')
    expect(await send(app, 'exporter', 'DELETE', '/files/export')).toBe('delete')
    expect(await send(app, 'reader', 'DELETE', '/files/7')).toBe('403')
  })

  test.each(['GET', 'HEAD', 'DELETE', 'POST', 'get', 'GET\t', 'TRACE', 'OPTIONS'])(
    'No spelling of a path opens a route that its rule closes, with method %j',
    async (method) => {
      for (const url of spellings) expect(await mistakes(method, url)).toEqual([])
    },
  )

  test('No random spelling of a path opens a route that its rule closes', async () => {
    const part = fc.constantFrom(
      '/',
      '//',
      'files',
      'export',
      'EXPORT',
      '.',
      '..',
      '%2f',
      '%2e',
      '%00',
      '%65',
      ';',
      '?',
      '#',
      '\\',
      '1',
      '\u00ff',
      '%',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
        expect(await mistakes('GET', `/files/${parts.join('')}`)).toEqual([])
      }),
      { numRuns: 300 },
    )
  })
})
