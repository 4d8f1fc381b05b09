import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { type OidcIssuer, startOidcIssuer } from '../../support/servers/oidc-issuer.js'
import { withAdmin } from '../../support/server.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

let installation: Installation
let tenancy: Tenancy
let app: FastifyInstance
/** An issuer that creates users; signs with RS256. */
let open: OidcIssuer
/** An issuer that links users by their verified address and creates none; signs with ES256. */
let linking: OidcIssuer
/** An issuer that may do neither; signs with EdDSA. */
let strict: OidcIssuer

const me = async (token: string) => outcome(await app.inject({ url: '/me', headers: bearer(token) }))

beforeAll(async () => {
  ;[open, linking, strict] = await Promise.all([
    startOidcIssuer('RS256'),
    startOidcIssuer('ES256'),
    startOidcIssuer('EdDSA'),
  ])
  installation = createInstallation({
    TENANT_OIDC_ISSUERS: JSON.stringify([
      { issuer: open.issuer, audience: 'api', tenantClaim: 'org', createUsers: true },
      { issuer: linking.issuer, audience: 'api', algorithm: 'ES256', linkByVerifiedEmail: true },
      { issuer: strict.issuer, audience: 'api', algorithm: 'EdDSA', jwksUri: `${strict.issuer}/keys` },
    ]),
  })
  tenancy = await installation.open()
  app = await createNotesApp(tenancy)
})
afterAll(async () => {
  await app?.close()
  await Promise.all([open, linking, strict].map((issuer) => issuer?.close()))
  await installation.drop()
})

describe('users of foreign issuers', () => {
  test('an issuer that may create users creates one at the first token, and only one for many tokens at once', async () => {
    const token = await open.token({ sub: 'anna', email: 'Anna@Example.com', name: 'Anna' })
    expect(await Promise.all(Array.from({ length: 10 }, () => me(token)))).toEqual(Array(10).fill('200'))
    const anna = await tenancy.findUserByEmail('anna@example.com')
    expect(anna).toMatchObject({ name: 'Anna', emailVerified: true })
    // Another token of the same subject belongs to the same user, whatever address it contains.
    const other = await app.inject({
      url: '/me',
      headers: bearer(await open.token({ sub: 'anna', email: 'changed@example.com' })),
    })
    expect(other.json()).toEqual({ email: 'anna@example.com' })
    expect(await tenancy.findUserByEmail('changed@example.com')).toBeUndefined()
  })

  test('a user created by an issuer is in no tenant until they are added', async () => {
    const token = await open.token({ sub: 'bert', email: 'bert@example.com' })
    const ask = async () => outcome(await app.inject({ url: '/me/tenant', headers: bearer(token) }))
    expect(await ask()).toBe('403 TENANCY_TENANT_NONE')
    const bert = await tenancy.findUserByEmail('bert@example.com')
    const owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
    await tenancy.createTenant({ name: 'Foreign', slug: 'foreign', owner: owner.id })
    await tenancy.addMember({ tenant: 'foreign', user: bert!.id })
    expect(await ask()).toBe('200')
  })

  test('the claim that the issuer’s configuration names decides the tenant, and no other place may name another', async () => {
    const ask = async (org: unknown, headers: Record<string, string> = {}) => {
      const token = await open.token({ sub: 'claire', email: 'claire@example.com', org })
      const answer = await app.inject({ url: '/me/tenant', headers: { ...bearer(token), ...headers } })
      return answer.statusCode === 200 ? answer.json() : outcome(answer)
    }
    await me(await open.token({ sub: 'claire', email: 'claire@example.com' }))
    const claire = await tenancy.findUserByEmail('claire@example.com')
    const owner = await tenancy.createUser({ email: 'owner-of-three@example.com', emailVerified: true })
    for (const slug of ['claire-one', 'claire-two', 'without-claire']) {
      await tenancy.createTenant({ name: slug, slug, owner: owner.id })
    }
    for (const slug of ['claire-one', 'claire-two']) await tenancy.addMember({ tenant: slug, user: claire!.id })
    const two = await tenancy.getTenant('claire-two')
    expect(await ask('claire-one')).toMatchObject({ slug: 'claire-one' })
    expect(await ask(two.id)).toMatchObject({ slug: 'claire-two' })
    expect(await ask('claire-two', { 'x-tenant-id': 'claire-one' })).toBe('403 TENANCY_TENANT_CONFLICT')
    expect(await ask('without-claire')).toBe('403 TENANCY_TENANT_FORBIDDEN')
    expect(await ask(['claire-one'])).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
  })

  test('an issuer that may not create users is refused for users it does not know', async () => {
    const token = await strict.token({ sub: 'carl', email: 'carl@example.com' })
    expect(await me(token)).toBe('401 TENANCY_AUTH_USER_REFUSED')
    expect(await tenancy.findUserByEmail('carl@example.com')).toBeUndefined()
    // An account with the same address does not help either.
    await tenancy.createUser({ email: 'carl@example.com', emailVerified: true })
    expect(await me(token)).toBe('401 TENANCY_AUTH_USER_REFUSED')
  })

  test('an issuer that may link finds the account of a verified address and creates none', async () => {
    await tenancy.createUser({ email: 'doris@example.com', emailVerified: true })
    expect(await me(await linking.token({ sub: 'd', email: 'DORIS@example.com' }))).toBe('200')
    expect(await me(await linking.token({ sub: 'e', email: 'nobody@example.com' }))).toBe(
      '401 TENANCY_AUTH_USER_REFUSED',
    )
    expect(await tenancy.findUserByEmail('nobody@example.com')).toBeUndefined()
  })

  test('an issuer that may only create users does not take over an account', async () => {
    const anton = await tenancy.createUser({ email: 'anton@example.com', emailVerified: true })
    expect(await me(await open.token({ sub: 'attacker', email: 'anton@example.com' }))).toBe(
      '401 TENANCY_AUTH_USER_REFUSED',
    )
    // Naming the id of a user as its subject does not help either.
    expect(await me(await open.token({ sub: anton.id }))).toBe('401 TENANCY_AUTH_USER_REFUSED')
  })

  test.each([
    ['an address that is not verified', { email_verified: false }],
    ['an address that is verified in words', { email_verified: 'true' }],
    ['no address', { email: undefined }],
    ['no valid address', { email: 'not an address' }],
  ])('a token with %s creates no user', async (_name, claims) => {
    const token = await open.token({ sub: `unusable ${JSON.stringify(claims)}`, email: 'fritz@example.com', ...claims })
    expect(await me(token)).toBe('401 TENANCY_AUTH_USER_REFUSED')
    expect(await tenancy.findUserByEmail('fritz@example.com')).toBeUndefined()
  })

  test('a disabled user is refused with a foreign token, and so is a token issued before the user’s tokens were revoked', async () => {
    const token = await open.token({ sub: 'gerd', email: 'gerd@example.com' })
    expect(await me(token)).toBe('200')
    const gerd = await tenancy.findUserByEmail('gerd@example.com')
    await tenancy.disableUser({ user: gerd!.id })
    expect(await me(token)).toBe('401 TENANCY_AUTH_USER_REFUSED')
    await tenancy.enableUser({ user: gerd!.id })
    expect(await me(token)).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
    // Its issuer's clock may be ahead, so a token issued within the tolerance is refused as well.
    const ahead = await open.token({ sub: 'gerd', iat: Math.floor(Date.now() / 1000) + 4 })
    expect(await me(ahead)).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
    await withAdmin(
      (admin) =>
        admin.query("update users set tokens_valid_after = tokens_valid_after - interval '1 minute' where id = $1", [
          gerd!.id,
        ]),
      installation.catalogName,
    )
    const later = await open.token({ sub: 'gerd' })
    await expect.poll(() => me(later)).toBe('200')
  })
})

