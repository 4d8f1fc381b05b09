import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createUserDirectory } from '../../../src/catalog/users/users.js'
import { isTokenCurrent, type VerifiedToken } from '../../../src/core/identity/identity.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'

const idp = 'https://idp.example'
const refused = expect.objectContaining({ code: 'TENANCY_AUTH_USER_REFUSED' })

let catalog: TestDatabase
beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())
beforeEach(() => catalog.pool.query('delete from users'))

function foreignToken(subject: string, claims: Record<string, unknown> = {}, issuer = idp): VerifiedToken {
  const issuedAt = Math.floor(Date.now() / 1000)
  return {
    issuer,
    subject,
    isOwn: false,
    epoch: undefined,
    issuedAt,
    expiresAt: issuedAt + 300,
    tenant: undefined,
    claims,
  }
}

const verified = (email: string) => ({ email, email_verified: true, name: 'Ada' })
const directory = (trust: { createUsers?: boolean; linkByVerifiedEmail?: boolean } = {}) =>
  createUserDirectory(catalog.pool, { issuers: [{ issuer: idp, ...trust }] })
const countUsers = async () => (await catalog.pool.query('select 1 from users')).rowCount

describe('users', () => {
  it('users are created and found by id and by e-mail address in any case', async () => {
    const users = directory()
    const record = await users.createUser({ email: ' Ada@Example.COM ', name: 'Ada', emailVerified: true })
    expect(record.user).toMatchObject({ email: 'ada@example.com', name: 'Ada', emailVerified: true, disabledAt: null })
    expect(record).toMatchObject({ tokenEpoch: 1, tokensValidAfter: 0, accessEpoch: expect.any(Number) })
    expect(await users.findUserById(record.user.id)).toEqual(record)
    expect(await users.findUserByEmail('ADA@example.com')).toEqual(record)
    await expect(users.createUser({ email: 'ADA@EXAMPLE.com' })).rejects.toMatchObject({ code: 'TENANCY_USER_EXISTS' })
  })

  it.each([
    '',
    ' ',
    'ada',
    '@',
    'ada@',
    '@example.com',
    'a@b@c',
    'a b@c.d',
    'a\0@b.c',
    'a@b.c.',
    'a@identity.invalid',
    `${'a'.repeat(320)}@b.c`,
  ])('a user with the address %j is refused', async (email) => {
    await expect(directory().createUser({ email })).rejects.toMatchObject({ code: 'TENANCY_ACCOUNTS_EMAIL_INVALID' })
  })

  it.each(['', 'x', "' or true --", '\0', '00000000-0000-0000-0000-00000000000g', `${randomUUID()} `])(
    'no user is found by the id %j',
    async (id) => {
      expect(await directory().findUserById(id)).toBeUndefined()
      await expect(directory().disableUser({ user: id })).rejects.toMatchObject({ code: 'TENANCY_USER_NOT_FOUND' })
    },
  )

  it('users that do not exist cannot be changed', async () => {
    const users = directory()
    for (const change of [users.disableUser, users.enableUser, users.revokeUserTokens]) {
      await expect(change({ user: randomUUID() })).rejects.toMatchObject({ code: 'TENANCY_USER_NOT_FOUND' })
    }
  })

  it('users that cannot be read are an outage and never count as unknown', async () => {
    const pool = new pg.Pool({ host: '127.0.0.1', port: 1 })
    const users = createUserDirectory(pool, { issuers: [{ issuer: idp, createUsers: true }] })
    const outage = { code: 'TENANCY_CATALOG_UNAVAILABLE' }
    await expect(users.findUserById(randomUUID())).rejects.toMatchObject(outage)
    await expect(users.findUserByIdentity(idp, 's')).rejects.toMatchObject(outage)
    await expect(users.createUserFromToken(foreignToken('s', verified('a@b.c')))).rejects.toMatchObject(outage)
    await pool.end()
  })
})

