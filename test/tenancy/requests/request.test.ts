import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy, Tenant, User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { withAdmin } from '../../support/server.js'
import { bearer, createNotesApp, outcome, seen } from '../notes-app.js'

let installation: Installation
let tenancy: Tenancy
let app: FastifyInstance
let dana: User
let max: User
let acme: Tenant
let globex: Tenant
let danaToken: string
let maxToken: string

const tokenOf = async (user: User, tenant?: string) => (await tenancy.issueAccessToken({ user: user.id, tenant })).token
const get = (url: string, headers: Record<string, string> = {}) => app.inject({ url, headers })

beforeAll(async () => {
  installation = createInstallation({ TENANT_BASE_DOMAIN: 'app.example' })
  tenancy = await installation.open()
  dana = await tenancy.createUser({ email: 'Dana@Example.com', name: 'Dana', emailVerified: true })
  max = await tenancy.createUser({ email: 'max@example.com', name: 'Max', emailVerified: true })
  acme = await tenancy.createTenant({ name: 'Acme Corporation', slug: 'acme', owner: dana.id })
  globex = await tenancy.createTenant({ name: 'Globex', slug: 'globex', owner: dana.id })
  await tenancy.addMember({ tenant: acme.id, user: max.id })
  app = await createNotesApp(tenancy)
  danaToken = await tokenOf(dana)
  maxToken = await tokenOf(max)
})
afterAll(async () => {
  await app?.close()
  await installation.drop()
})

describe('the caller, the tenant and its access', () => {
  test('a handler knows its tenant, and a guard admits the owner and refuses the member', async () => {
    const tenant = await get('/me/tenant', bearer(danaToken, 'acme'))
    expect(tenant.json()).toEqual({ name: 'Acme Corporation', slug: 'acme' })
    expect((await get('/reports', bearer(danaToken, 'acme'))).json()).toEqual({ user: 'dana@example.com' })
    expect(outcome(await get('/reports', bearer(maxToken)))).toBe('403 TENANCY_ACCESS_DENIED')
    expect(outcome(await get('/owners', bearer(danaToken, 'acme')))).toBe('200')
    expect(outcome(await get('/owners', bearer(maxToken)))).toBe('403 TENANCY_ACCESS_DENIED')
  })

  test('only public routes answer without a token', async () => {
    for (const url of ['/me', '/me/tenant', '/notes', '/reports', '/owners', '/tenants/acme/notes']) {
      const response = await get(url)
      expect(outcome(response)).toBe('401 TENANCY_AUTH_REQUIRED')
      expect(response.headers['www-authenticate']).toBe('Bearer')
    }
    expect(outcome(await get('/health'))).toBe('200')
    expect(outcome(await get('/me/tenant', bearer('x.y.z')))).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
  })

  test('data of tenants is separate, each in its own database and accessed by its own role', async () => {
    for (const [slug, body] of [
      ['acme', 'of Acme'],
      ['globex', 'of Globex'],
    ] as const) {
      const headers = { ...bearer(danaToken, slug), 'content-type': 'application/json' }
      const posted = await app.inject({ method: 'POST', url: '/notes', headers, payload: { body } })
      expect(posted.statusCode).toBe(201)
    }
    const notes = async (slug: string) => (await get('/notes', bearer(danaToken, slug))).json<{ body: string }[]>()
    expect((await notes('acme')).map((note) => note.body)).toEqual(['of Acme'])
    expect((await notes('globex')).map((note) => note.body)).toEqual(['of Globex'])
    const session = async (slug: string) =>
      (await get('/session', bearer(danaToken, slug))).json<{ database: string; role: string }>()
    const [one, other] = [await session('acme'), await session('globex')]
    expect(one.database).not.toBe(other.database)
    for (const { database, role } of [one, other]) {
      expect(role).toBe(database)
      expect(database).toMatch(new RegExp(`^${installation.prefix}[0-9a-f]{32}$`))
    }
    const [row] = await withAdmin(
      async (admin) =>
        (
          await admin.query(
            `select has_database_privilege($1, $2, 'connect') as other, has_database_privilege($1, $3, 'connect') as catalog,
               rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = $1`,
            [one.role, other.database, installation.catalogName],
          )
        ).rows,
    )
    expect(row).toEqual({ other: false, catalog: false, rolsuper: false, rolcreatedb: false, rolcreaterole: false })
  })

  test('code outside a request can run as a tenant', async () => {
    const slug = await tenancy.runWithTenant({ tenant: 'globex' }, async () => {
      const { getCurrentTenant, tryGetCurrentUser } = await import('../../../src/index.js')
      expect(tryGetCurrentUser()).toBeUndefined()
      return getCurrentTenant().slug
    })
    expect(slug).toBe('globex')
  })
})