describe('several issuers at once', () => {
  test('own and foreign tokens are accepted side by side', async () => {
    const hans = await tenancy.createUser({ email: 'hans@example.com', emailVerified: true })
    const { token: own } = await tenancy.issueAccessToken({ user: hans.id })
    const foreign = await open.token({ sub: 'ida', email: 'ida@example.com' })
    const linked = await linking.token({ sub: 'hans', email: 'hans@example.com' })
    expect(await Promise.all([me(own), me(foreign), me(linked)])).toEqual(['200', '200', '200'])
  })

  test('a key of one issuer signs for no other issuer', async () => {
    const hans = await tenancy.createUser({ email: 'hans2@example.com', emailVerified: true })
    const forged = [
      await open.token({ iss: linking.issuer, sub: 'd' }),
      await linking.token({ iss: open.issuer, sub: 'anna' }),
      await strict.token({ iss: 'tenants2fast', aud: 'tenants2fast', sub: hans.id, epoch: 1, jti: 'x' }),
      await open.token({ iss: 'http://127.0.0.1:1', sub: 'anna' }),
      await open.token({ aud: 'another api', sub: 'anna' }),
      await open.token({ exp: Math.floor(Date.now() / 1000) - 60, sub: 'anna' }),
    ]
    for (const token of forged) expect(await me(token)).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
  })

  test('the same subject of two issuers is two users', async () => {
    expect(await me(await open.token({ sub: 'jo', email: 'jo@one.example' }))).toBe('200')
    expect(await me(await linking.token({ sub: 'jo', email: 'jo@two.example' }))).toBe('401 TENANCY_AUTH_USER_REFUSED')
  })

  test('an unreachable issuer gives 503 for tokens not seen yet, and other issuers are not affected', async () => {
    const down = await startOidcIssuer()
    const mine = createInstallation({
      TENANT_OIDC_ISSUERS: JSON.stringify([{ issuer: down.issuer, audience: 'api', createUsers: true }]),
    })
    try {
      const own = await mine.open()
      const user = await own.createUser({ email: 'user@example.com', emailVerified: true })
      const { token } = await own.issueAccessToken({ user: user.id })
      const foreign = await down.token({ sub: 'x', email: 'x@example.com' })
      await down.close()
      const other = await createNotesApp(own)
      const refused = await other.inject({ url: '/me', headers: bearer(foreign) })
      expect(outcome(refused)).toBe('503 TENANCY_AUTH_ISSUER_UNAVAILABLE')
      expect(refused.headers['retry-after']).toMatch(/^[1-9]\d*$/)
      expect(refused.body).not.toContain(down.issuer)
      expect(outcome(await other.inject({ url: '/me', headers: bearer(token) }))).toBe('200')
      await other.close()
    } finally {
      await mine.drop()
    }
  })
})
