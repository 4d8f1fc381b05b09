import { randomBytes, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createRefreshTokens, type RefreshTokens } from '../../src/accounts/refresh-tokens.js'
import { createUserDirectory } from '../../src/catalog/users/users.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'

const invalid = expect.objectContaining({ code: 'TENANCY_ACCOUNTS_GRANT_INVALID' })

let catalog: TestDatabase
let tokens: RefreshTokens
let reused: string[]
let user: string

beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  reused = []
  tokens = tokensWith({})
  user = await addUser()
})

function tokensWith(options: { ttlSeconds?: number; graceMs?: number }): RefreshTokens {
  return createRefreshTokens({
    catalog: catalog.pool,
    ttlSeconds: 3600,
    onReuse: (userId) => void reused.push(userId),
    ...options,
  })
}

async function addUser(): Promise<string> {
  const id = randomUUID()
  await catalog.pool.query('insert into users (id, email, email_verified) values ($1, $2, true)', [id, `${id}@b.c`])
  return id
}

async function epochOf(id: string): Promise<number> {
  const { rows } = await catalog.pool.query<{ token_epoch: number }>('select token_epoch from users where id = $1', [
    id,
  ])
  return rows[0]!.token_epoch
}

const login = async (id = user) => tokens.issue(id, await epochOf(id))

async function familiesOf(id: string): Promise<number> {
  const { rows } = await catalog.pool.query('select from refresh_families where user_id = $1', [id])
  return rows.length
}

/** Makes the last exchange of each of the user's tokens older than the grace period. */
async function letGracePass(id: string): Promise<void> {
  await catalog.pool.query(
    "update refresh_families set last_used_at = now() - interval '1 minute' where user_id = $1",
    [id],
  )
}

describe('logins', () => {
  test('A login continues with each successor, and each token is good once', async () => {
    let token = await login()
    for (let round = 0; round < 5; round += 1) {
      const rotation = await tokens.rotate(token)
      expect(rotation).toMatchObject({ userId: user, epoch: await epochOf(user) })
      expect(rotation.refreshToken).not.toBe(token)
      token = rotation.refreshToken
    }
    expect(await familiesOf(user)).toBe(1)
    expect(await tokens.readEpoch(token)).toBe(await epochOf(user))
  })

  test('A login ends a fixed time after it began, however often it was refreshed', async () => {
    const { refreshToken } = await tokens.rotate(await login())
    const { rows } = await catalog.pool.query<{ seconds: number }>(
      'select extract(epoch from expires_at - created_at)::float8 as seconds from refresh_families where user_id = $1',
      [user],
    )
    expect(rows[0]!.seconds).toBe(3600)
    await catalog.pool.query('update refresh_families set expires_at = now() where user_id = $1', [user])
    await expect(tokens.rotate(refreshToken)).rejects.toEqual(invalid)
    expect(reused).toEqual([])
  })

  test('A new login removes the expired logins of all users', async () => {
    await login()
    await login()
    await catalog.pool.query('update refresh_families set expires_at = now() where user_id = $1', [user])
    await login(await addUser())
    expect(await familiesOf(user)).toBe(0)
  })

  test('The catalog stores nothing from which a refresh token can be made', async () => {
    const first = await login()
    const { refreshToken } = await tokens.rotate(first)
    const { rows } = await catalog.pool.query('select * from refresh_families where user_id = $1', [user])
    for (const token of [first, refreshToken]) {
      const secret = Buffer.from(token, 'base64url').subarray(16)
      for (const text of [token, secret.toString('hex'), secret.toString('base64'), secret.toString('base64url')]) {
        expect(JSON.stringify(rows)).not.toContain(text)
        expect(
          rows
            .flatMap((row) => Object.values(row))
            .map((value) => (Buffer.isBuffer(value) ? value.toString('hex') : String(value))),
        ).not.toContain(text)
      }
    }
  })

  test.each([
    ['disabled', 'disabled_at = now()'],
    ['not verified', 'email_verified = false'],
  ])('A login does not begin for a user who is %s', async (_name, assignment) => {
    await catalog.pool.query(`update users set ${assignment} where id = $1`, [user])
    await expect(login()).rejects.toEqual(invalid)
    await expect(tokens.issue(randomUUID(), 1)).rejects.toEqual(invalid)
    expect(await familiesOf(user)).toBe(0)
  })

  test('A login does not begin if the user’s tokens were revoked after the password was checked', async () => {
    const epoch = await epochOf(user)
    await tokens.revokeAll(user)
    await expect(tokens.issue(user, epoch)).rejects.toEqual(invalid)
  })
})