describe('a tenant that the user is not in', () => {
  // The second request is answered from the cache that the first one filled.
  test.each(['cold', 'warm'])(
    'a tenant without the user gets the same answer as one that does not exist, to the byte except for the request id (%s)',
    async () => {
      const unknownId = '01890000-0000-7000-8000-000000000000'
      const missing = seen(await get('/notes', bearer(maxToken, 'no-such-tenant')))
      expect(missing).toMatchObject({ statusCode: 403, body: expect.stringContaining('TENANCY_TENANT_FORBIDDEN') })
      for (const forged of [
        'globex',
        globex.id,
        globex.id.toUpperCase(),
        unknownId,
        'Globex',
        '*',
        'acme,globex',
        '',
      ]) {
        expect(seen(await get('/notes', bearer(maxToken, forged)))).toEqual(missing)
      }
      for (const path of ['globex', globex.id, 'no-such-tenant', unknownId]) {
        expect(seen(await get(`/tenants/${path}/notes`, bearer(maxToken)))).toEqual(missing)
      }
      for (const host of ['globex.app.example', 'no-such-tenant.app.example', 'globex.app.example:3000']) {
        expect(seen(await get('/notes', { ...bearer(maxToken), host }))).toEqual(missing)
      }
      for (const claim of ['globex', globex.id, unknownId]) {
        expect(seen(await get('/notes', bearer(await tokenOf(max, claim))))).toEqual(missing)
      }
    },
  )

  test('a second place that names the tenant, whether it agrees or not, does not reveal that the tenant exists', async () => {
    const missing = seen(await get('/tenants/no-such-tenant/notes', bearer(maxToken, 'acme')))
    expect(seen(await get('/tenants/globex/notes', bearer(maxToken, 'acme')))).toEqual(missing)
    expect(seen(await get('/tenants/globex/notes', bearer(maxToken, 'globex')))).toEqual(missing)
    expect(seen(await get('/tenants/acme/notes', bearer(maxToken, 'globex')))).toEqual(missing)
  })

  test('a suspended or deleted tenant without the user gets the same answer as one that does not exist', async () => {
    const eve = await tenancy.createUser({ email: 'eve@example.com', emailVerified: true })
    const owner = await tokenOf(eve)
    const gone = await tenancy.createTenant({ name: 'Gone', slug: 'gone', owner: eve.id })
    const missing = seen(await get('/notes', bearer(maxToken, 'no-such-tenant')))
    expect(outcome(await get('/notes', bearer(owner)))).toBe('200')
    await tenancy.suspendTenant({ tenant: 'gone' })
    expect(outcome(await get('/notes', bearer(owner, 'gone')))).toBe('403 TENANCY_TENANT_SUSPENDED')
    expect(outcome(await get('/notes', bearer(owner)))).toBe('403 TENANCY_TENANT_SUSPENDED')
    expect(seen(await get('/notes', bearer(maxToken, 'gone')))).toEqual(missing)
    await tenancy.reactivateTenant({ tenant: 'gone' })
    expect(outcome(await get('/notes', bearer(owner)))).toBe('200')
    await tenancy.deleteTenant({ tenant: 'gone' })
    expect(outcome(await get('/notes', bearer(owner, gone.id)))).toBe('403 TENANCY_TENANT_DELETED')
    expect(seen(await get('/notes', bearer(maxToken, gone.id)))).toEqual(missing)
    await expect(tenancy.runWithTenant({ tenant: 'gone' }, () => 1)).rejects.toMatchObject({
      code: 'TENANCY_TENANT_DELETED',
    })
  })
})

