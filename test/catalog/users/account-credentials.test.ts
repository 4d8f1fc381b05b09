import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createUserDirectory } from '../../../src/catalog/users/users.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'

// Everything here is plain SQL, because the rules of the tables must hold for every writer.

let catalog: TestDatabase
beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())

const hash = (text: string) => `$argon2id$v=19$m=19456,t=2,p=1$${text}`

let userId: string
let baseline: { readonly token_epoch: number; readonly tokens_valid_after: string }[]
beforeEach(async () => {
  await catalog.pool.query('delete from users')
  userId = randomUUID()
  await run(`insert into users (id, email, email_verified) values ($1, 'ada@example.com', true)`)
  await run(
    `insert into user_credentials (user_id, provider_id, account_id, password) values ($1::uuid, 'credential', ($1::uuid)::text, $2)`,
    hash('first'),
  )
  await run(
    `insert into user_sessions (user_id, token, expires_at) values ($1, $2, now() + interval '1 hour')`,
    randomBytes(32).toString('hex'),
  )
  await addLink()
  ;({ rows: baseline } = await catalog.pool.query('select token_epoch, tokens_valid_after::text from users'))
})

async function run(text: string, ...values: unknown[]): Promise<number | null> {
  return (await catalog.pool.query(text, [userId, ...values])).rowCount
}

function addLink() {
  return run(
    `insert into user_verifications (user_id, identifier, value, expires_at) values ($1::uuid, $2, ($1::uuid)::text, now() + interval '1 hour')`,
    randomBytes(32).toString('base64url'),
  )
}

interface State {
  /** How much the token epoch rose. */
  readonly raised: number
  readonly revoked: boolean
  readonly sessions: number
  readonly links: number
}

async function state(): Promise<State | undefined> {
  const { rows } = await catalog.pool.query<State>(
    `select token_epoch - $2 as raised, tokens_valid_after > $3::timestamptz as revoked,
            (select count(*)::int from user_sessions where user_id = users.id) as sessions,
            (select count(*)::int from user_verifications where user_id = users.id) as links
       from users where id = $1`,
    [userId, baseline[0]?.token_epoch, baseline[0]?.tokens_valid_after],
  )
  return rows[0]
}

const untouched: State = { raised: 0, revoked: false, sessions: 1, links: 1 }
const ended: State = { raised: 1, revoked: true, sessions: 0, links: 0 }

describe('logins and links end', () => {
  it.each([
    ['a password is changed', `update user_credentials set password = '${hash('second')}' where user_id = $1`],
    ['a password is taken away', 'update user_credentials set password = null where user_id = $1'],
    ['a credential is deleted', 'delete from user_credentials where user_id = $1'],
    [
      'a first password is set',
      `insert into user_credentials (user_id, provider_id, account_id, password) values ($1, 'another', 'x', '${hash('second')}')`,
    ],
    ['a user is disabled', 'update users set disabled_at = now() where id = $1'],
  ])('logins and links end when %s', async (_name, statement) => {
    expect(await state()).toEqual(untouched)
    await run(statement)
    expect(await state()).toEqual(ended)
  })

  it('logins and links stay ended when the user is enabled again', async () => {
    await run('update users set disabled_at = now() where id = $1')
    await run('update users set disabled_at = null where id = $1')
    expect(await state()).toEqual(ended)
  })

  it('logins and links end when an operator disables a user, and the token epoch rises by one', async () => {
    await createUserDirectory(catalog.pool).disableUser({ user: userId })
    expect(await state()).toEqual(ended)
  })

  it('logins and links end in the transaction of the change and are rolled back with it', async () => {
    const client = await catalog.pool.connect()
    await client.query('begin')
    await client.query('update user_credentials set password = $2 where user_id = $1', [userId, hash('second')])
    await client.query('rollback')
    client.release()
    expect(await state()).toEqual(untouched)
  })
})

it('sessions end, but links stay, when all tokens are revoked', async () => {
  await createUserDirectory(catalog.pool).revokeUserTokens({ user: userId })
  expect(await state()).toEqual({ ...ended, links: 1 })
})

it('links are void when the address changes, but logins continue', async () => {
  await run(`update users set email = 'lovelace@example.com' where id = $1`)
  expect(await state()).toEqual({ ...untouched, links: 0 })
})

it.each([
  ['one device logs out', 'update users set token_epoch = token_epoch + 1 where id = $1', 1],
  ['the profile changes', `update users set name = 'Ada', image = 'https://a.b/c.png' where id = $1`, 0],
  ['the same password is written again', `update user_credentials set password = password where user_id = $1`, 0],
  [
    'a login by another provider is joined',
    `insert into user_credentials (user_id, provider_id, account_id) values ($1, 'another', 'x')`,
    0,
  ],
])('no login or link ends when %s', async (_name, statement, raised) => {
  await run(statement)
  expect(await state()).toEqual({ ...untouched, raised })
})

it('a change of one user’s credentials does not touch other users', async () => {
  const ada = userId
  userId = randomUUID()
  await run(`insert into users (id, email) values ($1, 'eve@example.com')`)
  await run('update users set disabled_at = now() where id = $1')
  userId = ada
  expect(await state()).toEqual(untouched)
})

it('%j in the configured claim means unverified', async () => {
  await run('delete from users where id = $1')
  for (const table of ['user_credentials', 'user_sessions', 'user_verifications']) {
    expect((await catalog.pool.query(`select from ${table}`)).rowCount).toBe(0)
  }
})

it('a link in use does not block a change of the password, and a change of the password does not block a link', async () => {
  const client = await catalog.pool.connect()
  await client.query('begin')
  await client.query('delete from user_verifications where user_id = $1', [userId])
  await addLink()
  await run('update user_credentials set password = $2 where user_id = $1', hash('second'))
  await client.query('rollback')
  client.release()
  expect(await state()).toEqual({ ...ended, links: 1 })
})

describe('secrets that are not hashed', () => {
  const rejected = { code: '23514' }

  it.each(['correct horse battery', '', '$2b$10$abcdefghijklmnopqrstuv', '$argon2i$v=19$m=19456,t=2,p=1$x'])(
    '%j is refused as password hash',
    async (text) => {
      const update = 'update user_credentials set password = $2 where user_id = $1'
      await expect(run(update, text)).rejects.toMatchObject(rejected)
    },
  )

  it.each(['ZrUGRVnjuLXHJLsG6eTyrjJxbJZ4HRfy', '', randomUUID()])('%j is refused as session token', async (text) => {
    await expect(run('update user_sessions set token = $2 where user_id = $1', text)).rejects.toMatchObject(rejected)
  })

  it.each(['reset-password:ZrUGRVnjuLXHJLsG6eTyrjJx', '', randomUUID()])('%j is refused as link', async (text) => {
    const update = 'update user_verifications set identifier = $2 where user_id = $1'
    await expect(run(update, text)).rejects.toMatchObject(rejected)
  })
})