describe('reused refresh tokens', () => {
  test.each([1, 2, 3, 4])(
    'A reused token that is %i exchanges old ends its login and the access tokens',
    async (age) => {
      const history = [await login()]
      for (let round = 0; round < 4; round += 1) history.push((await tokens.rotate(history.at(-1)!)).refreshToken)
      const other = await login()
      const epoch = await epochOf(user)
      await letGracePass(user)
      await expect(tokens.rotate(history.at(-1 - age)!)).rejects.toEqual(invalid)
      expect(reused).toEqual([user])
      expect(await epochOf(user)).toBe(epoch + 1)
      await expect(tokens.rotate(history.at(-1)!)).rejects.toEqual(invalid)
      expect((await tokens.rotate(other)).userId).toBe(user)
    },
  )

  test('The token exchanged last is only refused if it is reused within the grace period', async () => {
    const first = await login()
    const second = (await tokens.rotate(first)).refreshToken
    await expect(tokens.rotate(first)).rejects.toEqual(invalid)
    const third = (await tokens.rotate(second)).refreshToken
    expect([reused, await familiesOf(user)]).toEqual([[], 1])
    await expect(tokens.rotate(first)).rejects.toEqual(invalid)
    expect([reused, await familiesOf(user)]).toEqual([[user], 0])
    await expect(tokens.rotate(third)).rejects.toEqual(invalid)
  })

  test('A token with another secret counts as an old one', async () => {
    const token = await login()
    const bytes = Buffer.from(token, 'base64url')
    const forged = Buffer.concat([bytes.subarray(0, 16), randomBytes(32)]).toString('base64url')
    await expect(tokens.rotate(forged)).rejects.toEqual(invalid)
    await expect(tokens.rotate(token)).rejects.toEqual(invalid)
    expect(reused).toEqual([user])
  })

  test('Twenty simultaneous exchanges of one token give one successor, which stays valid', async () => {
    const token = await login()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => tokens.rotate(token)))
    const good = results.filter((result) => result.status === 'fulfilled')
    expect(good).toHaveLength(1)
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toEqual(invalid)
    expect(reused).toEqual([])
    expect((await tokens.rotate(good[0]!.value.refreshToken)).userId).toBe(user)
  })

  test('Without a grace period, twenty simultaneous exchanges of one token give at most one successor, which is ended', async () => {
    const strict = tokensWith({ graceMs: 0 })
    const token = await login()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => strict.rotate(token)))
    const good = results.filter((result) => result.status === 'fulfilled')
    expect(good).toHaveLength(1)
    expect(reused).toEqual([user])
    await expect(strict.rotate(good[0]!.value.refreshToken)).rejects.toEqual(invalid)
  })
})

