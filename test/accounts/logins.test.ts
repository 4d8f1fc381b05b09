import { randomUUID } from 'node:crypto'
import { UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createLogins, type Logins } from '../../src/accounts/logins.js'
import { createRefreshTokens } from '../../src/accounts/refresh-tokens.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'

// Changes during a login or a refresh, each at the worst moment.

const wrongCredentials = expect.objectContaining({ code: 'TENANCY_ACCOUNTS_CREDENTIALS_INVALID' })
const invalidGrant = expect.objectContaining({ code: 'TENANCY_ACCOUNTS_GRANT_INVALID' })

let catalog: TestDatabase
let logins: Logins
let user: string
let email: string
/** Callbacks that run while the password is checked, and before and after the epoch is read for an access token. */
let meanwhile: { checking?: () => Promise<unknown>; issuing?: () => Promise<unknown>; issued?: () => Promise<unknown> }
let forgotten: string[]
/** The user whom the provider accepts. */
let owner: string

beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  user = await addUser()
  owner = user
  email = `${user}@example.com`
  meanwhile = {}
  forgotten = []
  const refreshTokens = createRefreshTokens({ catalog: catalog.pool, ttlSeconds: 3600 })
  logins = createLogins({
    refreshTokens,
    provider: {
      async checkPassword() {
        await meanwhile.checking?.()
        return owner
      },
    },
    host: {
      catalog: catalog.pool,
      forgetUser: (id) => void forgotten.push(id),
      async issueAccessToken({ user: id }) {
        await meanwhile.issuing?.()
        const token = new UnsecuredJWT({ epoch: await epochOf(id) }).encode()
        await meanwhile.issued?.()
        return { token, expiresIn: 900, tokenId: randomUUID() }
      },
    },
  })
})

async function addUser(): Promise<string> {
  const id = randomUUID()
  await catalog.pool.query('insert into users (id, email, email_verified) values ($1, $2, true)', [
    id,
    `${id}@example.com`,
  ])
  return id
}

async function epochOf(id: string): Promise<number> {
  const { rows } = await catalog.pool.query<{ token_epoch: number }>('select token_epoch from users where id = $1', [
    id,
  ])
  return rows[0]!.token_epoch
}

const writing = (assignment: string) => () => catalog.pool.query(`update users set ${assignment} where id = $1`, [user])
const revoked = writing('tokens_valid_after = clock_timestamp()')
const otherDeviceLeft = writing('token_epoch = token_epoch + 1')
const disabled = writing('disabled_at = now()')

const once = (change: () => Promise<unknown>) => {
  let isDone = false
  return async () => {
    if (isDone) return
    isDone = true
    await change()
  }
}

test('A login and a refresh make this process read the user again, because the token may be newer than its cache', async () => {
  const { refresh_token } = await logins.begin(email, 'x')
  expect(forgotten).toEqual([user])
  await logins.refresh(refresh_token)
  expect(forgotten).toEqual([user, user])
})

test('A logout makes this process read the user again after the change is written', async () => {
  const { refresh_token } = await logins.begin(email, 'x')
  forgotten = []
  const epoch = await epochOf(user)
  await logins.end(user, refresh_token)
  await logins.end(user, undefined)
  expect([forgotten, await epochOf(user)]).toEqual([[user, user], epoch + 2])
})

test('A login only admits the owner of the address that was typed', async () => {
  owner = await addUser()
  await expect(logins.begin(email, 'x')).rejects.toEqual(wrongCredentials)
  await expect(logins.begin('unknown@example.com', 'x')).rejects.toEqual(wrongCredentials)
  await expect(logins.begin('no address', 'x')).rejects.toEqual(wrongCredentials)
  const { rows } = await catalog.pool.query('select from refresh_families where user_id in ($1, $2)', [user, owner])
  expect(rows).toHaveLength(0)
  owner = user
  expect((await logins.begin(` ${email.toUpperCase()}`, 'x')).token_type).toBe('bearer')
})

test.each([
  ['checking', revoked],
  ['checking', disabled],
  ['issuing', revoked],
  ['issuing', disabled],
] as const)('A login during which the user is revoked or disabled (%s) gives no tokens', async (moment, change) => {
  meanwhile[moment] = change
  await expect(logins.begin(email, 'x')).rejects.toEqual(wrongCredentials)
})

test.each([
  ['issuing', revoked],
  ['issuing', disabled],
] as const)('A refresh during which the user is revoked or disabled (%s) gives no tokens', async (moment, change) => {
  const { refresh_token } = await logins.begin(email, 'x')
  meanwhile[moment] = change
  await expect(logins.refresh(refresh_token)).rejects.toEqual(invalidGrant)
})

test('A token made from an epoch that was revoked meanwhile carries the old epoch and is refused', async () => {
  meanwhile.issued = revoked
  const { access_token, refresh_token } = await logins.begin(email, 'x')
  const claims = UnsecuredJWT.decode<{ epoch: number }>(access_token).payload
  expect(claims.epoch).toBeLessThan(await epochOf(user))
  await expect(logins.refresh(refresh_token)).rejects.toEqual(invalidGrant)
})

test('A logout of another device at the same time ends neither a login nor a refresh', async () => {
  meanwhile.issuing = once(otherDeviceLeft)
  const first = await logins.begin(email, 'x')
  // The epoch is raised again between issuing the access token and reading the login.
  meanwhile.issuing = once(otherDeviceLeft)
  meanwhile.issued = once(otherDeviceLeft)
  const second = await logins.refresh(first.refresh_token)
  const claims = UnsecuredJWT.decode<{ epoch: number }>(second.access_token).payload
  expect(claims.epoch).toBe(await epochOf(user))
})

test('A login during a catalog outage is answered 503', async () => {
  const unavailable = expect.objectContaining({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
  const gone = { query: () => Promise.reject(new Error('ECONNREFUSED')), connect: () => Promise.reject(new Error('x')) }
  const broken = createLogins({
    refreshTokens: createRefreshTokens({ catalog: gone, ttlSeconds: 60 }),
    provider: { checkPassword: async () => user },
    host: { catalog: gone, forgetUser() {}, issueAccessToken: () => Promise.reject(new Error('not asked')) },
  })
  await expect(broken.begin(email, 'x')).rejects.toEqual(unavailable)
  await expect(broken.refresh('A'.repeat(64))).rejects.toEqual(unavailable)
  await expect(broken.end(user, undefined)).rejects.toEqual(unavailable)
})