describe('a token', () => {
  it('a token ends when its user is disabled, and stays ended when the user is enabled again', async () => {
    const users = directory()
    const before = await users.createUser({ email: 'a@b.c', emailVerified: true })
    const own: VerifiedToken = { ...foreignToken(before.user.id), isOwn: true, epoch: before.tokenEpoch }
    expect(isTokenCurrent(own, before)).toBe(true)
    const disabled = await users.disableUser({ user: before.user.id })
    expect(disabled.accessEpoch).toBeGreaterThan(before.accessEpoch)
    expect(isTokenCurrent({ ...own, epoch: disabled.tokenEpoch }, disabled)).toBe(false)
    const enabled = await users.enableUser({ user: before.user.id })
    expect(isTokenCurrent(own, enabled)).toBe(false)
    expect(isTokenCurrent({ ...own, epoch: enabled.tokenEpoch }, enabled)).toBe(true)
  })

  it('own and foreign tokens end when the user’s tokens are revoked', async () => {
    const users = directory()
    const before = await users.createUser({ email: 'a@b.c', emailVerified: true })
    const foreign = foreignToken('s')
    const own: VerifiedToken = { ...foreign, isOwn: true, epoch: before.tokenEpoch }
    expect(isTokenCurrent(foreign, before)).toBe(true)
    const after = await users.revokeUserTokens({ user: before.user.id })
    expect(after.tokenEpoch).toBe(before.tokenEpoch + 1)
    expect(isTokenCurrent(own, after)).toBe(false)
    expect(isTokenCurrent(foreign, after)).toBe(false)
    expect(isTokenCurrent({ ...foreign, issuedAt: Math.ceil(after.tokensValidAfter) + 1 }, after)).toBe(true)
    expect(isTokenCurrent({ ...own, epoch: undefined }, after)).toBe(false)
  })

  it('a foreign token ends if it was issued within the clock tolerance after a revocation', async () => {
    const users = directory()
    const { user } = await users.createUser({ email: 'a@b.c', emailVerified: true })
    for (const end of [users.revokeUserTokens, users.disableUser]) {
      await end({ user: user.id })
      const after = await users.enableUser({ user: user.id })
      const since = Math.floor(after.tokensValidAfter)
      const issued = (seconds: number) => ({
        ...foreignToken('s'),
        issuedAt: since + seconds,
        clockToleranceSeconds: 5,
      })
      for (const seconds of [-1, 0, 1, 4, 5]) expect(isTokenCurrent(issued(seconds), after)).toBe(false)
      expect(isTokenCurrent(issued(6), after)).toBe(true)
    }
  })

  it('a token is not accepted while the e-mail address is not verified', async () => {
    const record = await directory().createUser({ email: 'a@b.c' })
    expect(isTokenCurrent(foreignToken('s'), record)).toBe(false)
  })
})

describe('the first token of a foreign user', () => {
  it('the first token of a foreign user creates the user, and the second finds it', async () => {
    const users = directory({ createUsers: true })
    const created = await users.createUserFromToken(foreignToken('s1', verified('Ada@Example.com')))
    expect(created?.user).toMatchObject({ email: 'ada@example.com', name: 'Ada', emailVerified: true })
    expect(await users.findUserByIdentity(idp, 's1')).toEqual(created)
    expect(await users.createUserFromToken(foreignToken('s1', verified('new@example.com')))).toEqual(created)
    expect(await users.findUserByIdentity(idp, 'S1')).toBeUndefined()
    expect(await users.findUserByIdentity(`${idp}/`, 's1')).toBeUndefined()
    expect(await countUsers()).toBe(1)
  })

  it('many first tokens of a foreign user at once, with changing addresses, create one user', async () => {
    const users = directory({ createUsers: true })
    const records = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        users.createUserFromToken(foreignToken('s1', verified(`a${index % 3}@b.c`))),
      ),
    )
    expect(new Set(records.map((record) => record?.user.id)).size).toBe(1)
    expect(await countUsers()).toBe(1)
  })

  it('one address is given to only one of two subjects', async () => {
    const users = directory({ createUsers: true })
    const results = await Promise.allSettled(
      ['s1', 's2'].map((subject) => users.createUserFromToken(foreignToken(subject, verified('a@b.c')))),
    )
    expect(results.map((result) => result.status).toSorted()).toEqual(['fulfilled', 'rejected'])
    expect(await countUsers()).toBe(1)
  })

  it('no user is created from a foreign token unless its issuer may create users', async () => {
    const token = foreignToken('s1', verified('a@b.c'))
    expect(await directory().createUserFromToken(token)).toBeUndefined()
    expect(await createUserDirectory(catalog.pool).createUserFromToken(token)).toBeUndefined()
    const users = directory({ createUsers: true })
    expect(await users.createUserFromToken({ ...token, issuer: 'https://other.example' })).toBeUndefined()
    expect(await users.createUserFromToken({ ...token, isOwn: true })).toBeUndefined()
    expect(await directory({ linkByVerifiedEmail: true }).createUserFromToken(token)).toBeUndefined()
    expect(await countUsers()).toBe(0)
  })

  it.each<readonly [string, Record<string, unknown>]>([
    ['no address', { email_verified: true }],
    ['an empty address', { email: '', email_verified: true }],
    ['an address that is a list', { email: ['a@b.c'], email_verified: true }],
    ['an address with NUL', { email: 'a\0@b.c', email_verified: true }],
    ['an address not said to be verified', { email: 'a@b.c' }],
    ['an address that is not verified', { email: 'a@b.c', email_verified: false }],
    ['an address verified by text', { email: 'a@b.c', email_verified: 'true' }],
  ])('a foreign token with %s is refused', async (_name, claims) => {
    const users = directory({ createUsers: true, linkByVerifiedEmail: true })
    await expect(users.createUserFromToken(foreignToken('s1', claims))).rejects.toEqual(refused)
    expect(await countUsers()).toBe(0)
  })

  it('a hostile name in a foreign token is stored as plain text', async () => {
    const name = `'; drop table users; --\0\ud800${'x'.repeat(500)}`
    const users = directory({ createUsers: true })
    const record = await users.createUserFromToken(foreignToken('s1', { ...verified('a@b.c'), name }))
    expect(record?.user.name).toMatch(/^'; drop table users; --x+$/)
    expect(record?.user.name).toHaveLength(200)
  })
})

