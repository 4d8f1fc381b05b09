import type { FastifyInstance } from 'fastify'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy, User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { type OidcIssuer, startOidcIssuer } from '../../support/servers/oidc-issuer.js'
import { urlOf } from '../../support/server.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

let installation: Installation
/** Two processes on one catalog. */
let [tenancy, second]: [Tenancy, Tenancy] = [undefined as never, undefined as never]
let [app, secondApp]: [FastifyInstance, FastifyInstance] = [undefined as never, undefined as never]
let catalog: pg.Pool
/** An issuer that is trusted for identity alone and creates users. */
let trusted: OidcIssuer
/** An issuer that creates users with a verified address, and puts address and verification (as text) into other claims. */
let textual: OidcIssuer
/** An issuer that neither creates nor links users. */
let strict: OidcIssuer
/** An issuer that links users by their verified address. */
let linking: OidcIssuer

const me = async (token: string, at = app) => outcome(await at.inject({ url: '/me', headers: bearer(token) }))
let count = 0
const newUser = () => tenancy.createUser({ email: `user-${(count += 1)}@example.com`, emailVerified: true })
const code = (wanted: string) => expect.objectContaining({ code: wanted })

beforeAll(async () => {
  ;[trusted, textual, strict, linking] = await Promise.all([
    startOidcIssuer('ES256'),
    startOidcIssuer('ES256'),
    startOidcIssuer('ES256'),
    startOidcIssuer('ES256'),
  ])
  const common = { audience: 'api', algorithm: 'ES256' }
  installation = createInstallation({
    TENANT_OIDC_ISSUERS: JSON.stringify([
      { issuer: trusted.issuer, ...common, createUsers: true, requireVerifiedEmail: false },
      {
        issuer: textual.issuer,
        ...common,
        createUsers: true,
        emailClaim: ['profile', 'mail'],
        emailVerifiedClaim: 'https://example.com/verified',
        emailVerifiedValues: [true, 'true'],
      },
      { issuer: strict.issuer, ...common },
      { issuer: linking.issuer, ...common, linkByVerifiedEmail: true },
    ]),
  })
  tenancy = await installation.open()
  second = await installation.open()
  app = await createNotesApp(tenancy)
  secondApp = await createNotesApp(second)
  catalog = new pg.Pool({ connectionString: urlOf(installation.catalogName), max: 2 })
})
afterAll(async () => {
  await catalog?.end()
  await app?.close()
  await secondApp?.close()
  await Promise.all([trusted, textual, strict, linking].map((issuer) => issuer?.close()))
  await installation.drop()
})

