import { DrizzleQueryError } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { TenancyError } from '../../../src/core/errors/errors.js'
import type { FrameworkDriver, LogLine, RouteSpec, ServedApplication } from './driver.js'
import { send } from './send.js'
import { createWorld, type World } from './world.js'

const problemJson = 'application/problem+json; charset=utf-8'
const sql = 'insert into vault values ($1)'

/** Errors of the application and of this package, with the adapter's error handler and with the application's own. */
export function describeErrors(driver: FrameworkDriver): void {
  describe(`${driver.name}: errors`, () => {
    let world: World
    let app: ServedApplication
    let own: ServedApplication
    let lines: LogLine[] = []
    let seen: unknown[] = []
    const refuses = () => {
      throw new Error(sql)
    }
    const failing = (url: string, make: () => unknown): RouteSpec => ({
      url,
      handler: () => Promise.reject(make()),
    })
    const unknown: Readonly<Record<string, () => unknown>> = {
      'an error of the application': () => new Error(sql),
      'a query of an ORM that failed': () => new DrizzleQueryError(sql, ['p'], new Error('duplicate key (vault)')),
      'a text': () => sql,
      'an object': () => ({ vault: sql }),
      'nothing (undefined)': () => undefined,
      'an error that holds itself': () => {
        const error = new AggregateError([], sql)
        error.errors.push(error)
        return error
      },
      'an error whose message throws': () => Object.defineProperty(new Error(sql), 'message', { get: refuses }),
      'a frozen error': () => Object.freeze(new Error(sql)),
    }

    beforeAll(async () => {
      world = await createWorld()
      const routes: RouteSpec[] = [
        ...Object.values(unknown).map((make, index) => failing(`/unknown/${index}`, make)),
        failing('/ours', () => new TenancyError('TENANCY_CONNECTION_TIMEOUT', 'tenant acme on 10.0.0.7')),
        failing('/wrapped', () => new DrizzleQueryError(sql, [], new TenancyError('TENANCY_CONNECTION_TIMEOUT'))),
        failing('/teapot', () => Object.assign(new Error('no tea'), { statusCode: 418 })),
        failing('/gateway', () => Object.assign(new Error(sql), { statusCode: 502, code: '23505' })),
        failing('/slow-down', () =>
          Object.assign(new Error('slow down'), {
            statusCode: 429,
            headers: { 'Retry-After': '9', 'Content-Type': 'text/html', 'Set-Cookie': 'a=1' },
          }),
        ),
        failing('/mine', () => new Error('mine')),
        failing('/public-fails', () => new Error(sql)),
        { url: '/guarded', guards: [{ role: 'Owner' }], handler: () => 'ok' },
        { url: '/fine', handler: () => 'ok' },
      ]
      app = await driver.serve({ tenancy: world.tenancy, routes, log: (line) => void lines.push(line) })
      own = await driver.serve({
        tenancy: world.tenancy,
        routes,
        log: (line) => void lines.push(line),
        onError(error) {
          seen.push((error as { readonly code?: unknown } | undefined)?.code)
          return error instanceof Error && error.message === 'mine' ? { status: 409, text: 'Out of stock' } : undefined
        },
      })
    })
    beforeEach(() => {
      lines = []
      seen = []
    })
    afterAll(async () => {
      await app.close()
      await own.close()
      await world.close()
    })
    const get = (url: string, token: string | undefined = world.owner) => send(app, `GET ${url}`, { token })

    test.each(Object.keys(unknown).map((name, index) => [name, index] as const))(
      'A handler that throws %s is answered 500 with a title and the request’s id, and nothing of the error',
      async (_name, index) => {
        const answer = await get(`/unknown/${index}`)
        expect([answer.status, answer.headers['content-type']]).toEqual([500, problemJson])
        expect(answer.json).toEqual({
          type: 'about:blank',
          title: 'Internal Server Error',
          status: 500,
          requestId: expect.any(String) as string,
        })
      },
    )

    test('A server error is logged once, in full, under the id of its answer', async () => {
      const { json } = await get('/unknown/0')
      const about = lines.filter(({ text }) => text.includes('vault'))
      expect(about.map(({ level, requestId }) => [level, requestId])).toEqual([['error', json.requestId]])
    })

    test('The log line of an error names the tenant and the user', async () => {
      await get('/unknown/0')
      const [line] = lines.filter(({ text }) => text.includes('vault'))
      expect([line?.tenantId, line?.userId]).toEqual([world.ids.acme, world.ids.owner])
    })

    test('A refusal is logged at no level above debug', async () => {
      await get('/fine', 'rubbish')
      await send(app, 'GET /fine')
      expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
    })

    test('No line of the log has a token in it', async () => {
      for (const url of ['/fine', '/unknown/0', '/teapot']) await get(url)
      await get('/fine', 'rubbish-token')
      expect(lines.filter(({ text }) => text.includes(world.owner) || text.includes('Bearer'))).toEqual([])
    })

    test('An error of ours has its status, code and Retry-After, and the message of a server error stays inside', async () => {
      const answer = await get('/ours')
      expect([answer.status, answer.code, answer.headers['retry-after'], answer.headers['cache-control']]).toEqual([
        ...[503, 'TENANCY_CONNECTION_TIMEOUT', '1', 'no-store'],
      ])
      expect(answer.text).not.toContain('10.0.0.7')
    })

    test('An error of ours that an ORM wrapped is answered as it is', async () => {
      const answer = await get('/wrapped')
      expect([answer.status, answer.code]).toEqual([503, 'TENANCY_CONNECTION_TIMEOUT'])
      expect(answer.text).not.toContain('vault')
    })

    test('An error of the application with a status of the client shows its message', async () => {
      const answer = await get('/teapot')
      expect([answer.status, answer.headers['content-type'], answer.json]).toEqual([
        ...[418, problemJson],
        {
          type: 'about:blank',
          status: 418,
          title: "I'm a Teapot",
          detail: 'no tea',
          requestId: expect.any(String) as string,
        },
      ])
    })

    test('An error of the application with a status of the server shows nothing', async () => {
      const answer = await get('/gateway')
      expect([answer.status, Object.keys(answer.json).toSorted()]).toEqual([
        ...[502, ['requestId', 'status', 'title', 'type']],
      ])
    })

    test('Of an error’s headers, those about the next request are sent, and no others', async () => {
      const answer = await get('/slow-down')
      expect([answer.status, answer.headers['retry-after'], answer.headers['content-type']]).toEqual([
        ...[429, '9', problemJson],
      ])
      expect(answer.headers['set-cookie']).toBeUndefined()
    })

    test('HEAD of a route that fails has no body', async () => {
      const answer = await send(app, 'HEAD /unknown/0', { token: world.owner })
      expect([answer.status, answer.text]).toEqual([500, ''])
    })

    test('The application’s error handler is given its own errors', async () => {
      const answer = await send(own, 'GET /mine', { token: world.owner })
      expect([answer.status, answer.text]).toEqual([409, 'Out of stock'])
    })

    test('The application’s error handler is given refusals of the adapter and of guards', async () => {
      await send(own, 'GET /fine')
      await send(own, 'GET /fine', { token: world.owner, headers: { 'x-tenant-id': 'globex' } })
      await send(own, 'GET /guarded', { token: world.member })
      expect(seen).toEqual(['TENANCY_AUTH_REQUIRED', 'TENANCY_TENANT_FORBIDDEN', 'TENANCY_ACCESS_DENIED'])
    })

    test('What the application’s error handler passes on is answered with a problem document', async () => {
      const answer = await send(own, 'GET /unknown/0', { token: world.owner })
      expect([answer.status, answer.headers['content-type']]).toEqual([500, problemJson])
      expect(answer.text).not.toContain('vault')
    })

    test('Each request has an id of its own', async () => {
      const ids = await Promise.all(
        Array.from({ length: 20 }, async () => (await send(app, 'GET /fine')).json.requestId),
      )
      expect(new Set(ids).size).toBe(20)
    })

    test('After errors the application serves on', async () => {
      await get('/unknown/0')
      await get('/ours')
      expect((await get('/fine')).text).toBe('ok')
    })
  })
}
