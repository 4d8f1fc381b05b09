import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FrameworkDriver, ServedApplication } from './driver.js'
import { send, sendRaw } from './send.js'
import { createWorld, type World } from './world.js'

const problemJson = 'application/problem+json; charset=utf-8'

/** Who is refused, and how. */
export function describeRefusals(driver: FrameworkDriver): void {
  describe(`${driver.name}: who is refused`, () => {
    let world: World
    let app: ServedApplication
    let ran: string[] = []
    const slugOf = (name: string) => (call: { readonly tenant: { readonly slug: string } | undefined }) => {
      ran.push(name)
      return call.tenant?.slug ?? 'nobody'
    }

    beforeAll(async () => {
      world = await createWorld({ baseDomain: 'app.test' })
      app = await driver.serve({
        tenancy: world.tenancy,
        routes: [
          { url: '/default', handler: slugOf('default') },
          { url: '/user', needs: 'user', handler: ({ user, tenant }) => `${user?.email} ${tenant?.slug}` },
          { url: '/public', needs: 'none', handler: slugOf('public') },
          { url: '/change', methods: ['POST'], handler: slugOf('change') },
          { url: '/items/:id', handler: ({ param, tenant }) => `${param('id')} ${tenant?.slug}` },
          { url: '/tenants/:tenant/name', handler: slugOf('path') },
        ],
        scopes: [{ prefix: '/api', routes: [{ url: '/tenants/:tenant/name', handler: slugOf('path') }] }],
      })
    })
    afterAll(async () => {
      await app.close()
      await world.close()
    })
    const ask = (target: string, token?: string, headers: Record<string, string> = {}) =>
      send(app, target, { token, headers })
    const refusal = async (...args: Parameters<typeof ask>) => {
      const { status, code } = await ask(...args)
      return [status, code]
    }

    test('Without a token, a route that says nothing is answered 401 with the challenge Bearer', async () => {
      const answer = await ask('GET /default')
      expect([answer.status, answer.code, answer.headers['www-authenticate']]).toEqual([
        ...[401, 'TENANCY_AUTH_REQUIRED', 'Bearer'],
      ])
    })

    test('A refusal is a problem document that no cache may keep, with an id of the request', async () => {
      const answer = await ask('GET /default')
      expect([answer.headers['content-type'], answer.headers['cache-control']]).toEqual([problemJson, 'no-store'])
      expect(answer.json).toEqual({
        type: 'urn:tenants2fast:error:TENANCY_AUTH_REQUIRED',
        title: 'Authentication required',
        status: 401,
        code: 'TENANCY_AUTH_REQUIRED',
        requestId: expect.stringMatching(/^[\w.:@/+=-]{1,128}$/) as string,
      })
    })

    test('A bad token is answered 401 with the challenge invalid_token', async () => {
      const answer = await ask('GET /default', 'rubbish')
      expect([answer.status, answer.code, answer.headers['www-authenticate']]).toEqual([
        ...[401, 'TENANCY_AUTH_TOKEN_INVALID', 'Bearer error="invalid_token"'],
      ])
    })

    test('Credentials of another scheme are none', async () => {
      const answer = await ask('GET /default', undefined, { authorization: 'Basic YTpi' })
      expect([answer.status, answer.code]).toEqual([401, 'TENANCY_AUTH_REQUIRED'])
    })

    test('The scheme of the token may be in any case', async () => {
      const answer = await ask('GET /default', undefined, { authorization: `bEARER ${world.owner}` })
      expect([answer.status, answer.text]).toEqual([200, 'acme'])
    })

    test('The handler of a refused request does not run', async () => {
      ran = []
      await ask('GET /default')
      await ask('GET /default', 'rubbish')
      await ask('GET /default', world.owner, { 'x-tenant-id': 'globex' })
      expect(ran).toEqual([])
    })

    test('A member of one tenant gets it without naming it', async () => {
      expect((await ask('GET /default', world.member)).text).toBe('acme')
    })

    test('A user in no tenant is answered 403 where a tenant is needed', async () => {
      expect(await refusal('GET /default', world.nobody)).toEqual([403, 'TENANCY_TENANT_NONE'])
    })

    test('A tenant that the user is not in is answered as one that does not exist, byte by byte but for the id', async () => {
      const [other, missing] = [
        await ask('GET /default', world.owner, { 'x-tenant-id': 'globex' }),
        await ask('GET /default', world.owner, { 'x-tenant-id': 'no-such-tenant' }),
      ]
      const plain = ({ json }: typeof other) => ({ ...json, requestId: undefined })
      expect([other.status, other.code]).toEqual([403, 'TENANCY_TENANT_FORBIDDEN'])
      expect([missing.status, plain(missing)]).toEqual([other.status, plain(other)])
    })

    test('The header X-Tenant-Id names one of several tenants', async () => {
      for (const slug of ['acme', 'globex']) {
        expect((await ask('GET /default', world.both, { 'x-tenant-id': slug })).text).toBe(slug)
      }
    })

    test('A user in several tenants who names none is asked for one', async () => {
      expect(await refusal('GET /default', world.both)).toEqual([403, 'TENANCY_TENANT_REQUIRED'])
    })

    test('A suspended tenant is answered 403, and says so to its members', async () => {
      expect(await refusal('GET /default', world.both, { 'x-tenant-id': 'asleep' })).toEqual([
        ...[403, 'TENANCY_TENANT_SUSPENDED'],
      ])
    })

    test('A deleted tenant is refused', async () => {
      const answer = await ask('GET /default', world.both, { 'x-tenant-id': 'gone' })
      expect([answer.status >= 400 && answer.status < 500, answer.code]).toEqual([
        true,
        expect.stringMatching(/^TENANCY_TENANT_/),
      ])
    })

    test('A route for users serves a user in no tenant, and has none', async () => {
      expect((await ask('GET /user', world.nobody)).text).toBe('nobody@example.com undefined')
      expect((await ask('GET /user', world.owner, { 'x-tenant-id': 'acme' })).text).toBe('owner@example.com undefined')
      expect(await refusal('GET /user')).toEqual([401, 'TENANCY_AUTH_REQUIRED'])
    })

    test('A public route serves anybody as nobody, with a good token and with a bad one', async () => {
      for (const token of [undefined, 'rubbish', world.owner]) {
        const answer = await ask('GET /public', token)
        expect([answer.status, answer.text]).toEqual([200, 'nobody'])
      }
    })

    test('An unknown path is answered 404, with and without credentials', async () => {
      for (const token of [undefined, 'rubbish', world.owner]) {
        expect((await ask('GET /nothing/here', token)).status).toBe(404)
      }
    })

    test('A method that a path does not have is answered 404, and no handler runs', async () => {
      ran = []
      for (const token of [undefined, world.owner]) expect((await ask('POST /default', token)).status).toBe(404)
      expect((await ask('GET /change', world.owner)).status).toBe(404)
      expect(ran).toEqual([])
    })

    test('HEAD is answered as GET, without a body: refused and served', async () => {
      const served = await ask('HEAD /default', world.owner)
      const refused = await ask('HEAD /default')
      expect([served.status, served.text, refused.status, refused.text]).toEqual([200, '', 401, ''])
      expect(refused.headers['www-authenticate']).toBe('Bearer')
    })

    test('OPTIONS with credentials is an ordinary request: there is no route for it', async () => {
      const headers = { origin: 'https://app.example.com', 'access-control-request-method': 'GET' }
      expect((await ask('OPTIONS /default', world.owner, headers)).status).toBe(404)
    })

    test('The path names the tenant, at any depth', async () => {
      expect((await ask('GET /tenants/globex/name', world.both)).text).toBe('globex')
      expect((await ask('GET /api/tenants/globex/name', world.both)).text).toBe('globex')
      expect(await refusal('GET /api/tenants/globex/name', world.owner)).toEqual([403, 'TENANCY_TENANT_FORBIDDEN'])
    })

    test('Path and header that name two tenants are refused', async () => {
      expect(await refusal('GET /tenants/globex/name', world.both, { 'x-tenant-id': 'acme' })).toEqual([
        ...[403, 'TENANCY_TENANT_CONFLICT'],
      ])
    })

    test('Two tenants in one header, and two headers, are refused', async () => {
      expect(await refusal('GET /default', world.both, { 'x-tenant-id': 'acme, globex' })).toEqual([
        ...[403, 'TENANCY_TENANT_FORBIDDEN'],
      ])
      const { status } = await send(app, 'GET /default', {
        token: world.both,
        headers: { 'x-tenant-id': ['acme', 'globex'] },
      })
      expect(status).toBe(403)
    })

    test('The host names the tenant below the base domain, with a port and in any case', async () => {
      for (const host of ['globex.app.test', 'GLOBEX.app.test', 'globex.app.test:8080', 'globex.app.test.']) {
        expect([host, (await ask('GET /default', world.both, { host })).text]).toEqual([host, 'globex'])
      }
    })

    test('A host of somebody else’s tenant, or of none, is refused', async () => {
      for (const host of ['globex.app.test', 'no-such-tenant.app.test']) {
        expect([host, await refusal('GET /default', world.owner, { host })]).toEqual([
          ...[host, [403, 'TENANCY_TENANT_FORBIDDEN']],
        ])
      }
    })

    test('Host and header, and host and path, that name two tenants are refused', async () => {
      const host = 'globex.app.test'
      expect(await refusal('GET /default', world.both, { host, 'x-tenant-id': 'acme' })).toEqual([
        ...[403, 'TENANCY_TENANT_CONFLICT'],
      ])
      expect(await refusal('GET /tenants/acme/name', world.both, { host })).toEqual([403, 'TENANCY_TENANT_CONFLICT'])
    })

    test('A host of another domain names no tenant', async () => {
      for (const host of ['app.test', 'globex.example.com', 'www.app.test', 'localhost:3000']) {
        expect([host, (await ask('GET /default', world.owner, { host })).text]).toEqual([host, 'acme'])
      }
    })

    test('An escaped tenant in the path is read, and an escaped slash makes none', async () => {
      expect((await ask('GET /tenants/ac%6De/name', world.owner)).text).toBe('acme')
      for (const name of ['acme%2Fx', '%2e%2e%2facme', 'acme%00', 'ACME%20']) {
        expect([name, (await ask(`GET /tenants/${name}/name`, world.owner)).status]).toEqual([name, 403])
      }
    })

    test.each([
      '/items/%zz',
      '/items/%',
      '/items/%c0%ae',
      '/items/%ff',
      '//items/1',
      '/items//1',
      '/items/../default/x',
      '/items\\1',
      '*',
      'items/1',
      `/items/${'a'.repeat(5000)}`,
      `/${'../'.repeat(200)}items`,
    ])('The malformed address %s reaches no handler without a token', async (address) => {
      ran = []
      const text = await sendRaw(app, `GET ${address} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      expect(text).toMatch(/^HTTP\/1\.1 4\d\d /)
      expect(ran).toEqual([])
    })

    test('Headers that are too long are answered 431, and the next request is served', async () => {
      const text = await sendRaw(
        app,
        `GET /default HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${'a'.repeat(40_000)}\r\n\r\n`,
      )
      expect(text).toMatch(/^HTTP\/1\.1 431 /)
      expect((await ask('GET /default', world.owner)).status).toBe(200)
    })

    test('A long token is a bad token', async () => {
      expect(await refusal('GET /default', 'a'.repeat(10_000))).toEqual([401, 'TENANCY_AUTH_TOKEN_INVALID'])
    })

    test('While the catalog cannot be reached, the answer is 503 with Retry-After, and nobody is anonymous', async () => {
      world.path.cache.invalidate()
      world.path.before = () => Promise.reject(new Error('connect ECONNREFUSED'))
      const answer = await ask('GET /default', world.owner)
      world.path.before = () => {}
      expect([answer.status, answer.code, answer.headers['retry-after']]).toEqual([
        ...[503, 'TENANCY_CATALOG_UNAVAILABLE', '1'],
      ])
      expect(answer.text).not.toContain('ECONNREFUSED')
      expect((await ask('GET /default', world.owner)).text).toBe('acme')
    })
  })
}