test.each([
  ['An empty text', ''],
  ['Garbage', 'not a token'],
  ['An access token', 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.AAAA'],
  ['A token of an unknown login', randomBytes(48).toString('base64url')],
  ['A token that is too long', randomBytes(49).toString('base64url')],
  ['SQL', "'; drop table refresh_families; --"],
])('%s is refused as a refresh token', async (_name, token) => {
  await login()
  await expect(tokens.rotate(token)).rejects.toEqual(invalid)
  await expect(tokens.readEpoch(token)).rejects.toEqual(invalid)
  expect(await familiesOf(user)).toBe(1)
})

test('Another spelling of a refresh token is refused and ends nothing', async () => {
  const token = await login()
  for (const spelling of [`${token}=`, `${token}\n`, ` ${token}`, `${token.slice(0, -1)}+`, `${token}.`]) {
    await expect(tokens.rotate(spelling)).rejects.toEqual(invalid)
  }
  expect((await tokens.rotate(token)).userId).toBe(user)
})

describe('the end of a login', () => {
  test('Ending one login leaves the others and raises the epoch', async () => {
    const [mine, other] = [await login(), await login()]
    const old = mine
    const current = (await tokens.rotate(mine)).refreshToken
    const epoch = await epochOf(user)
    await tokens.revoke(old, user)
    expect(await epochOf(user)).toBe(epoch + 1)
    await expect(tokens.rotate(current)).rejects.toEqual(invalid)
    expect((await tokens.rotate(other)).userId).toBe(user)
    expect(reused).toEqual([])
  })

  test('A token of somebody else ends no login', async () => {
    const stranger = await addUser()
    const token = await login()
    const epoch = await epochOf(user)
    await tokens.revoke(token, stranger)
    await tokens.revoke('garbage', stranger)
    expect(await epochOf(user)).toBe(epoch)
    expect((await tokens.rotate(token)).userId).toBe(user)
  })

  test.each<readonly [string, (id: string) => Promise<unknown>]>([
    ['revokeAll', (id) => tokens.revokeAll(id)],
    ['revokeUserTokens', (id) => createUserDirectory(catalog.pool).revokeUserTokens({ user: id })],
    ['disableUser', (id) => createUserDirectory(catalog.pool).disableUser({ user: id })],
    ['plain SQL that disables', (id) => catalog.pool.query('update users set disabled_at = now() where id = $1', [id])],
    [
      'plain SQL that revokes',
      (id) => catalog.pool.query('update users set tokens_valid_after = now() where id = $1', [id]),
    ],
  ])('%s ends every login of the user, and of nobody else', async (_name, end) => {
    const other = await addUser()
    const [mine, theirs] = [[await login(), await login()], await login(other)]
    const epoch = await epochOf(user)
    await end(user)
    await catalog.pool.query('update users set disabled_at = null where id = $1', [user])
    expect(await familiesOf(user)).toBe(0)
    for (const token of mine) await expect(tokens.rotate(token)).rejects.toEqual(invalid)
    expect((await tokens.rotate(theirs)).userId).toBe(other)
    expect(reused).toEqual([])
    expect(await epochOf(user)).toBe(epoch + 1)
  })

  test('A revocation that is rolled back ends nothing', async () => {
    const token = await login()
    const client = await catalog.pool.connect()
    await client.query('begin')
    await client.query('update users set disabled_at = now() where id = $1', [user])
    await client.query('rollback')
    client.release()
    expect((await tokens.rotate(token)).userId).toBe(user)
  })

  test('Deleting a user ends the user’s logins', async () => {
    const token = await login()
    await catalog.pool.query('delete from users where id = $1', [user])
    await expect(tokens.rotate(token)).rejects.toEqual(invalid)
    expect(await familiesOf(user)).toBe(0)
  })

  test('A changed name or address ends no login', async () => {
    const token = await login()
    await catalog.pool.query("update users set name = 'Ada', email = $2 where id = $1", [user, `${randomUUID()}@b.c`])
    expect((await tokens.rotate(token)).userId).toBe(user)
  })
})

test('A login of a user who lost verification gives nothing, and stays ended once the address is proven again', async () => {
  const token = await login()
  await catalog.pool.query('update users set email_verified = false where id = $1', [user])
  await expect(tokens.rotate(token)).rejects.toEqual(invalid)
  await expect(tokens.readEpoch(token)).rejects.toEqual(invalid)
  await catalog.pool.query('update users set email_verified = true where id = $1', [user])
  await expect(tokens.rotate(token)).rejects.toEqual(invalid)
  expect((await tokens.rotate(await login())).userId).toBe(user)
})

test('Exchanges and ends at the same time never deadlock and leave no login', async () => {
  const strict = tokensWith({ graceMs: 0 })
  for (let round = 0; round < 5; round += 1) {
    const old = await login()
    const { refreshToken } = await strict.rotate(old)
    const results = await Promise.allSettled([
      ...Array.from({ length: 4 }, () => strict.rotate(old)),
      ...Array.from({ length: 4 }, () => strict.rotate(refreshToken)),
      ...Array.from({ length: 4 }, () => login()),
      strict.revoke(refreshToken, user),
      strict.revokeAll(user),
      catalog.pool.query('update users set disabled_at = now() where id = $1', [user]),
      catalog.pool.query('update refresh_families set expires_at = now() where user_id = $1', [user]),
    ])
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toEqual(invalid)
    expect(await familiesOf(user)).toBe(0)
    await catalog.pool.query('update users set disabled_at = null where id = $1', [user])
  }
})

test('Any sequence of exchanges and ends behaves as a simple model of it', async () => {
  const strict = tokensWith({ graceMs: 0 })
  type Step =
    | { readonly kind: 'login' | 'everywhere' | 'disable' }
    | { readonly kind: 'rotate' | 'logout'; readonly login: number; readonly age: number }
  const ofLogin = (kind: 'rotate' | 'logout') =>
    fc.record({ kind: fc.constant(kind), login: fc.nat(4), age: fc.constantFrom(0, 0, 0, 0, 1, 2, 3) })
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 2, arbitrary: fc.constant({ kind: 'login' as const }) },
    { weight: 8, arbitrary: ofLogin('rotate') },
    { weight: 1, arbitrary: ofLogin('logout') },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('everywhere' as const, 'disable' as const) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const id = await addUser()
      // Every token given so far, by login; empty once the login has ended.
      const logins: { history: string[]; isAlive: boolean }[] = []
      for (const action of steps) {
        if (action.kind === 'login') logins.push({ history: [await login(id)], isAlive: true })
        else if (!('login' in action)) {
          if (action.kind === 'everywhere') await strict.revokeAll(id)
          else await catalog.pool.query('update users set disabled_at = now() where id = $1', [id])
          await catalog.pool.query('update users set disabled_at = null where id = $1', [id])
          for (const each of logins) each.isAlive = false
        } else {
          const target = logins[action.login % Math.max(1, logins.length)]
          if (!target) continue
          if (action.kind === 'logout') {
            await strict.revoke(target.history.at(-1)!, id)
            target.isAlive = false
            continue
          }
          const index = Math.max(0, target.history.length - 1 - action.age)
          const shouldPass = target.isAlive && index === target.history.length - 1
          const outcome = await strict.rotate(target.history[index]!).catch((error: unknown) => error)
          if (shouldPass) target.history.push((outcome as { refreshToken: string }).refreshToken)
          else {
            expect(outcome).toEqual(invalid)
            target.isAlive = false
          }
        }
        expect(await familiesOf(id)).toBe(logins.filter((each) => each.isAlive).length)
      }
    }),
    { numRuns: 40 },
  )
})

test('A catalog outage is TENANCY_CATALOG_UNAVAILABLE for every use of refresh tokens', async () => {
  const gone = createRefreshTokens({
    catalog: {
      query: () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.7:5432')),
      connect: () => Promise.reject(new Error('connect ECONNREFUSED')),
    },
    ttlSeconds: 60,
  })
  const unavailable = expect.objectContaining({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
  const token = randomBytes(48).toString('base64url')
  for (const use of [
    gone.issue(user, 1),
    gone.rotate(token),
    gone.revoke(token, user),
    gone.revokeAll(user),
    gone.readEpoch(token),
  ]) {
    await expect(use).rejects.toEqual(unavailable)
  }
})
