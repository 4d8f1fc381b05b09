import Fastify from 'fastify'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { createApi } from '../../src/api/index.js'
import type { Tenancy } from '../../src/index.js'
import { createInstallation } from '../support/installation.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
/** Another one, so that none is the last. */
let other: Caller

beforeAll(async () => {
  api = await createApiApp()
  other = await api.createAdministrator()
})
afterAll(() => api.close())

const exchange = (as: Caller | undefined) => api.call('POST /platform/token', { as })
const summary = (as: Caller) => api.call('GET /platform/summary', { as })
const invalid = { status: 401, json: { code: 'TENANCY_AUTH_TOKEN_INVALID' } }

describe('getting a token of the platform', () => {
  test('An administrator exchanges an access token; the new one has its own audience and lives ten minutes', async () => {
    const { id, accessToken } = await api.createAdministrator()
    const { status, json, headers } = await exchange({ id, token: accessToken })
    expect({ status, json }).toMatchObject({ status: 200, json: { tokenType: 'Bearer', expiresIn: 600 } })
    expect(headers['cache-control']).toBe('no-store')
    const claims = decodeJwt(json.accessToken as string)
    expect(claims).toMatchObject({ sub: id, aud: 'tenants2fast/platform', iss: 'tenants2fast' })
    expect(Number(claims.exp) - Number(claims.iat)).toBe(600)
    expect(await summary({ id, token: json.accessToken })).toMatchObject({ status: 200 })
  })

  test('It leaves an audit entry by the administrator, without the token', async () => {
    const { id, token } = await api.createAdministrator()
    const entries = await api.tenancy.audit.list({ tenant: null, limit: 1000 })
    const entry = entries.findLast(({ action, subject }) => action === 'token.issue' && subject === `user:${id}`)
    expect(entry).toMatchObject({ actorId: id, after: { jti: decodeJwt(token).jti, platform: true, expiresIn: 600 } })
    expect(JSON.stringify(entries)).not.toContain(token.split('.')[2])
  })

  test('Whoever is no administrator is refused, and so is a token that is bound to a tenant', async () => {
    expect(await exchange(await api.createUser())).toMatchObject({
      status: 403,
      json: { code: 'TENANCY_ACCESS_DENIED' },
    })
    const { id, accessToken } = await api.createAdministrator()
    const tenant = await api.createTenant({ id, token: accessToken })
    const { token } = await api.tenancy.issueAccessToken({ user: id, tenant: tenant.slug })
    expect(await exchange({ id, token })).toMatchObject({ status: 403, json: { code: 'TENANCY_AUTH_TOKEN_BOUND' } })
    expect(await exchange(undefined)).toMatchObject({ status: 401, json: { code: 'TENANCY_AUTH_REQUIRED' } })
  })

  test('A token of the platform is exchanged for nothing, and no key makes the API keep one', async () => {
    const { id, token, accessToken } = await api.createAdministrator()
    expect(await exchange({ id, token })).toMatchObject(invalid)
    const keyed = await api.call('POST /platform/token', {
      as: { id, token: accessToken },
      headers: { 'idempotency-key': 'k' },
    })
    expect(keyed.status).toBe(400)
  })

  test('A token of another issuer is exchanged for nothing, whoever its user is', async () => {
    const { id, accessToken } = await api.createAdministrator()
    const { token } = await api.tenancy.pipeline.handle({
      ...{ authorization: `Bearer ${accessToken}`, needs: 'user' },
      ...{ tenantHeader: undefined, host: undefined, pathTenant: undefined },
    })
    expect(token?.subject).toBe(id)
    const foreign = { ...token!, isOwn: false, issuer: 'https://login.example.com' }
    await expect(api.tenancy.platformTokens().exchange(foreign)).rejects.toMatchObject({
      code: 'TENANCY_ACCESS_DENIED',
    })
  })
})

