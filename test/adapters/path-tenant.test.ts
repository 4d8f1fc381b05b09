import * as fc from 'fast-check'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { parseTenantRef } from '../../src/core/tenants/slug.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, createApp, tenancyOver } from './fastify-app.js'

// A member of acme only asks for globex by the path. An answer for acme would mean that the route ignored its path.

let path: RequestPath
let app: FastifyInstance | undefined
let token: string

beforeAll(async () => {
  path = await createRequestPath()
  const user = await path.addUser()
  await path.addMember(user, await path.addTenant('acme'))
  await path.addTenant('globex')
  token = path.tokenFor(user)
})
afterAll(() => path.close())
afterEach(() => app?.close())

const refusal = (url: string) =>
  expect.objectContaining({
    code: 'TENANCY_ROUTE_TENANT_UNREADABLE',
    message: expect.stringMatching(
      new RegExp(`${url.replaceAll(/[^\w/]/g, '\\$&')}.*config: \\{ tenancy: 'user' \\}`, 's'),
    ),
  })

test.each([
  '/tenants/:tenant(^[a-z]+$)/x',
  '/tenants/:tenant-x',
  '/tenants/:tenant.json',
  '/tenants/:tenant?',
  '/tenants/:a-:tenant',
  '/tenants/x-:tenant',
  '/tenants/:id',
  '/tenants/:tenantName/x',
  '/tenants/*',
  '/tenants*',
  '/tenants/acme/x',
  '/tenants//:id',
  '/tenants/:tenant/tenants/:tenant',
  '/tenants/:tenant/tenants/:child',
  '/tenants/:tenantx/tenants/:tenant/tenants/:id',
  '/Tenants/:id',
  '/TENANTS/:Tenant',
  '/elsewhere/:tenant',
  '/:kind(users|tenants)/:id',
])('%s cannot be registered, because its tenant cannot be read for certain', async (url) => {
  app = await createApp(path)
  expect(() => app?.get(url, async () => 'ok')).toThrow(refusal(url))
  expect(() => app?.get(url, { config: { tenancy: 'tenant' } }, async () => 'ok')).toThrow(refusal(url))
  // A route that serves no tenant may have any URL.
  app.get(url, { config: { tenancy: 'user' } }, async () => 'ok')
})

test.each([
  ['/tenants/:tenant', '/tenants/NAME'],
  ['/tenants/:tenant/', '/tenants/NAME/'],
  ['/Tenants/:tenant/x', '/Tenants/NAME/x'],
  ['/api/tenants/:tenant/items/:id(^\\d+$)', '/api/tenants/NAME/items/7'],
  ['/tenants/:tenant/files/*', '/tenants/NAME/files/a/b'],
  ['/tenants/settings/tenants/:tenant', '/tenants/settings/tenants/NAME'],
  ['/tenants/:tenant/tenants', '/tenants/NAME/tenants'],
])('%s serves the tenant that its path names', async (template, url) => {
  app = await createApp(path)
  app.get(template, async (request) => request.tenant.slug)
  const ask = async (name: string) => {
    const response = await app?.inject({ url: url.replace('NAME', name), headers: bearer(token) })
    return response?.statusCode === 200 ? response.body : response?.statusCode
  }
  expect([await ask('acme'), await ask('globex'), await ask('ac%6De'), await ask('acme%2Fx')]).toEqual([
    'acme',
    403,
    'acme',
    403,
  ])
})

test.each(['/tenants', '/tenants/', '/tenants/settings', '/tenants/::tenant', '/items/:id'])(
  '%s names no tenant and serves the default one',
  async (url) => {
    app = await createApp(path)
    app.get(url, async (request) => request.tenant.slug)
    expect((await app.inject({ url: url.replace('::', ':'), headers: bearer(token) })).body).toBe('acme')
  },
)

