import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FrameworkDriver, RouteSpec, ServedApplication } from './driver.js'
import { send } from './send.js'
import { createWorld, type World } from './world.js'

const origin = 'https://app.example.com'
const preflight = { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' }

/** Answers to browsers of another origin. */
export function describeHeaders(driver: FrameworkDriver): void {
  describe(`${driver.name}: preflights and headers`, () => {
    let world: World
    let open: ServedApplication
    let closed: ServedApplication
    let ran = 0

    beforeAll(async () => {
      world = await createWorld()
      const handler = () => {
        ran += 1
        return 'ok'
      }
      const routes: RouteSpec[] = [
        { url: '/x', handler },
        { url: '/options', methods: ['GET', 'OPTIONS'], handler },
        { url: '/public', needs: 'none', handler },
      ]
      open = await driver.serve({ tenancy: world.tenancy, routes, corsOrigin: origin })
      closed = await driver.serve({ tenancy: world.tenancy, routes })
    })
    afterAll(async () => {
      await open.close()
      await closed.close()
      await world.close()
    })

    test('A preflight is answered by the CORS middleware before the adapter, without credentials', async () => {
      ran = 0
      const answer = await send(open, 'OPTIONS /x', { headers: preflight })
      expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([204, origin])
      expect(ran).toBe(0)
    })

    test('A refusal has the headers that let a page of that origin read it', async () => {
      const answer = await send(open, 'GET /x', { headers: { origin } })
      expect([answer.status, answer.code, answer.headers['access-control-allow-origin']]).toEqual([
        ...[401, 'TENANCY_AUTH_REQUIRED', origin],
      ])
    })

    test('Without CORS middleware, a preflight says nothing of other origins and reaches no handler', async () => {
      ran = 0
      for (const url of ['/x', '/options']) {
        const answer = await send(closed, `OPTIONS ${url}`, { headers: preflight })
        expect([url, answer.status >= 400 && answer.status < 500]).toEqual([url, true])
        expect(answer.headers['access-control-allow-origin']).toBeUndefined()
      }
      expect(ran).toBe(0)
    })

    test('A preflight of a route that takes OPTIONS is refused as any request without a token', async () => {
      const answer = await send(closed, 'OPTIONS /options', { headers: preflight })
      expect([answer.status, answer.code]).toEqual([401, 'TENANCY_AUTH_REQUIRED'])
    })

    test('An OPTIONS request with a token is an ordinary request', async () => {
      const answer = await send(closed, 'OPTIONS /options', { token: world.owner, headers: preflight })
      expect([answer.status, answer.text]).toEqual([200, 'ok'])
    })

    test('An OPTIONS request that is no preflight is an ordinary request', async () => {
      expect((await send(closed, 'OPTIONS /options')).status).toBe(401)
    })

    test('The public keys are served to anybody, and by GET alone', async () => {
      const answer = await send(closed, 'GET /.well-known/jwks.json')
      expect([answer.status, answer.json]).toEqual([200, { keys: [] }])
      expect((await send(closed, 'POST /.well-known/jwks.json', { token: world.owner })).status).toBe(404)
    })

    test('The answer of a public route has no header of ours', async () => {
      const { headers } = await send(closed, 'GET /public')
      expect([headers['www-authenticate'], headers['set-cookie'], headers['x-powered-by']]).toEqual([
        ...[undefined, undefined, undefined],
      ])
    })
  })
}
