import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type AuditEntry, type AuditLog, createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import { createSigningKeyStore } from '../../../src/catalog/signing-keys.js'
import { createUserDirectory } from '../../../src/catalog/users/users.js'
import { createSigningKeys } from '../../../src/identity/keys/signing-keys.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'
import { quietLogger } from '../../identity/tokens.js'
import { noOrigin } from '../../support/no-origin.js'

const idp = 'https://idp.example'
const hash = (text: string) => `$argon2id$v=19$m=19456,t=2,p=1$${text}`

let catalog: TestDatabase
let audit: AuditLog
let users: ReturnType<typeof createUserDirectory>
let user: string
let actor: string
/** Length of the chain at the start of a test. */
let start: number

beforeAll(async () => {
  catalog = await createTestCatalog()
  audit = createAuditLog(catalog.pool)
  users = createUserDirectory(catalog.pool, { issuers: [{ issuer: idp, createUsers: true }] })
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  user = (await users.createUser({ email: `${randomUUID()}@example.com`, name: 'Ada' })).user.id
  actor = (await users.createUser({ email: `${randomUUID()}@example.com` })).user.id
  start = (await audit.verify({ tenant: null })).entries
})

/** Returns the entries of this test, without the fields that all entries share. */
async function entries(): Promise<Partial<AuditEntry>[]> {
  const all = await audit.list({ tenant: null, after: start })
  expect(await audit.verify({ tenant: null })).toEqual({
    isIntact: true,
    chains: 1,
    entries: start + all.length,
    problems: [],
  })
  return all.map(({ seq: _seq, at: _at, tenantId, ...rest }) => {
    expect(tenantId).toBeNull()
    return rest
  })
}

const sql = (text: string, values: unknown[] = []) => catalog.pool.query(text, values)
const entry = (action: string, before: unknown, after: unknown, actorId: string | null = null) => ({
  actorId,
  action,
  subject: `user:${user}`,
  before,
  after,
  operator: null,
  apiKey: null,
  ...noOrigin,
})

describe('audit entries of users', () => {
  test('creating a user is audited', async () => {
    const email = `${randomUUID()}@example.com`
    user = (await users.createUser({ email, name: 'Eve', emailVerified: true, actor })).user.id
    const after = { email, name: 'Eve', image: null, emailVerified: true }
    expect(await entries()).toEqual([entry('user.create', null, after, actor)])
  })

  test('a user who is not created because the address is taken is not audited', async () => {
    const { user: other } = (await users.findUserById(actor))!
    await expect(users.createUser({ email: other.email })).rejects.toMatchObject({ code: 'TENANCY_USER_EXISTS' })
    expect(await entries()).toEqual([])
  })

  test('disabling and enabling a user are audited once each', async () => {
    const { disabledAt } = (await users.disableUser({ user, actor })).user
    const at = { disabledAt: expect.stringContaining(disabledAt!.toISOString().slice(0, 19)) }
    await users.enableUser({ user })
    await users.enableUser({ user, actor })
    expect(await entries()).toEqual([
      entry('user.disable', { disabledAt: null }, at, actor),
      entry('user.enable', at, { disabledAt: null }),
    ])
  })

  test('ending all tokens of a user is audited, even while the user is disabled', async () => {
    await users.revokeUserTokens({ user, actor })
    await users.disableUser({ user })
    await users.disableUser({ user })
    const withdrawn = { tokensValidAfter: expect.any(String) }
    expect(await entries()).toMatchObject([
      entry('user.tokens.revoke', { tokensValidAfter: null }, withdrawn, actor),
      entry('user.disable', { disabledAt: null }, { disabledAt: expect.any(String) }),
      entry('user.tokens.revoke', withdrawn, withdrawn),
    ])
  })

  test('changing a user is audited with the changed values and nothing else', async () => {
    const { user: before } = (await users.findUserById(user))!
    await sql(`update users set email = $2, name = 'Ada' where id = $1`, [user, `new-${before.email}`])
    await sql(
      `update users set name = 'Bea', image = 'https://example.com/b.png', email_verified = true where id = $1`,
      [user],
    )
    expect(await entries()).toEqual([
      entry('user.update', { email: before.email }, { email: `new-${before.email}` }),
      entry(
        'user.update',
        { name: 'Ada', image: null, emailVerified: false },
        { name: 'Bea', image: 'https://example.com/b.png', emailVerified: true },
      ),
    ])
  })

  test('setting, changing and removing a password are audited', async () => {
    await sql(
      `insert into user_credentials (user_id, provider_id, account_id, password) values ($1::uuid, 'credential', $1::text, $2)`,
      [user, hash('first')],
    )
    await sql('update user_credentials set password = $2 where user_id = $1', [user, hash('second')])
    await sql('update user_credentials set password = $2 where user_id = $1', [user, hash('second')])
    await sql('update user_credentials set password = null where user_id = $1', [user])
    await sql('update user_credentials set password = $2 where user_id = $1', [user, hash('third')])
    await sql('delete from user_credentials where user_id = $1', [user])
    expect((await entries()).map(({ action, before, after }) => [action, before, after])).toEqual([
      ['user.password.set', null, null],
      ['user.password.change', null, null],
      ['user.password.remove', null, null],
      ['user.password.set', null, null],
      ['user.password.remove', null, null],
    ])
  })

  test('linking and unlinking an identity of another issuer are audited', async () => {
    const email = `${randomUUID()}@example.com`
    const issuedAt = Math.floor(Date.now() / 1000)
    const record = await users.createUserFromToken({
      issuer: idp,
      subject: 'ada',
      isOwn: false,
      epoch: undefined,
      issuedAt,
      expiresAt: issuedAt + 300,
      tenant: undefined,
      claims: { email, email_verified: true },
    })
    user = record!.user.id
    await sql('delete from user_identities where user_id = $1', [user])
    const identity = { issuer: idp, subject: 'ada' }
    expect(await entries()).toEqual([
      entry('user.create', null, expect.objectContaining({ email })),
      entry('user.identity.link', null, identity),
      entry('user.identity.unlink', identity, null),
    ])
  })

  test('deleting a user is audited together with what is deleted with the user', async () => {
    await sql(`insert into user_identities (issuer, subject, user_id) values ($1, $2::text, $2::uuid)`, [idp, user])
    await sql(
      `insert into user_credentials (user_id, provider_id, account_id, password) values ($1::uuid, 'credential', $1::text, $2)`,
      [user, hash('x')],
    )
    await sql('delete from users where id = $1', [user])
    expect((await entries()).slice(2)).toEqual([entry('user.delete', null, null)])
  })
})