test('An unreadable route that was registered before the plugin refuses every request instead', async () => {
  app = Fastify()
  void app.register(tenancyPlugin, { tenancy: tenancyOver(path) })
  app.get('/tenants/:id', async () => 'ok')
  app.get('/tenants/:tenant/x', async (request) => request.tenant.slug)
  const response = await app.inject({ url: '/tenants/acme', headers: bearer(token) })
  expect([response.statusCode, response.json()]).toEqual([
    500,
    expect.objectContaining({ code: 'TENANCY_ROUTE_TENANT_UNREADABLE' }),
  ])
  expect((await app.inject({ url: '/tenants/acme/x', headers: bearer(token) })).body).toBe('acme')
  expect((await app.inject({ url: '/tenants/globex/x', headers: bearer(token) })).statusCode).toBe(403)
})

test('The option tenantParameter renames the parameter and refuses names that the router reads differently', async () => {
  app = await createApp(path, { tenantParameter: 'org' })
  app.get('/tenants/:org/x', async (request) => request.tenant.slug)
  expect(() => app?.get('/tenants/:tenant/y', async () => 'ok')).toThrow(refusal('/tenants/:tenant/y'))
  expect((await app.inject({ url: '/tenants/globex/x', headers: bearer(token) })).statusCode).toBe(403)
  await expect(createApp(path, { tenantParameter: 'tenant-id' })).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_INVALID',
  })
})

const segment = fc.constantFrom(
  'tenants',
  'Tenants',
  'TENANTS',
  ':tenant',
  ':Tenant',
  ':tenant?',
  ':tenant(^[a-z]+$)',
  ':tenant(^(a|g)[a-z]+$)',
  ':tenant-x',
  ':tenant.json',
  ':a-:tenant',
  'x-:tenant',
  ':id',
  ':tenantName',
  '*',
  'tenants*',
  'tenants:id',
  ':id(tenants)',
  'acme',
  'globex',
  'settings',
  'api',
  '::tenant',
  '',
)
const routerOptions = fc.record({
  caseSensitive: fc.boolean(),
  ignoreTrailingSlash: fc.boolean(),
  ignoreDuplicateSlashes: fc.boolean(),
})

/** A URL that the template may match: `name` where a parameter or wildcard is. */
function instance(template: string, name: string): string {
  return template
    .replaceAll('::', '\u0000')
    .replaceAll(':id(tenants)', 'tenants')
    .replaceAll(/:\w+(\(.*?\)(?=[/.-]|$))?\??/g, name)
    .replaceAll('*', `${name}/x`)
    .replaceAll('\u0000', ':')
}

/** The tenants that a URL names, however the router reads it. */
function tenantsIn(url: string): string[] {
  const segments = url.split('/').filter((each) => each !== '')
  return segments.flatMap((each, at) =>
    segments[at - 1]?.toLowerCase() === 'tenants' && parseTenantRef(each.toLowerCase()) !== undefined ? [each] : [],
  )
}

describe('random templates', () => {
  const prefixes = fc.array(segment, { maxLength: 2 })
  const rest = fc.array(segment, { maxLength: 3 })
  test('A random route URL is refused at registration or serves the tenant of its path and no other', async () => {
    let served = 0
    await fc.assert(
      fc.asyncProperty(prefixes, rest, routerOptions, fc.boolean(), async (outer, inner, options, isShouting) => {
        const prefix = outer.length === 0 ? '' : `/${outer.join('/')}`
        const template = `${prefix}/tenants/${inner.join('/')}`
        const local = await createApp(path, {}, { routerOptions: options })
        try {
          const isRefused = await local
            .register(
              async (scope) => {
                scope.get(`/tenants/${inner.join('/')}`, async (request) => request.tenant.slug)
              },
              prefix === '' ? {} : { prefix },
            )
            .then(
              () => false,
              () => true,
            )
          if (isRefused) return
          for (const name of ['globex', 'acme']) {
            const plain = instance(template, name)
            const url = isShouting ? plain.replaceAll(/\b(tenants|api)\b/g, (word) => word.toUpperCase()) : plain
            for (const sent of [url, `${url}/`, url.replace('/', '//'), url.replace(/\/$/, '')]) {
              const response = await local.inject({ url: sent, headers: bearer(token) })
              if (response.statusCode !== 200) continue
              served += 1
              for (const named of tenantsIn(sent))
                expect({ template, sent, named }).toEqual({ template, sent, named: response.body })
            }
          }
        } finally {
          await local.close()
        }
      }),
      { numRuns: 500 },
    )
    expect(served).toBeGreaterThan(50)
  })
})