describe('an existing account', () => {
  it('an existing account is not linked by its address unless the issuer is trusted for it', async () => {
    const users = directory({ createUsers: true })
    const { user } = await users.createUser({ email: 'a@b.c', emailVerified: true })
    await expect(users.createUserFromToken(foreignToken('s1', verified('A@b.c')))).rejects.toEqual(refused)
    expect(await users.findUserByIdentity(idp, 's1')).toBeUndefined()

    const trusted = directory({ linkByVerifiedEmail: true })
    const linked = await trusted.createUserFromToken(foreignToken('s1', verified('A@b.c')))
    expect(linked?.user.id).toBe(user.id)
    expect((await users.findUserByIdentity(idp, 's1'))?.user.id).toBe(user.id)
  })

  it('an account with an unverified address is linked by a trusted issuer, which verifies the address', async () => {
    const users = directory({ linkByVerifiedEmail: true })
    const { user } = await users.createUser({ email: 'a@b.c', name: 'Chosen by a stranger' })
    const linked = await users.createUserFromToken(foreignToken('s1', verified('a@b.c')))
    expect(linked?.user).toMatchObject({ id: user.id, emailVerified: true, name: 'Ada' })
    expect((await users.findUserByIdentity(idp, 's1'))?.user.id).toBe(user.id)
  })

  it('an account with an unverified address is not linked when it is disabled, or by an issuer that may only create users when the account is not empty', async () => {
    const users = directory({ createUsers: true })
    const { user } = await users.createUser({ email: 'a@b.c' })
    await catalog.pool.query('insert into user_identities (issuer, subject, user_id) values ($1, $2, $3)', [
      'https://other.example',
      's0',
      user.id,
    ])
    const token = foreignToken('s1', verified('a@b.c'))
    await expect(users.createUserFromToken(token)).rejects.toEqual(refused)
    await users.disableUser({ user: user.id })
    await expect(directory({ linkByVerifiedEmail: true }).createUserFromToken(token)).rejects.toEqual(refused)
    expect(await users.findUserByIdentity(idp, 's1')).toBeUndefined()
    expect((await users.findUserById(user.id))?.user.emailVerified).toBe(false)
  })

  it('an empty account with an unverified address does not block the owner of the address from signing in by an issuer', async () => {
    const users = directory({ createUsers: true })
    const { user } = await users.createUser({ email: 'a@b.c', name: 'A squatter' })
    const first = await Promise.all(
      Array.from({ length: 8 }, () => users.createUserFromToken(foreignToken('s1', verified('a@b.c')))),
    )
    expect(new Set(first.map((record) => record?.user.id))).toEqual(new Set([user.id]))
    expect(first[0]?.user).toMatchObject({ emailVerified: true, name: 'Ada' })
  })

  it('an address with letters that only look alike does not reach an existing account', async () => {
    const users = directory({ createUsers: true, linkByVerifiedEmail: true })
    const { user } = await users.createUser({ email: 'mike@example.com', emailVerified: true })
    // U+212A, the Kelvin sign: its lower case is the letter k.
    const outcome = await users
      .createUserFromToken(foreignToken('s1', verified('mi\u212ae@example.com')))
      .catch(() => undefined)
    expect(outcome?.user.id).not.toBe(user.id)
  })
})
