import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { getCurrentTenant, getCurrentUser, type User } from '../../../src/index.js'
import { type AccountsApp, createAccountsApp } from '../../accounts/accounts-app.js'
import { type OidcIssuer, startOidcIssuer } from '../../support/servers/oidc-issuer.js'
import { bearer, outcome } from '../notes-app.js'

let accounts: AccountsApp
let issuer: OidcIssuer
let user: User

const ask = async (token: string, url: string, tenant?: string) => {
  const answer = await accounts.app.inject({ url, headers: bearer(token, tenant) })
  return answer.statusCode === 200 ? `200 ${answer.body}` : outcome(answer)
}
const ownToken = async (tenant: string) => (await accounts.tenancy.issueAccessToken({ user: user.id, tenant })).token
const foreignToken = (org: unknown) => issuer.token({ sub: 'anna', email: 'anna@example.com', org })

beforeAll(async () => {
  issuer = await startOidcIssuer('ES256')
  accounts = await createAccountsApp({
    env: {
      TENANT_BASE_DOMAIN: 'app.example',
      TENANT_OIDC_ISSUERS: JSON.stringify([
        {
          issuer: issuer.issuer,
          audience: 'api',
          algorithm: 'ES256',
          tenantClaim: 'org',
          tenantClaimType: 'array',
          tenantClaimEmpty: 'unbound',
        },
      ]),
    },
  })
  const { app, tenancy } = accounts
  app.get('/tenant', async () => getCurrentTenant().slug)
  app.get('/tenants/:tenant/name', async () => getCurrentTenant().slug)
  app.get('/user', { config: { tenancy: 'user' } }, async () => getCurrentUser().email)
  user = await tenancy.createUser({ email: 'anna@example.com', emailVerified: true })
  await tenancy.linkIdentity({ user: user.id, issuer: issuer.issuer, subject: 'anna' })
  for (const slug of ['acme', 'globex', 'initech']) await tenancy.createTenant({ name: slug, slug, owner: user.id })
  await tenancy.setDefaultTenant({ tenant: 'initech', user: user.id })
})
afterAll(async () => {
  await accounts?.close()
  await issuer?.close()
})

const kinds = [
  ['an own token', () => ownToken('acme')],
  ['an own token bound by id', async () => ownToken((await accounts.tenancy.getTenant('acme')).id)],
  ['a foreign token', () => foreignToken(['acme'])],
] as const

describe.each(kinds)('%s for one tenant', (_name, make) => {
  test('a token for one tenant works in that tenant, named or not, and in no other', async () => {
    const token = await make()
    expect(await ask(token, '/tenant')).toBe('200 acme')
    expect(await ask(token, '/tenant', 'acme')).toBe('200 acme')
    expect(await ask(token, '/tenants/acme/name')).toBe('200 acme')
    for (const other of ['globex', 'initech']) {
      expect(await ask(token, '/tenant', other)).toBe('403 TENANCY_TENANT_CONFLICT')
      expect(await ask(token, `/tenants/${other}/name`)).toBe('403 TENANCY_TENANT_CONFLICT')
      const byHost = await accounts.app.inject({
        url: '/tenant',
        headers: { ...bearer(token), host: `${other}.app.example` },
      })
      expect(outcome(byHost)).toBe('403 TENANCY_TENANT_CONFLICT')
    }
  })

  test('a token for one tenant is refused on routes that need only a user, cached or not', async () => {
    for (const token of [await make(), await make()]) {
      expect(await ask(token, '/user')).toBe('403 TENANCY_AUTH_TOKEN_BOUND')
      expect(await ask(token, '/tenant')).toBe('200 acme')
      expect(await ask(token, '/user')).toBe('403 TENANCY_AUTH_TOKEN_BOUND')
      expect(await ask(token, '/user', 'acme')).toBe('403 TENANCY_AUTH_TOKEN_BOUND')
    }
  })

  test('a token for one tenant changes nothing about the account and ends no session', async () => {
    const token = await make()
    const before = await accounts.catalog.query('select * from users where id = $1', [user.id])
    for (const [method, path, json] of [
      ['GET', '/me', undefined],
      ['PATCH', '/me', { name: 'Mallory' }],
      ['POST', '/password/change', { current: 'correct horse', next: 'battery staple' }],
      ['POST', '/logout', {}],
      ['POST', '/logout', { everywhere: true }],
    ] as const) {
      const answer = await accounts.call(method, path, { token, json })
      expect([path, answer.status, answer.json<{ code: string }>().code]).toEqual([
        path,
        403,
        'TENANCY_AUTH_TOKEN_BOUND',
      ])
    }
    const after = await accounts.catalog.query('select * from users where id = $1', [user.id])
    expect(after.rows).toEqual(before.rows)
  })
})

describe('a foreign token for several tenants', () => {
  test('a foreign token for several tenants works in these when the request names one', async () => {
    const token = await foreignToken(['acme', 'globex'])
    expect(await ask(token, '/tenant', 'acme')).toBe('200 acme')
    expect(await ask(token, '/tenants/globex/name')).toBe('200 globex')
    expect(await ask(token, '/tenant', 'initech')).toBe('403 TENANCY_TENANT_FORBIDDEN')
    expect(await ask(token, '/tenants/initech/name')).toBe('403 TENANCY_TENANT_FORBIDDEN')
    // Not for the default tenant, although the user is a member of it.
    expect(await ask(token, '/tenant')).toBe('403 TENANCY_TENANT_REQUIRED')
    expect(await ask(token, '/user')).toBe('403 TENANCY_AUTH_TOKEN_BOUND')
  })

  test('a foreign token for several tenants gives no access to a tenant without its user', async () => {
    const owner = await accounts.tenancy.createUser({ email: 'other@example.com', emailVerified: true })
    await accounts.tenancy.createTenant({ name: 'Umbrella', slug: 'umbrella', owner: owner.id })
    const token = await foreignToken(['acme', 'umbrella'])
    expect(await ask(token, '/tenant', 'umbrella')).toBe('403 TENANCY_TENANT_FORBIDDEN')
    expect(await ask(token, '/tenant', 'no-such-tenant')).toBe('403 TENANCY_TENANT_FORBIDDEN')
  })
})

test('a token for no tenant works in every tenant of its user as before', async () => {
  for (const org of [undefined, null, []]) {
    const token = await foreignToken(org)
    expect(await ask(token, '/user')).toBe('200 anna@example.com')
    expect(await ask(token, '/tenant')).toBe('200 initech')
    expect(await ask(token, '/tenant', 'acme')).toBe('200 acme')
  }
})