test('changes that affect no user are not audited: access, one logout, a change that is rolled back', async () => {
  await sql('select bump_user_epoch($1)', [user])
  await sql('select end_login($1, $2)', [user, randomUUID()])
  await sql('update users set email_verified = email_verified, name = name')
  await sql(`do $$ begin update users set name = 'x'; raise 'no'; end $$`).catch(() => {})
  expect(await entries()).toEqual([])
})

test('an audit entry is the last write in its change’s transaction, so nobody waits for it', async () => {
  const client = await catalog.pool.connect()
  try {
    await client.query('begin')
    await client.query(`select set_config('tenants2fast.actor', $1, true)`, [actor])
    await client.query('update users set disabled_at = now() where id = $1', [user])
    // This waits for no lock that the transaction holds.
    await users.revokeUserTokens({ user: actor })
    await client.query('commit')
    await client.query('update users set disabled_at = null where id = $1', [user])
  } finally {
    client.release()
  }
  expect((await entries()).map(({ action, actorId }) => [action, actorId])).toEqual([
    ['user.tokens.revoke', null],
    ['user.disable', actor],
    // The next transaction on the same connection has no actor.
    ['user.enable', null],
  ])
})

test('many changes of users at once leave the audit chain intact', async () => {
  const made = await Promise.all(
    Array.from({ length: 20 }, async () => users.createUser({ email: `${randomUUID()}@example.com` })),
  )
  await Promise.all(
    made.flatMap(({ user: { id } }) => [users.disableUser({ user: id }), users.revokeUserTokens({ user: id })]),
  )
  await sql('update users set disabled_at = null where id = any ($1)', [made.map((record) => record.user.id)])
  const found = await entries()
  const count = (action: string) => found.filter((one) => one.action === action).length
  expect(['user.create', 'user.disable', 'user.enable'].map(count)).toEqual([20, 20, 20])
})

test.each(['', 'nobody', `${randomUUID()} `])('an actor %j is refused as no user and changes nothing', async (bad) => {
  const invalid = { code: 'TENANCY_REQUEST_INVALID' }
  for (const change of [users.disableUser, users.enableUser, users.revokeUserTokens]) {
    await expect(change({ user, actor: bad })).rejects.toMatchObject(invalid)
  }
  await expect(users.createUser({ email: 'x@example.com', actor: bad })).rejects.toMatchObject(invalid)
  await expect(
    createSigningKeyStore(catalog.pool).addSuccessor(
      { kid: 'k', algorithm: 'EdDSA', publicJwk: {}, sealedPrivateKey: Buffer.of() },
      { publishSeconds: 0, keepSeconds: 0 },
      bad,
    ),
  ).rejects.toMatchObject(invalid)
  expect(await entries()).toEqual([])
})

test('creating, retiring and withdrawing signing keys is audited with the actor and without key material', async () => {
  await sql('truncate signing_keys')
  const keys = createSigningKeys({
    store: createSigningKeyStore(catalog.pool),
    secret: randomBytes(32),
    issuer: 'own',
    audience: 'own',
    logger: quietLogger,
  })
  const kidOf = async () => (await keys.jwks()).keys.map(({ kid }) => `signing-key:${String(kid)}`)
  const [first] = await kidOf()
  await keys.rotate({ actor })
  const [, second] = await kidOf()
  await keys.rotate({ withdraw: true, actor })
  const [third] = await kidOf()
  const found = await entries()
  expect(found.map(({ action, subject, actorId }) => [action, subject, actorId])).toEqual([
    ['signing-key.create', first, null],
    ['signing-key.retire', first, actor],
    ['signing-key.create', second, actor],
    ...[first, second].map((subject) => ['signing-key.retire', subject, actor]),
    ...[first, second].map((subject) => ['signing-key.remove', subject, actor]),
    ['signing-key.create', third, actor],
  ])
  expect(found[0]?.after).toEqual({ algorithm: 'EdDSA', signsFrom: expect.any(String), expiresAt: null })
  expect(found[1]).toMatchObject({ before: { expiresAt: null }, after: { expiresAt: expect.any(String) } })
  const { rows } = await sql('select public_jwk, sealed_private_key from signing_keys')
  const text = JSON.stringify(found)
  expect(text).not.toContain(rows[0].public_jwk.x)
  for (const encoding of ['hex', 'base64', 'base64url'] as const) {
    expect(text).not.toContain((rows[0].sealed_private_key as Buffer).toString(encoding).slice(0, 16))
  }
})