describe('a user without a verified address', () => {
  test.each([
    ['no address', { email: undefined, email_verified: undefined }],
    ['an address that is not verified', { email: 'victim@example.com', email_verified: false }],
    ['an address that is verified in words', { email: 'victim@example.com', email_verified: 'true' }],
    ['an address of which nothing is said', { email: 'victim@example.com', email_verified: undefined }],
  ])('a token with %s is accepted from an issuer that is trusted for identity alone', async (name, claims) => {
    const token = await trusted.token({ sub: name, name: 'Nobody', ...claims })
    expect(await me(token)).toBe('200')
    const user = await tenancy.findUserByIdentity({ issuer: trusted.issuer, subject: name })
    expect(user).toMatchObject({ emailVerified: false, email: expect.stringMatching(/@identity\.invalid$/) })
    // The address stays free for its owner.
    expect(await tenancy.findUserByEmail('victim@example.com')).toBeUndefined()
  })

  test('a user without a verified address cannot use an own token or a token of another issuer', async () => {
    expect(await me(await trusted.token({ sub: 'alone' }))).toBe('200')
    const user = (await tenancy.findUserByIdentity({ issuer: trusted.issuer, subject: 'alone' })) as User
    expect(await me((await tenancy.issueAccessToken({ user: user.id })).token)).toBe('401 TENANCY_AUTH_USER_REFUSED')
    await tenancy.linkIdentity({ user: user.id, issuer: strict.issuer, subject: 'alone' })
    expect(await me(await strict.token({ sub: 'alone' }))).toBe('401 TENANCY_AUTH_USER_REFUSED')
    expect(await me(await trusted.token({ sub: 'alone' }))).toBe('200')
    await tenancy.disableUser({ user: user.id })
    expect(await me(await trusted.token({ sub: 'alone', jti: '2' }))).toBe('401 TENANCY_AUTH_USER_REFUSED')
  })

  test('the placeholder address of a user cannot be claimed, registered or looked up', async () => {
    expect(await me(await trusted.token({ sub: 'nameless' }))).toBe('200')
    const user = (await tenancy.findUserByIdentity({ issuer: trusted.issuer, subject: 'nameless' })) as User
    for (const email of [user.email, user.email.toUpperCase(), user.email.replace('.invalid', '\u3002invalid')]) {
      const token = await linking.token({ sub: 'thief', email, email_verified: true })
      expect(await me(token)).toBe('401 TENANCY_AUTH_USER_REFUSED')
      expect(await tenancy.findUserByEmail(email)).toBeUndefined()
      await expect(tenancy.createUser({ email })).rejects.toEqual(code('TENANCY_ACCOUNTS_EMAIL_INVALID'))
    }
    expect(await tenancy.listIdentities(user.id)).toMatchObject([{ issuer: trusted.issuer, subject: 'nameless' }])
    // An issuer that is trusted for identity alone gets its own user with a placeholder address for such a claim.
    expect(await me(await trusted.token({ sub: 'second', email: user.email }))).toBe('200')
    const other = await tenancy.findUserByIdentity({ issuer: trusted.issuer, subject: 'second' })
    expect(other?.id).not.toBe(user.id)
  })

  test('a user without a verified address is created once, however many requests come at once', async () => {
    const tokens = await Promise.all(
      Array.from({ length: 10 }, (_none, jti) => trusted.token({ sub: 'crowd', jti: `${jti}` })),
    )
    const all = await Promise.all(tokens.flatMap((token) => [me(token), me(token, secondApp)]))
    expect(new Set(all)).toEqual(new Set(['200']))
    const { rows } = await catalog.query('select count(*)::int as users from user_identities where subject = $1', [
      'crowd',
    ])
    expect(rows).toEqual([{ users: 1 }])
  })

  test('a user without a verified address does not take over an account when their verified address is taken', async () => {
    const owner = await newUser()
    expect(await me(await trusted.token({ sub: 'same', email: owner.email }))).toBe('200')
    expect((await tenancy.findUserByIdentity({ issuer: trusted.issuer, subject: 'same' }))?.id).not.toBe(owner.id)
    expect(await tenancy.listIdentities(owner.id)).toEqual([])
  })
})

describe('address and verification', () => {
  const claims = { email: undefined, email_verified: undefined }
  test.each([true, 'true'])('the configured claims are read, and %j means verified', async (yes) => {
    const mail = `text-${typeof yes}@example.com`
    const token = await textual.token({ ...claims, sub: mail, profile: { mail }, 'https://example.com/verified': yes })
    expect(await me(token)).toBe('200')
    expect(await tenancy.findUserByEmail(mail)).toMatchObject({ emailVerified: true })
  })

  test.each([false, 'True', 'false', 1, null, undefined, ['true'], {}])('a claim %j means unverified', async (no) => {
    const token = await textual.token({
      ...claims,
      sub: `no ${JSON.stringify(no)}`,
      profile: { mail: 'no@example.com' },
      'https://example.com/verified': no,
      // The claims that other issuers use.
      email: 'no@example.com',
      email_verified: true,
    })
    expect(await me(token)).toBe('401 TENANCY_AUTH_USER_REFUSED')
    expect(await tenancy.findUserByEmail('no@example.com')).toBeUndefined()
  })
})

test('the log says why a user was refused and what would help', async () => {
  const mine = createInstallation({
    TENANT_OIDC_ISSUERS: JSON.stringify([
      { issuer: textual.issuer, audience: 'api', algorithm: 'ES256', createUsers: true },
      { issuer: strict.issuer, audience: 'api', algorithm: 'ES256' },
    ]),
  })
  const own = await mine.open()
  const ownApp = await createNotesApp(own)
  const tokens = [
    await textual.token({ sub: 'a' }),
    await strict.token({ sub: 'c' }),
    await strict.token({ sub: 'c', jti: 'again' }),
  ]
  for (const token of tokens) expect(await me(token, ownApp)).toBe('401 TENANCY_AUTH_USER_REFUSED')
  const lines = mine.log.filter(({ level, message }) => level === 'info' && message.includes('was refused'))
  expect(lines.map(({ message }) => message)).toEqual([
    expect.stringContaining('carry no usable claim "email": let it add the claim, set "emailClaim"'),
    expect.stringContaining('its subject is no user; set "createUsers"'),
  ])
  await ownApp.close()
  await mine.drop()
})

