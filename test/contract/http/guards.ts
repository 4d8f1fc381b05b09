import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FrameworkDriver, RouteSpec, ServedApplication } from './driver.js'
import { send } from './send.js'
import { createWorld, type World } from './world.js'

/** Guards by permission, role, schema and own route. */
export function describeGuards(driver: FrameworkDriver): void {
  describe(`${driver.name}: guards`, () => {
    let world: World
    let app: ServedApplication
    const route = (url: string, more: Partial<RouteSpec>): RouteSpec => ({ url, handler: () => 'ok', ...more })
    const own = [{ permission: [] }] as const

    beforeAll(async () => {
      world = await createWorld()
      app = await driver.serve({
        tenancy: world.tenancy,
        routes: [
          route('/by-rule', { guards: [{ permission: ['/reports', 'GET'] }] }),
          route('/by-name', { guards: [{ permission: ['reports:read'] }] }),
          route('/by-role', { guards: [{ role: 'Owner' }] }),
          route('/two', { guards: [{ permission: ['reports:read'] }, { role: 'Member' }] }),
          route('/has-schema', { guards: [{ schema: '0001_first.sql' }] }),
          route('/lacks-schema', { guards: [{ schema: '0002_second.sql' }] }),
          route('/none', { needs: 'none', guards: [{ role: 'Owner' }] }),
          route('/user', { needs: 'user', guards: [{ role: 'Owner' }] }),
          route('/reports', { guards: own }),
          route('/order', { methods: ['POST'], guards: [{ role: 'Owner' }] }),
        ],
        scopes: [
          {
            prefix: '/api',
            routes: [route('/reports/:id', { methods: ['GET', 'DELETE'], guards: own })],
            scopes: [
              { prefix: '/reports', routes: [route('/:id', { methods: ['POST'], guards: [{ role: 'Owner' }] })] },
            ],
          },
          { prefix: '/nested', scopes: [{ prefix: '/deep', guards: [{ role: 'Owner' }], routes: [route('/x', {})] }] },
        ],
      })
    })
    afterAll(async () => {
      await app.close()
      await world.close()
    })
    const ask = (target: string, token?: string) => send(app, target, { token })
    const statuses = async (target: string) => [
      (await ask(target, world.owner)).status,
      (await ask(target, world.member)).status,
      (await ask(target)).status,
    ]

    test.each(['/by-rule', '/by-name', '/by-role', '/two'])(
      'The guard of %s lets an owner pass, refuses a member with 403 and strangers with 401',
      async (url) => {
        expect(await statuses(`GET ${url}`)).toEqual([200, 403, 401])
        expect((await ask(`GET ${url}`, world.member)).code).toBe('TENANCY_ACCESS_DENIED')
      },
    )

    test('A guard decides about HEAD as about GET', async () => {
      expect(await statuses('HEAD /by-name')).toEqual([200, 403, 401])
      expect(await statuses('HEAD /reports')).toEqual([200, 403, 401])
    })

    test('requirePermission() goes by the rule of its own route', async () => {
      expect(await statuses('GET /reports')).toEqual([200, 403, 401])
    })

    test('requirePermission() knows its route below a prefix, with a parameter, in any spelling of the request', async () => {
      for (const id of ['1', 'a%2Fb', '..%2F..%2Fnotes', 'REPORTS', '%F0%9F%90%98']) {
        expect([id, await statuses(`GET /api/reports/${id}`)]).toEqual([id, [200, 403, 401]])
      }
    })

    test('On a route of several methods, requirePermission() checks each by its own rule', async () => {
      expect(await statuses('DELETE /api/reports/1')).toEqual([200, 403, 401])
    })

    test('A guard of another method at the same path is not asked', async () => {
      expect(await statuses('POST /api/reports/1')).toEqual([200, 403, 401])
      expect(await statuses('POST /order')).toEqual([200, 403, 401])
    })

    test('A guard of a scope guards its routes, and answers 404 where there is none', async () => {
      expect(await statuses('GET /nested/deep/x')).toEqual([200, 403, 401])
      expect((await ask('GET /nested/deep/nothing', world.owner)).status).toBe(404)
    })

    test('A guard on a public route refuses everybody as strangers', async () => {
      const answer = await ask('GET /none', world.owner)
      expect([answer.status, answer.code]).toEqual([401, 'TENANCY_AUTH_REQUIRED'])
    })

    test('A guard on a route for users refuses: there is no tenant', async () => {
      const answer = await ask('GET /user', world.owner)
      expect([answer.status, answer.code]).toEqual([403, 'TENANCY_TENANT_NONE'])
    })

    test('requireSchema lets a tenant pass that has the migration, and answers 503 to one that lacks it', async () => {
      expect(await statuses('GET /has-schema')).toEqual([200, 200, 401])
      const answer = await ask('GET /lacks-schema', world.owner)
      expect([answer.status, answer.code]).toEqual([503, 'TENANCY_DATABASE_SCHEMA_BEHIND'])
      expect(answer.headers['retry-after']).toMatch(/^\d+$/)
    })

    test('A role that a member gets lets them pass once it is heard of', async () => {
      const user = await world.path.addUser()
      const { rows } = await world.path.catalog.pool.query<{ id: string }>("select id from tenants where slug = 'acme'")
      await world.path.addMember(user, rows[0]!.id)
      const token = world.path.tokenFor(user)
      expect((await ask('GET /by-role', token)).status).toBe(403)
      await world.path.catalog.pool.query(
        `insert into user_tenant_roles (user_id, tenant_id, role_id)
         select $1, $2, id from roles where name = 'Owner' and tenant_id is null`,
        [user, rows[0]!.id],
      )
      await world.path.heard()
      expect((await ask('GET /by-role', token)).status).toBe(200)
    })

    test.each<readonly [string, RouteSpec]>([
      ['an undefined permission', route('/x', { guards: [{ permission: ['reports:raed'] }] })],
      ['an undefined rule', route('/x', { guards: [{ permission: ['/reprots', 'GET'] }] })],
      ['no rule of its own', route('/x', { guards: own })],
      ['an undefined role', route('/x', { guards: [{ role: 'Onwer' }] })],
      ['its own rule, and the route has a wildcard', route('/files/*', { guards: own })],
    ])('An application with a guard that names %s does not start', async (_name, bad) => {
      await expect(driver.serve({ tenancy: world.tenancy, routes: [bad] })).rejects.toMatchObject({
        code: 'TENANCY_ACCESS_DEFINITION_INVALID',
      })
    })

    test('An application with a guard that names an unknown migration does not start', async () => {
      const bad = route('/x', { guards: [{ schema: '9999_nothing.sql' }] })
      await expect(driver.serve({ tenancy: world.tenancy, routes: [bad] })).rejects.toMatchObject({
        code: 'TENANCY_CONFIG_INVALID',
      })
    })

    test.each([
      '/tenants/:id',
      '/tenants/acme/x',
      '/tenants/*',
      '/elsewhere/:tenant',
      '/tenants/:tenant/tenants/:other',
    ])('An application with the route %s does not start: its tenant cannot be read for certain', async (url) => {
      await expect(driver.serve({ tenancy: world.tenancy, routes: [route(url, {})] })).rejects.toMatchObject({
        code: 'TENANCY_ROUTE_TENANT_UNREADABLE',
      })
      const open = await driver.serve({ tenancy: world.tenancy, routes: [route(url, { needs: 'user' })] })
      await open.close()
    })

    test('The parameter that names the tenant may have another name', async () => {
      const named = await driver.serve({
        tenancy: world.tenancy,
        tenantParameter: 'org',
        routes: [{ url: '/tenants/:org/name', handler: ({ tenant }) => tenant?.slug }],
      })
      try {
        expect((await send(named, 'GET /tenants/globex/name', { token: world.both })).text).toBe('globex')
        expect((await send(named, 'GET /tenants/globex/name', { token: world.owner })).status).toBe(403)
      } finally {
        await named.close()
      }
    })
  })
}