describe('the end of a token of the platform', () => {
  test.each<[string, (tenancy: Tenancy, user: string) => Promise<unknown>, string]>([
    ['the role is revoked', (tenancy, user) => tenancy.revokePlatformRole({ user }), 'TENANCY_AUTH_TOKEN_INVALID'],
    [
      'the user’s tokens are revoked',
      (tenancy, user) => tenancy.revokeUserTokens({ user }),
      'TENANCY_AUTH_TOKEN_INVALID',
    ],
    ['the user is disabled', (tenancy, user) => tenancy.disableUser({ user }), 'TENANCY_AUTH_USER_REFUSED'],
  ])('It counts no more at once when %s', async (_, end, code) => {
    const administrator = await api.createAdministrator()
    expect((await summary(administrator)).status).toBe(200)
    await end(api.tenancy, administrator.id)
    expect(await summary(administrator)).toMatchObject({ status: 401, json: { code } })
  })

  test('A role that is granted again does not bring back the tokens of the first grant', async () => {
    const administrator = await api.createAdministrator()
    await api.tenancy.revokePlatformRole({ user: administrator.id })
    await api.tenancy.grantPlatformRole({ user: administrator.id })
    expect(await summary(administrator)).toMatchObject(invalid)
    const { json } = await exchange({ id: administrator.id, token: administrator.accessToken })
    expect((await summary({ ...administrator, token: json.accessToken })).status).toBe(200)
  })

  test('A user who is enabled again needs new tokens', async () => {
    const administrator = await api.createAdministrator()
    await api.tenancy.disableUser({ user: administrator.id })
    await api.tenancy.enableUser({ user: administrator.id })
    expect(await summary(administrator)).toMatchObject(invalid)
  })
})

test('Accounts and the functions of requests refuse a token of the platform', async () => {
  const host = api.tenancy.accountsHost()
  await expect(host.authenticate(`Bearer ${other.token}`)).rejects.toMatchObject({ code: 'TENANCY_AUTH_TOKEN_INVALID' })
})

test('With the platform switched off its paths do not exist, and nobody gets a token', async () => {
  const off = createApi({ tenancy: api.tenancy })
  expect(off.routes.filter(({ path }) => path.startsWith('/platform'))).toEqual([])
  const app = Fastify()
  await app.register(tenancyPlugin, { tenancy: api.tenancy, api: off })
  const { id, accessToken, token } = await api.createAdministrator()
  expect(id).toBeDefined()
  for (const bearer of [accessToken, token]) {
    const headers = { authorization: `Bearer ${bearer}` }
    expect((await app.inject({ method: 'POST', url: '/platform/token', headers })).statusCode).toBe(404)
    expect((await app.inject({ method: 'GET', url: '/platform/summary', headers })).statusCode).toBe(404)
    const direct = await off.handle(new Request('http://localhost/platform/summary', { headers }), {
      remoteAddress: undefined,
    })
    expect(direct.status).toBe(404)
  }
  await app.close()
})

test('The lifetime is a setting, and the prefix of tenants cannot be that of the platform', async () => {
  const installation = createInstallation({ TENANT_READY_DATABASES: '0', TENANT_PLATFORM_TOKEN_TTL: '3600' })
  const tenancy = await installation.open()
  const { id } = await tenancy.createUser({ email: 'ada@example.com', emailVerified: true })
  await tenancy.grantPlatformRole({ user: id })
  const { token } = await tenancy.issueAccessToken({ user: id })
  const { token: verified } = await tenancy.pipeline.handle({
    ...{ authorization: `Bearer ${token}`, needs: 'user' },
    ...{ tenantHeader: undefined, host: undefined, pathTenant: undefined },
  })
  const issued = await tenancy.platformTokens().exchange(verified!)
  expect(issued.expiresIn).toBe(3600)
  expect((await tenancy.platformTokens().authenticate(`Bearer ${issued.token}`)).user?.id).toBe(id)
  expect(() => createApi({ tenancy: { ...tenancy, urlPrefix: 'platform' }, platform: true })).toThrow(
    'choose another TENANT_URL_PREFIX',
  )
  await tenancy.close()
  await installation.drop()
})
