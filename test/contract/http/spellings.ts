import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FrameworkDriver, ServedApplication } from './driver.js'
import { sendRaw } from './send.js'
import { createWorld, type World } from './world.js'

// A reader may read a file, an exporter may export all of them. No spelling may let either do what only the other may.

type Who = 'reader' | 'exporter' | 'stranger'

const spellings = [
  ...['/files/export', '/files/export/', '/files/export?', '/files/export?x=/files/1', '/files/export#x'],
  ...['/files/export;x', '/files/%65xport', '/files/%2565xport', '/files/EXPORT', '/FILES/export', '//files/export'],
  ...['/files//export', '/files/./export', '/files/../files/export', '/files/1/../export', '/files/%2e/export'],
  ...[
    '/files/%2e%2e/files/export',
    '/files%2fexport',
    '/files%2Fexport',
    '/files/1%2f..%2fexport',
    '/files/..%2fexport',
  ],
  ...['/files\\export', '/files/export%00', '/files/export%0d%0a', '/files/export%20', '/files/%c0%aeexport'],
  ...[
    '/files/%ef%bc%a5xport',
    '/files/\u00e9xport',
    '/files/export\u00a0',
    '/files/%',
    '/files/%zz',
    '/./files/export',
  ],
  ...['http://x/files/export', 'http://evil.example/files/export', '*', 'files/export', `/files/${'a'.repeat(3000)}`],
  ...[`/files/${'../'.repeat(200)}files/export`, '/files/1', '/files/__proto__', '/files/{id}', '/files/:id'],
]

/** No spelling of an address opens a route that its rule closes. */
export function describeSpellings(driver: FrameworkDriver): void {
  describe(`${driver.name}: spellings of an address`, () => {
    let world: World
    let app: ServedApplication
    const tokens: Record<Who, string> = { reader: '', exporter: '', stranger: '' }

    beforeAll(async () => {
      world = await createWorld()
      const { pool } = world.path.catalog
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
      await world.path.rules.refresh()
      for (const [who, permission] of [
        ['reader', 'files:read'],
        ['exporter', 'files:export'],
        ['stranger', null],
      ] as const) {
        const user = await world.path.addUser()
        await world.path.addMember(user, world.ids.acme)
        await pool.query(
          `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect)
           select $1, $2, id, 'allow' from permissions where name = $3`,
          [user, world.ids.acme, permission],
        )
        tokens[who] = world.path.tokenFor(user)
      }
      await world.path.heard()
      const guards = [{ permission: [] }] as const
      app = await driver.serve({
        tenancy: world.tenancy,
        routes: [
          { url: '/files/export', guards, handler: () => 'ran export' },
          { url: '/files/:id', guards, handler: () => 'ran one' },
          { url: '/files/:id', methods: ['DELETE'], guards, handler: () => 'ran delete' },
        ],
      })
    })
    afterAll(async () => {
      await app.close()
      await world.close()
    })

    /** The handler that ran, or the status of the answer. */
    async function send(who: Who, method: string, url: string): Promise<string> {
      const text = await sendRaw(
        app,
        `${method} ${url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tokens[who]}\r\nConnection: close\r\n\r\n`,
      )
      const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? `no answer: ${text}`
      if (status !== '200') return status
      return /ran (\w+)/.exec(text)?.[1] ?? (method === 'HEAD' ? 'head' : `something else: ${text}`)
    }

    /** The answers to all three callers, if one of them got an answer that it must not get. */
    async function mistakes(method: string, url: string): Promise<object[]> {
      const [reader, exporter, stranger] = [
        await send('reader', method, url),
        await send('exporter', method, url),
        await send('stranger', method, url),
      ]
      const isRight =
        /^(one|head|[34]\d\d)$/.test(reader) &&
        /^(export|delete|head|[34]\d\d)$/.test(exporter) &&
        /^[34]\d\d$/.test(stranger) &&
        // If one caller is let in, the other is refused, as both reached the same route.
        (/^\d/.test(reader) || exporter === '403') &&
        (/^\d/.test(exporter) || reader === '403')
      return isRight ? [] : [{ method, url, reader, exporter, stranger }]
    }

    test('The router and the access rules agree which of two similar routes a request is for', async () => {
      expect(await send('reader', 'GET', '/files/7')).toBe('one')
      expect(await send('exporter', 'GET', '/files/export')).toBe('export')
      expect(await send('exporter', 'DELETE', '/files/export')).toBe('delete')
      expect(await send('reader', 'DELETE', '/files/7')).toBe('403')
    })

    test.each(['GET', 'HEAD', 'DELETE', 'POST', 'get', 'TRACE', 'OPTIONS'])(
      'No spelling of a path opens a route that its rule closes, with method %s',
      async (method) => {
        for (const url of spellings) expect(await mistakes(method, url)).toEqual([])
      },
    )

    test('No random spelling of a path opens a route that its rule closes', async () => {
      const part = fc.constantFrom(
        ...['/', '//', 'files', 'export', 'EXPORT', '.', '..', '%2f', '%2e', '%00', '%65', ';', '?', '#', '\\', '1'],
        ...['\u00ff', '%'],
      )
      await fc.assert(
        fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
          expect(await mistakes('GET', `/files/${parts.join('')}`)).toEqual([])
        }),
        { numRuns: 200 },
      )
    })
  })
}