describe('places that name the tenant', () => {
  test.each([
    ['header by slug', '/me/tenant', { 'x-tenant-id': 'globex' }],
    ['host', '/me/tenant', { host: 'globex.app.example' }],
    ['host with port and in capitals', '/me/tenant', { host: 'GLOBEX.app.example:8080' }],
  ])('the tenant is taken from the %s', async (_name, url, headers) => {
    expect((await get(url, { ...bearer(danaToken), ...headers })).json()).toMatchObject({ slug: 'globex' })
  })

  test('the tenant is taken from a header with its id, a path with its slug or id, and a token claim', async () => {
    expect((await get('/me/tenant', bearer(danaToken, globex.id))).json()).toMatchObject({ slug: 'globex' })
    for (const name of ['globex', globex.id]) {
      expect((await get(`/tenants/${name}/notes`, bearer(danaToken))).json()).toMatchObject({ tenant: 'globex' })
      expect((await get('/me/tenant', bearer(await tokenOf(dana, name)))).json()).toMatchObject({ slug: 'globex' })
    }
  })

  test('a request whose places name the same tenant is served, and one whose places disagree is refused', async () => {
    const agreeing = { ...bearer(await tokenOf(dana, 'globex'), globex.id), host: 'globex.app.example' }
    expect((await get('/tenants/globex/notes', agreeing)).json()).toMatchObject({ tenant: 'globex' })
    for (const disagreeing of [
      get('/tenants/acme/notes', agreeing),
      get('/me/tenant', { ...agreeing, host: 'acme.app.example' }),
      get('/me/tenant', bearer(await tokenOf(dana, 'globex'), 'acme')),
    ]) {
      expect(outcome(await disagreeing)).toBe('403 TENANCY_TENANT_CONFLICT')
    }
  })

  test('the error for a member of several tenants says how to choose a default, and a default or single tenant needs no header', async () => {
    const kim = await tenancy.createUser({ email: 'kim@example.com', emailVerified: true })
    const token = await tokenOf(kim)
    expect(outcome(await get('/me/tenant', bearer(token)))).toBe('403 TENANCY_TENANT_NONE')
    expect((await get('/me', bearer(token))).json()).toEqual({ email: 'kim@example.com' })
    await tenancy.addMember({ tenant: 'acme', user: kim.id, isDefault: false })
    expect((await get('/me/tenant', bearer(token))).json()).toMatchObject({ slug: 'acme' })
    await tenancy.addMember({ tenant: 'globex', user: kim.id })
    const refused = await get('/me/tenant', bearer(token))
    expect(outcome(refused)).toBe('403 TENANCY_TENANT_REQUIRED')
    expect(refused.json<{ detail: string }>().detail).toMatch(/X-Tenant-Id.*default/)
    expect((await get('/me/tenant', bearer(token, 'globex'))).json()).toMatchObject({ slug: 'globex' })
    await tenancy.setDefaultTenant({ tenant: 'globex', user: kim.id })
    expect((await get('/me/tenant', bearer(token))).json()).toMatchObject({ slug: 'globex' })
    await tenancy.removeMember({ tenant: 'globex', user: kim.id })
    expect((await get('/me/tenant', bearer(token))).json()).toMatchObject({ slug: 'acme' })
    expect(outcome(await get('/me/tenant', bearer(token, 'globex')))).toBe('403 TENANCY_TENANT_FORBIDDEN')
  })
})

describe('users without access', () => {
  test('a user whose e-mail address is not verified is refused', async () => {
    const new_ = await tenancy.createUser({ email: 'new@example.com' })
    await tenancy.addMember({ tenant: 'acme', user: new_.id })
    for (const url of ['/me', '/me/tenant']) {
      expect(outcome(await get(url, bearer(await tokenOf(new_))))).toBe('401 TENANCY_AUTH_USER_REFUSED')
    }
  })

  test('a disabled user is refused at once, even with a cached token, and needs new tokens afterwards', async () => {
    const lee = await tenancy.createUser({ email: 'lee@example.com', emailVerified: true })
    await tenancy.addMember({ tenant: 'acme', user: lee.id })
    const token = await tokenOf(lee)
    for (let round = 0; round < 2; round += 1) expect(outcome(await get('/me/tenant', bearer(token)))).toBe('200')
    await tenancy.disableUser({ user: lee.id })
    expect(outcome(await get('/me/tenant', bearer(token)))).toBe('401 TENANCY_AUTH_USER_REFUSED')
    expect(outcome(await get('/me', bearer(token)))).toBe('401 TENANCY_AUTH_USER_REFUSED')
    await tenancy.enableUser({ user: lee.id })
    expect(outcome(await get('/me/tenant', bearer(token)))).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
    const renewed = await tokenOf(lee)
    expect(outcome(await get('/me/tenant', bearer(renewed)))).toBe('200')
    await tenancy.revokeUserTokens({ user: lee.id })
    expect(outcome(await get('/me/tenant', bearer(renewed)))).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
  })

  test('a user who was deleted by SQL is refused', async () => {
    const gone = await tenancy.createUser({ email: 'gone@example.com', emailVerified: true })
    const token = await tokenOf(gone)
    await withAdmin((admin) => admin.query('delete from users where id = $1', [gone.id]), installation.catalogName)
    expect(outcome(await get('/me', bearer(token)))).toBe('401 TENANCY_AUTH_USER_REFUSED')
    await expect(tenancy.issueAccessToken({ user: gone.id })).rejects.toMatchObject({ code: 'TENANCY_USER_NOT_FOUND' })
  })

  test('a withdrawn signing key ends its tokens at once, and a planned rotation ends none', async () => {
    const token = await tokenOf(dana, 'acme')
    expect(outcome(await get('/me/tenant', bearer(token)))).toBe('200')
    await tenancy.rotateSigningKeys()
    expect(outcome(await get('/me/tenant', bearer(token)))).toBe('200')
    const { keys } = (await get('/.well-known/jwks.json')).json<{ keys: Record<string, unknown>[] }>()
    expect(keys).toHaveLength(2)
    expect(keys.every((key) => !('d' in key))).toBe(true)
    await tenancy.rotateSigningKeys({ withdraw: true })
    expect(outcome(await get('/me/tenant', bearer(token)))).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
    ;[danaToken, maxToken] = [await tokenOf(dana), await tokenOf(max)]
    expect(outcome(await get('/me/tenant', bearer(danaToken, 'acme')))).toBe('200')
  })
})
