import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAccounts } from '../../../src/accounts/index.js'
import { createApi } from '../../../src/api/index.js'
import {
  getCurrentActor,
  getCurrentUser,
  getTenantPool,
  type Tenancy,
  type Tenant,
  tryGetCurrentUser,
} from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { uniqueName } from '../../support/server.js'
import type { FrameworkDriver, ServedApplication } from './driver.js'
import { type Ask, send, sendRaw } from './send.js'

const problemJson = 'application/problem+json; charset=utf-8'

/** A whole installation: real tokens, API keys, impersonation, accounts and the management API. */
export function describeMounted(driver: FrameworkDriver): void {
  describe(`${driver.name}: what is mounted, and real tokens`, () => {
    let installation: Installation
    let tenancy: Tenancy
    let app: ServedApplication
    let bare: ServedApplication
    let owner: { readonly id: string; readonly token: string }
    let tenant: Tenant
    let key: string
    let impersonation: string
    let administratorId: string

    const createUser = async () => {
      const { id } = await tenancy.createUser({ email: `${uniqueName()}@example.com`, name: 'U', emailVerified: true })
      return { id, token: (await tenancy.issueAccessToken({ user: id })).token }
    }

    beforeAll(async () => {
      installation = createInstallation({ TENANT_SEED_PROFILE: 'prod' })
      tenancy = await installation.open()
      owner = await createUser()
      tenant = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
      const administrator = await createUser()
      administratorId = administrator.id
      await tenancy.grantPlatformRole({ user: administratorId })
      const account = await tenancy.createServiceAccount({ tenant: tenant.id, actor: owner.id, name: 'Robot' })
      const issued = await tenancy.createApiKey({
        ...{ tenant: tenant.id, actor: owner.id, serviceAccount: account.id },
        ...{ name: 'Key', permissions: ['members:read'] },
      })
      key = issued.key
      const started = await tenancy.startImpersonation({
        ...{ tenant: tenant.id, user: owner.id, actor: administratorId, reason: 'Ticket 4711', minutes: 15 },
      })
      impersonation = started.token
      const mail = { send: async () => {}, close: async () => {} }
      const accounts = await createAccounts({ tenancy, mail })
      const routes = [
        { url: '/who', handler: () => ({ ...getCurrentActor(), access: undefined }) },
        { url: '/person', handler: () => ({ id: getCurrentUser().id, other: tryGetCurrentUser()?.id }) },
        { url: '/variable', handler: ({ user }: { readonly user: unknown }) => ({ hasUser: user !== undefined }) },
        { url: '/members', guards: [{ permission: ['members:read'] }] as const, handler: () => 'ok' },
        { url: '/roles', guards: [{ permission: ['roles:read'] }] as const, handler: () => 'ok' },
        { url: '/for-users', needs: 'user' as const, handler: () => 'ok' },
        { url: '/notes', handler: async () => (await getTenantPool().query('select 1 as one')).rows },
        {
          url: '/tenants/:tenant/notes',
          handler: ({ tenant: of }: { readonly tenant: Tenant | undefined }) => of?.slug,
        },
        { url: '/json', methods: ['POST'], handler: ({ json }: { json(): Promise<unknown> }) => json() },
      ]
      app = await driver.serve({ tenancy, accounts, api: createApi({ tenancy, platform: true }), routes })
      bare = await driver.serve({ tenancy, routes })
    }, 60_000)
    afterAll(async () => {
      await app?.close()
      await bare?.close()
      await tenancy?.close()
      await installation.drop()
    })
    const ask = (target: string, request: Ask = {}) => send(app, target, request)
    const code = async (target: string, request: Ask = {}) => {
      const answer = await ask(target, request)
      return [answer.status, answer.code]
    }

    test('A token of our own serves its user', async () => {
      expect((await ask('GET /person', { token: owner.token })).json).toEqual({ id: owner.id, other: owner.id })
    })

    test('A token with another signature is refused', async () => {
      const [head, body] = owner.token.split('.')
      expect(await code('GET /person', { token: `${head}.${body}.${'A'.repeat(86)}` })).toEqual([
        ...[401, 'TENANCY_AUTH_TOKEN_INVALID'],
      ])
    })

    test('A handler reaches its tenant’s database', async () => {
      expect((await ask('GET /notes', { token: owner.token })).json).toEqual([{ one: 1 }])
    })

    test('A suspended tenant is refused once it is heard of, and served again after', async () => {
      const user = await createUser()
      const other = await tenancy.createTenant({ name: 'Nap', slug: 'nap', owner: user.id })
      expect((await ask('GET /person', { token: user.token })).status).toBe(200)
      await tenancy.suspendTenant({ tenant: other.id })
      await expect
        .poll(() => code('GET /person', { token: user.token, headers: { 'x-tenant-id': 'nap' } }))
        .toEqual([403, 'TENANCY_TENANT_SUSPENDED'])
    })

    test('A disabled user is refused once it is heard of', async () => {
      const user = await createUser()
      await tenancy.addMember({ tenant: tenant.id, user: user.id })
      expect((await ask('GET /person', { token: user.token })).status).toBe(200)
      await tenancy.disableUser({ user: user.id })
      await expect.poll(() => code('GET /person', { token: user.token })).toEqual([401, 'TENANCY_AUTH_USER_REFUSED'])
    })

    test('An API key is a service account, and no user', async () => {
      expect((await ask('GET /who', { token: key })).json).toMatchObject({
        kind: 'serviceAccount',
        serviceAccount: { name: 'Robot' },
      })
      expect((await ask('GET /variable', { token: key })).json).toEqual({ hasUser: false })
    })

    test('An API key is refused where a handler needs a person', async () => {
      expect(await code('GET /person', { token: key })).toEqual([403, 'TENANCY_AUTH_PERSON_REQUIRED'])
    })

    test('An API key is refused on a route for users', async () => {
      expect(await code('GET /for-users', { token: key })).toEqual([403, 'TENANCY_AUTH_PERSON_REQUIRED'])
    })

    test('An API key passes guards of its permissions and no others', async () => {
      expect((await ask('GET /members', { token: key })).status).toBe(200)
      expect(await code('GET /roles', { token: key })).toEqual([403, 'TENANCY_ACCESS_DENIED'])
    })

    test('An API key that nobody issued is refused as a bad token', async () => {
      expect(await code('GET /who', { token: `${key.slice(0, -4)}0000` })).toEqual([401, 'TENANCY_AUTH_TOKEN_INVALID'])
    })

    test('An administrator who acts as a member is that user, and named as the one who acts', async () => {
      const { json } = await ask('GET /who', { token: impersonation })
      expect(json).toMatchObject({
        kind: 'impersonator',
        administrator: { id: administratorId },
        user: { id: owner.id },
        impersonation: { reason: 'Ticket 4711' },
      })
    })

    test('A token of an impersonation is bound to its tenant: routes for users refuse it', async () => {
      expect(await code('GET /for-users', { token: impersonation })).toEqual([403, 'TENANCY_AUTH_TOKEN_BOUND'])
    })

    test('The management API is served below its paths, and authenticates by itself', async () => {
      const own = await ask('GET /me/tenants', { token: owner.token })
      expect([own.status, own.json.items.map(({ slug }: Tenant) => slug)]).toEqual([200, ['acme']])
      expect(await code('GET /me/tenants')).toEqual([401, 'TENANCY_AUTH_REQUIRED'])
    })

    test('An operation in a tenant is guarded by its permission', async () => {
      const user = await createUser()
      await tenancy.addMember({ tenant: tenant.id, user: user.id })
      expect((await ask('GET /tenants/acme/members', { token: owner.token })).status).toBe(200)
      expect((await ask('GET /tenants/acme/audit', { token: user.token })).status).toBe(403)
    })

    test('An operation with a body changes what it says, and HEAD and OPTIONS are answered', async () => {
      const changed = await ask('PATCH /tenants/acme', { token: owner.token, body: { name: 'Acme & Sons' } })
      expect([changed.status, changed.json.name]).toEqual([200, 'Acme & Sons'])
      const head = await ask('HEAD /me/tenants', { token: owner.token })
      expect([head.status, head.text]).toEqual([200, ''])
      const options = await ask('OPTIONS /me/tenants')
      expect([options.status, options.headers.allow]).toEqual([204, 'GET, HEAD, OPTIONS'])
    })

    test('A method that an operation does not have is answered 405 with Allow', async () => {
      const answer = await ask('DELETE /me/tenants', { token: owner.token })
      expect([answer.status, answer.code, answer.headers.allow]).toEqual([
        ...[405, 'TENANCY_REQUEST_METHOD_UNSUPPORTED', 'GET, HEAD, OPTIONS'],
      ])
    })

    test('A path that the API does not have is answered 404 with a problem document', async () => {
      for (const path of ['/me/nothing', '/tenants/acme/nothing/at/all']) {
        const answer = await ask(`GET ${path}`, { token: owner.token })
        expect([path, answer.status, answer.code]).toEqual([path, 404, 'TENANCY_REQUEST_PATH_UNKNOWN'])
      }
    })

    test('A path of the API that cannot be decoded is a bad request', async () => {
      const text = await sendRaw(
        app,
        `GET /tenants/%zz/members HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${owner.token}\r\n\r\n`,
      )
      expect(text).toMatch(/^HTTP\/1\.1 400 /)
      expect(text).toContain('TENANCY_REQUEST_INVALID')
    })

    test('A route of the application beside those of the API is the application’s', async () => {
      expect((await ask('GET /tenants/acme/notes', { token: owner.token })).text).toBe('acme')
      expect((await ask('GET /tenants/acme/notes')).status).toBe(401)
    })

    test('A body that is too long is refused with 413', async () => {
      const answer = await ask('POST /tenants', { token: owner.token, body: { name: 'x'.repeat(100_000) } })
      expect([answer.status, answer.code]).toEqual([413, 'TENANCY_REQUEST_TOO_LARGE'])
    })

    test('Without the option, nothing of the API or of accounts is served', async () => {
      for (const target of ['GET /me/tenants', 'POST /auth/login', 'GET /tenants/acme/members']) {
        expect([target, (await send(bare, target, { token: owner.token })).status]).toEqual([target, 404])
      }
    })

    test('Accounts are served below their prefix, to anybody', async () => {
      const answer = await ask('POST /auth/login', { body: { email: 'nobody@example.com', password: 'wrong' } })
      expect([answer.status, answer.code, answer.headers['content-type']]).toEqual([
        ...[401, 'TENANCY_ACCOUNTS_CREDENTIALS_INVALID', problemJson],
      ])
      expect(answer.json.requestId).toMatch(/^[\w.:@/+=-]{1,128}$/)
    })

    test('A person registers, whoever they say they are, and learns nothing', async () => {
      const body = { email: `${uniqueName()}@example.com`, password: 'correct horse battery', name: 'Ada' }
      const answer = await ask('POST /auth/register', { body })
      expect([answer.status, answer.text.includes(body.email)]).toEqual([202, false])
    })

    test('Accounts are given the body as it came: what is no JSON is refused by them', async () => {
      const answer = await ask('POST /auth/login', { headers: { 'content-type': 'text/csv' }, body: 'a;b' })
      expect([answer.status, answer.headers['content-type']]).toEqual([415, problemJson])
    })

    test('A path that accounts do not have, and a way around it, are answered 404', async () => {
      expect((await ask('GET /auth/nothing')).status).toBe(404)
      const text = await sendRaw(app, `GET /x/../auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      expect(text).toMatch(/^HTTP\/1\.1 40[0-9] /)
    })

    test('Mounting leaves the application’s bodies as they are', async () => {
      expect((await ask('POST /json', { token: owner.token, body: { a: [1] } })).json).toEqual({ a: [1] })
    })

    test('The public keys verify the tokens', async () => {
      const { json } = await ask('GET /.well-known/jwks.json')
      const { kid } = JSON.parse(Buffer.from(owner.token.split('.')[0]!, 'base64url').toString()) as { kid: string }
      expect(json.keys.map((each: { kid: string }) => each.kid)).toContain(kid)
    })
  })
}