describe('identities', () => {
  test('identities are listed, linked and unlinked at once in every process, and are in the audit log', async () => {
    const [user, admin] = [await newUser(), await newUser()]
    const identity = { issuer: strict.issuer, subject: 'linda' }
    const token = await strict.token({ sub: 'linda' })
    expect([await me(token), await me(token, secondApp)]).toEqual(Array(2).fill('401 TENANCY_AUTH_USER_REFUSED'))
    expect(await tenancy.listIdentities(user.id)).toEqual([])

    const linked = await tenancy.linkIdentity({ user: user.id, ...identity, actor: admin.id })
    expect(linked).toEqual({ ...identity, createdAt: expect.any(Date) })
    expect(await tenancy.listIdentities(user.id)).toEqual([linked])
    expect(await tenancy.findUserByIdentity(identity)).toMatchObject({ id: user.id })
    expect([await me(token), await me(token, secondApp)]).toEqual(['200', '200'])
    // The second call changes nothing.
    expect(await second.linkIdentity({ user: user.id, ...identity })).toEqual(linked)

    await tenancy.linkIdentity({ user: user.id, issuer: trusted.issuer, subject: 'linda' })
    await tenancy.unlinkIdentity({ user: user.id, ...identity, actor: admin.id })
    expect(await me(token)).toBe('401 TENANCY_AUTH_USER_REFUSED')
    await expect.poll(() => me(token, secondApp)).toBe('401 TENANCY_AUTH_USER_REFUSED')
    expect(await me(await trusted.token({ sub: 'linda' }))).toBe('200')

    const { rows } = await catalog.query(
      `select action, actor_id as actor, coalesce(before, after) as facts from audit_log
        where subject = $1 and action like 'user.identity.%' and coalesce(before, after) ->> 'issuer' = $2 order by seq`,
      [`user:${user.id}`, strict.issuer],
    )
    // The subject is personal: the entry has its hash.
    const facts = {
      issuer: identity.issuer,
      'tenants2fast.personal': expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    }
    expect(rows).toEqual([
      { action: 'user.identity.link', actor: admin.id, facts },
      { action: 'user.identity.unlink', actor: admin.id, facts },
    ])
  })

  test('identities of another user cannot be linked, even by concurrent calls', async () => {
    const users = await Promise.all(Array.from({ length: 6 }, newUser))
    const identity = { issuer: strict.issuer, subject: 'contested' }
    const results = await Promise.allSettled(
      users.map((user, index) => (index % 2 ? tenancy : second).linkIdentity({ user: user.id, ...identity })),
    )
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toEqual(code('TENANCY_IDENTITY_TAKEN'))
    }
    const owner = await tenancy.findUserByIdentity(identity)
    expect(users.map(({ id }) => id)).toContain(owner?.id)
  })

  test('the last identity of a user is unlinked only if the call allows it, even with two calls at once', async () => {
    const user = await newUser()
    const identities = ['one', 'two'].map((name) => ({ issuer: strict.issuer, subject: `last-${name}` }))
    for (const identity of identities) await tenancy.linkIdentity({ user: user.id, ...identity })
    const results = await Promise.allSettled(
      identities.map((identity, index) => (index ? tenancy : second).unlinkIdentity({ user: user.id, ...identity })),
    )
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    expect(results.find((result) => result.status === 'rejected')?.reason).toEqual(code('TENANCY_IDENTITY_LAST'))
    const [left] = await tenancy.listIdentities(user.id)
    await tenancy.unlinkIdentity({
      user: user.id,
      issuer: String(left?.issuer),
      subject: String(left?.subject),
      allowLast: true,
    })
    expect(await tenancy.listIdentities(user.id)).toEqual([])
  })

  test('the last identity of a user can be unlinked while there is a password', async () => {
    const user = await newUser()
    const identity = { user: user.id, issuer: strict.issuer, subject: 'with-password' }
    await tenancy.linkIdentity(identity)
    await catalog.query(
      `insert into user_credentials (user_id, provider_id, account_id, password)
       values ($1::uuid, 'credential', $1::uuid::text, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA')`,
      [user.id],
    )
    await tenancy.unlinkIdentity(identity)
    expect(await tenancy.listIdentities(user.id)).toEqual([])
  })

  test('an unlinked identity is not linked or created again by its issuer, even if plain SQL unlinked it, until it is linked explicitly', async () => {
    const user = await newUser()
    const linkable = await linking.token({ sub: 'returning', email: user.email })
    expect(await me(linkable)).toBe('200')
    await tenancy.unlinkIdentity({ user: user.id, issuer: linking.issuer, subject: 'returning', allowLast: true })
    expect(await me(linkable)).toBe('401 TENANCY_AUTH_USER_REFUSED')
    expect(await me(await linking.token({ sub: 'returning', email: user.email, jti: '2' }))).toBe(
      '401 TENANCY_AUTH_USER_REFUSED',
    )
    await tenancy.linkIdentity({ user: user.id, issuer: linking.issuer, subject: 'returning' })
    expect(await me(await linking.token({ sub: 'returning', jti: '3' }))).toBe('200')

    expect(await me(await trusted.token({ sub: 'by sql' }))).toBe('200')
    await catalog.query('delete from user_identities where subject = $1', ['by sql'])
    await expect.poll(() => me(trustedAgain)).toBe('401 TENANCY_AUTH_USER_REFUSED')
  })

  let trustedAgain = ''
  beforeAll(async () => {
    trustedAgain = await trusted.token({ sub: 'by sql', jti: 'again' })
  })

  test('an identity of a deleted user can create a new user', async () => {
    expect(await me(await trusted.token({ sub: 'deleted' }))).toBe('200')
    const user = await tenancy.findUserByIdentity({ issuer: trusted.issuer, subject: 'deleted' })
    await catalog.query('delete from users where id = $1', [user?.id])
    await expect.poll(async () => me(await trusted.token({ sub: 'deleted', jti: 'new' }))).toBe('200')
    const anew = await tenancy.findUserByIdentity({ issuer: trusted.issuer, subject: 'deleted' })
    expect(anew?.id).not.toBe(user?.id)
  })

  test('linking an identity of an unknown user, an unknown issuer or without a subject is refused with the reason', async () => {
    const user = await newUser()
    const unknown = '7aa9caed-9e5e-4ad2-95c2-90e0e6247552'
    const identity = { issuer: strict.issuer, subject: 'x' }
    for (const id of [unknown, 'nobody', '']) {
      await expect(tenancy.listIdentities(id)).rejects.toEqual(code('TENANCY_USER_NOT_FOUND'))
      await expect(tenancy.linkIdentity({ user: id, ...identity })).rejects.toEqual(code('TENANCY_USER_NOT_FOUND'))
      await expect(tenancy.unlinkIdentity({ user: id, ...identity })).rejects.toEqual(code('TENANCY_USER_NOT_FOUND'))
    }
    await expect(tenancy.unlinkIdentity({ user: user.id, ...identity })).rejects.toEqual(
      code('TENANCY_IDENTITY_NOT_FOUND'),
    )
    for (const wrong of [
      { issuer: `${strict.issuer}/` },
      { issuer: 'tenants2fast' },
      { subject: '' },
      { subject: 'nul \0' },
      { subject: 'lone \ud800' },
      { subject: 'x'.repeat(256) },
      { actor: 'nobody' },
    ]) {
      await expect(tenancy.linkIdentity({ user: user.id, ...identity, ...wrong })).rejects.toEqual(
        code('TENANCY_REQUEST_INVALID'),
      )
    }
    expect(await tenancy.listIdentities(user.id)).toEqual([])
    for (const wrong of [{ subject: 'nul \0' }, { issuer: 'nul \0' }]) {
      expect(await tenancy.findUserByIdentity({ ...identity, ...wrong })).toBeUndefined()
    }
    await expect(tenancy.unlinkIdentity({ user: user.id, ...identity, subject: 'nul \0' })).rejects.toEqual(
      code('TENANCY_IDENTITY_NOT_FOUND'),
    )
  })
})
