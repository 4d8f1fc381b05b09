import Fastify from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createWebHandler } from '../../src/adapters/web/index.js'
import { type Api, createApi } from '../../src/api/index.js'
import { type ApiApp, createApiApp } from './api-app.js'

let api: ApiApp
let withPage: Api
beforeAll(async () => {
  api = await createApiApp()
  withPage = createApi({ tenancy: api.tenancy, reference: true })
})
afterAll(() => api.close())

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}
type Send = (path: string, init?: RequestInit & { readonly headers?: Record<string, string> }) => Promise<Answer>

/** The page by Fastify and by a web handler, at the root and below a prefix. */
async function everyWay(run: (send: Send, prefix: string) => Promise<void>): Promise<void> {
  for (const prefix of ['', '/some/where']) {
    const handle = createWebHandler({ tenancy: api.tenancy, api: withPage, basePath: prefix })
    await run(async (path, init) => {
      // oxlint-disable-next-line typescript/no-misused-spread -- a plain object
      const answer = await handle(new Request('https://app.example.com/', { ...init }), { target: path })
      return { status: answer.status, headers: answer.headers, text: await answer.text() }
    }, prefix)
    const app = Fastify()
    await app.register(
      async (scope) => {
        await scope.register(tenancyPlugin, { tenancy: api.tenancy, api: withPage })
      },
      { prefix },
    )
    await run(async (path, { method = 'GET', headers = {} } = {}) => {
      const answer = await app.inject({ method: method as 'GET', url: path, headers })
      return {
        status: answer.statusCode,
        headers: new Headers(answer.headers as Record<string, string>),
        text: answer.payload,
      }
    }, prefix)
    await app.close()
  }
}

test('The document is served to anybody, says what is served here, and names its server by where it was read', async () => {
  await everyWay(async (send, prefix) => {
    const { status, headers, text } = await send(`${prefix}/openapi.json`)
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
    const document = JSON.parse(text) as { readonly paths: object; readonly servers: unknown }
    expect(document.servers).toEqual([{ url: '.' }])
    expect(Object.keys(document.paths)).toEqual(Object.keys(withPage.document['paths'] as object))
    // The platform is off here.
    expect(Object.keys(document.paths).filter((path) => path.startsWith('/platform'))).toEqual([])
    expect(document.paths).toHaveProperty('/me')
    const tag = headers.get('etag') ?? ''
    const again = await send(`${prefix}/openapi.json`, { headers: { 'if-none-match': `"other", W/${tag}` } })
    expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', tag])
    const head = await send(`${prefix}/openapi.json`, { method: 'HEAD' })
    expect([head.status, head.text, head.headers.get('etag')]).toEqual([200, '', tag])
    const wrong = await send(`${prefix}/openapi.json`, { method: 'DELETE' })
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
  })
  const platform = createApi({ tenancy: api.tenancy, platform: true, document: '/docs/api.json' })
  const handle = createWebHandler({ tenancy: api.tenancy, api: platform })
  const moved = await handle(new Request('https://app.example.com/docs/api.json'))
  const served = (await moved.json()) as { readonly paths: object; readonly servers: unknown }
  expect(served.servers).toEqual([{ url: '..' }])
  expect(Object.keys(served.paths)).toContain('/platform/summary')
  const wrong = await handle(new Request('https://app.example.com/docs/api.json', { method: 'POST' }))
  expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
})

test('The page loads files of its own alone, by relative addresses, under a policy without inline code or eval', async () => {
  await everyWay(async (send, prefix) => {
    const page = await send(`${prefix}/reference`)
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    const policy = page.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toContain('unsafe')
    expect(policy).not.toContain('http')
    expect(page.text).not.toMatch(/<script>|<style|style=|https?:/)
    const base = new URL(`https://app.example.com${prefix}/reference`)
    const loaded = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address = '']) => new URL(address, base))
    expect(loaded).toHaveLength(3)
    const types: Record<string, string> = { css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8' }
    for (const { pathname } of loaded) {
      const file = await send(pathname)
      expect([file.status, file.headers.get('content-type')], pathname).toEqual([
        200,
        types[pathname.split('.').at(-1) ?? ''],
      ])
      expect(file.headers.get('x-content-type-options')).toBe('nosniff')
    }
    const start = await send(loaded.at(-1)?.pathname ?? '')
    const [, address = ''] = /"url":"([^"]+)"/.exec(start.text) ?? []
    expect((await send(new URL(address, base).pathname)).status).toBe(200)
  })
})

test('Nothing else of the package, and nothing beside it, is served', async () => {
  await everyWay(async (send, prefix) => {
    for (const path of [
      ...['/reference/', '/reference/index.html', '/reference/package.json', '/reference/swagger-ui.js'],
      ...['/reference/../../package.json', '/reference/..%2f..%2fpackage.json', '/reference/%2e%2e/package.json'],
      ...['/reference/swagger-ui-bundle.js/', '//reference', '/reference%00', '/REFERENCE', '/reference/__proto__'],
    ]) {
      const answer = await send(`${prefix}${path}`)
      expect(answer.status, `${prefix}${path}`).toBe(404)
    }
  })
})

test('Without the option there is no page, and the document can be switched off as well', async () => {
  const send = (path: string, served: Api) =>
    createWebHandler({ tenancy: api.tenancy, api: served })(new Request(`https://app.example.com${path}`))
  const plain = createApi({ tenancy: api.tenancy })
  expect((await send('/openapi.json', plain)).status).toBe(200)
  expect((await send('/reference', plain)).status).toBe(404)
  expect((await send('/openapi.json', createApi({ tenancy: api.tenancy, document: false }))).status).toBe(404)
})

test.each([
  [{ reference: '/me/docs' }, '/me/docs is where operations are'],
  [{ reference: '/platform' }, undefined],
  [{ platform: true, reference: '/platform' }, '/platform is where operations are'],
  [{ document: '/tenants' }, '/tenants is where operations are'],
  [{ document: false, reference: true }, 'leave document on'],
  [{ document: '/same', reference: '/same' }, 'two paths'],
  [{ reference: 'docs' }, 'must be a path'],
  [{ reference: '/docs/../me' }, 'must be a path'],
  [{ reference: '/"><script>' }, 'must be a path'],
  [{ document: '/' }, 'must be a path'],
] as const)('%j is %s', (options, message) => {
  const create = () => createApi({ tenancy: api.tenancy, ...options })
  if (message === undefined) expect(create).not.toThrow()
  else expect(create).toThrow(message)
})

test('A missing package is named when the API is made', async () => {
  const { createReferencePage } = await import('../../src/api/reference/reference-page.js')
  const paths = { page: '/reference', document: '/openapi.json' }
  expect(() =>
    createReferencePage(paths, () => {
      throw new Error("Cannot find module 'swagger-ui-dist/swagger-ui.css'")
    }),
  ).toThrow('npm install swagger-ui-dist@5')
})
