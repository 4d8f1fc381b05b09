import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createArgon2Hasher, type PasswordHasher } from '../../../src/accounts/better-auth/argon2.js'
import { openEngine } from '../../../src/accounts/better-auth/engine.js'
import type { AccountProvider } from '../../../src/core/accounts/accounts.js'
import { describeAccountProvider, tokenIn } from '../../contract/account-provider.js'
import { type AccountsFixture, createProviderUnderTest, publicUrl } from '../provider-fixture.js'

describeAccountProvider('better-auth', () => createProviderUnderTest())

const email = 'ada@example.com'
const password = 'correct horse battery'
const otherPassword = 'staple of another kind'
const wrong = { code: 'TENANCY_ACCOUNTS_CREDENTIALS_INVALID' }
const badLink = { code: 'TENANCY_ACCOUNTS_LINK_INVALID' }

let fixture: AccountsFixture
let provider: AccountProvider
let argon2: PasswordHasher
beforeAll(async () => {
  argon2 = await createArgon2Hasher()
  const passwords: PasswordHasher = {
    hash(text) {
      fixture.events.push('hash')
      return argon2.hash(text)
    },
    verify(hash, text) {
      fixture.events.push('verify')
      return argon2.verify(hash, text)
    },
  }
  ;({ fixture, provider } = await withFixture(passwords))
})
afterAll(() => fixture.close())
beforeEach(async () => {
  await fixture.settle()
  fixture.logs.length = 0
  await fixture.catalog.pool.query('delete from users; delete from user_registrations')
  fixture.sending = async () => {}
})

/** The hasher records into the events of a fixture that is created after it. */
async function withFixture(passwords: PasswordHasher) {
  let made: AccountsFixture | undefined
  const early: PasswordHasher = {
    hash: (text) => (made ? passwords.hash(text) : argon2.hash(text)),
    verify: (hash, text) => passwords.verify(hash, text),
  }
  const underTest = await createProviderUnderTest({ passwords: early })
  made = underTest.fixture
  return underTest
}

async function lastMail() {
  await fixture.settle()
  return fixture.mails.at(-1)
}

async function registerVerified(address = email): Promise<string> {
  await provider.register({ email: address, password, name: 'Ada' })
  return provider.verifyEmail({ token: tokenIn(await lastMail()), password })
}

/** The events until `call` has answered: hashing and statements. */
async function statementsOf(call: () => Promise<unknown>): Promise<string[]> {
  await fixture.settle()
  fixture.events.length = 0
  await call().catch((error: unknown) => expect(error).toMatchObject(wrong))
  const events = [...fixture.events]
  await fixture.settle()
  return events
}

const firstWord = (statement: string) => statement.split(' ')[0] ?? ''

/** The same events, with only the first word of statements. */
async function eventsOf(call: () => Promise<unknown>): Promise<string[]> {
  return (await statementsOf(call)).map(firstWord)
}

describe('stored secrets', () => {
  it('No table stores a readable password or token', async () => {
    const id = await registerVerified()
    const verification = tokenIn(fixture.mails.at(-1))
    await provider.register({ email: 'second@example.com', password, name: '' })
    const openVerification = tokenIn(await lastMail())
    await provider.requestPasswordReset(email)
    const reset = tokenIn(await lastMail())
    await provider.checkPassword(email, password)
    const dump = await dumpCatalog()
    for (const secret of [password, verification, openVerification, reset]) expect(dump).not.toContain(secret)
    await provider.resetPassword(reset, otherPassword)
    await provider.changePassword(id, otherPassword, password)
    expect(await dumpCatalog()).not.toContain(otherPassword)
    expect(fixture.logs).toEqual([])
    const { rows } = await fixture.catalog.pool.query<{ password: string }>('select password from user_credentials')
    expect(rows).toHaveLength(1)
    for (const row of rows) expect(row.password).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  })

  it('Neither a stored identifier nor a stored hash works as a link or password', async () => {
    await registerVerified()
    await provider.requestPasswordReset(email)
    await fixture.settle()
    const { rows } = await fixture.catalog.pool.query<{ identifier: string; password: string }>(
      'select identifier, password from user_verifications join user_credentials using (user_id)',
    )
    expect(rows).toHaveLength(1)
    for (const row of rows) {
      await expect(provider.resetPassword(row.identifier, otherPassword)).rejects.toMatchObject(badLink)
      await expect(provider.verifyEmail({ token: row.identifier, password })).rejects.toMatchObject(badLink)
      await expect(provider.checkPassword(email, row.password)).rejects.toMatchObject(wrong)
    }
  })

  it('No session is ever stored: a login starts none, and the library cannot', async () => {
    const id = await registerVerified()
    await provider.checkPassword(email, password)
    const engine = await openEngine({ host: fixture.host, passwords: argon2 })
    expect(await engine.internalAdapter.createSession(id)).toBeNull()
    expect((await fixture.catalog.pool.query('select from user_sessions')).rowCount).toBe(0)
  })

  async function dumpCatalog(): Promise<string> {
    const { rows } = await fixture.catalog.pool.query<{ dump: string }>(
      `select string_agg(query_to_xml(format('select * from %I', table_name), true, false, '')::text, '') as dump
         from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`,
    )
    expect(rows[0]?.dump).toContain(email)
    return rows[0]?.dump ?? ''
  }
})

describe('timing of answers', () => {
  it('A login with a wrong password does the same work as one that can never succeed', async () => {
    await registerVerified()
    await registerVerified('disabled@example.com')
    await provider.register({ email: 'unverified@example.com', password, name: '' })
    await fixture.catalog.pool.query(
      `insert into users (email, email_verified) values ('passwordless@example.com', true), ('created@example.com', false)`,
    )
    await fixture.catalog.pool.query(`update users set disabled_at = now() where email like 'disabled@%'`)
    const expected = await eventsOf(() => provider.checkPassword(email, otherPassword))
    expect(expected).toEqual(['select', 'select', 'verify'])
    for (const who of ['disabled', 'unverified', 'passwordless', 'created', 'nobody']) {
      expect(await eventsOf(() => provider.checkPassword(`${who}@example.com`, password))).toEqual(expected)
    }
    expect(await eventsOf(() => provider.checkPassword('no address', password))).toEqual(expected)
  })

  it('Registering a new address runs the same statements as registering one with an account', async () => {
    const register = () => provider.register({ email, password, name: '' })
    const before = await statementsOf(register)
    expect(before.map(firstWord)).toEqual(['hash', 'select'])
    await registerVerified()
    expect(await statementsOf(register)).toEqual(before)
    await fixture.catalog.pool.query('update users set disabled_at = now()')
    expect(await statementsOf(register)).toEqual(before)
    await fixture.catalog.pool.query('update users set disabled_at = null, email_verified = false')
    expect(await statementsOf(register)).toEqual(before)
    expect((await fixture.catalog.pool.query('select from users')).rowCount).toBe(1)
  })

  it('A request for a mail is answered before the catalog is asked about the address', async () => {
    await registerVerified()
    await registerVerified('disabled@example.com')
    await fixture.catalog.pool.query(`update users set disabled_at = now() where email like 'disabled@%'`)
    await provider.register({ email: 'registered@example.com', password, name: '' })
    await fixture.catalog.pool.query(`insert into users (email) values ('created@example.com')`)
    for (const who of ['ada', 'disabled', 'registered', 'created', 'nobody']) {
      for (const ask of [provider.requestPasswordReset, provider.resendVerification]) {
        expect(await statementsOf(() => ask(`${who}@example.com`))).toEqual(['select'])
      }
    }
  })

  it('A request for a mail waits neither for the look-up nor for the mail', async () => {
    await registerVerified()
    let isSending = false
    fixture.sending = async () => {
      isSending = true
    }
    await provider.requestPasswordReset(email)
    expect(isSending).toBe(false)
    await fixture.settle()
    expect(isSending).toBe(true)
  })

  it('A look-up by address uses the index of addresses', async () => {
    fixture.events.length = 0
    await provider.requestPasswordReset(email)
    await fixture.settle()
    const statement = fixture.events.find((event) => /lower\(/i.test(event)) ?? 'none'
    const client = await fixture.catalog.pool.connect()
    try {
      await client.query('begin; set local enable_seqscan = off')
      const { rows } = await client.query(`explain ${statement.replace('$1', pg.escapeLiteral(email))}`)
      expect(JSON.stringify(rows)).toContain('users_email_key')
    } finally {
      await client.query('rollback')
      client.release()
    }
  })
})

describe('mails', () => {
  it('Mails carry links to the pages of accounts, with tokens of 256 bits', async () => {
    await registerVerified()
    expect(fixture.mails.at(-1)?.text).toMatch(new RegExp(`${publicUrl}/auth/verify-email\\?token=[\\w-]{43}\\n`))
    for (const send of [
      () => provider.requestPasswordReset(email),
      () => provider.register({ email, password, name: 'Eve' }),
    ]) {
      await send()
      const mail = await lastMail()
      expect(mail).toMatchObject({ to: email })
      expect(mail?.text).toMatch(new RegExp(`${publicUrl}/auth/password/reset\\?token=[\\w-]{43}\\n`))
      expect(mail?.text).toContain('Hello Ada')
    }
  })

  it('Mails to an unproven address carry no text of whoever registered it', async () => {
    const name = 'Call 0800-FRAUD now'
    const before = fixture.mails.length
    await provider.register({ email, password, name })
    await provider.resendVerification(email)
    await fixture.catalog.pool.query('insert into users (email, name) values ($1, $2)', ['eve@example.com', name])
    await provider.register({ email: 'eve@example.com', password, name })
    await provider.resendVerification('eve@example.com')
    await provider.requestPasswordReset('eve@example.com')
    await fixture.settle()
    const mails = fixture.mails.slice(before)
    expect(mails.map(({ to }) => to).toSorted()).toEqual([
      email,
      email,
      'eve@example.com',
      'eve@example.com',
      'eve@example.com',
    ])
    for (const mail of mails) expect(JSON.stringify(mail)).not.toContain('FRAUD')
  })

  it('Answers do not wait for mails, and closing the host does', async () => {
    let deliver = () => {}
    const delivered = new Promise<void>((resolve) => {
      deliver = resolve
    })
    fixture.sending = () => delivered
    await provider.register({ email, password, name: '' })
    let isClosed = false
    const closed = fixture.settle().then(() => {
      isClosed = true
    })
    await sleep(50)
    expect(isClosed).toBe(false)
    deliver()
    await closed
    expect(isClosed).toBe(true)
  })

  it('Mails that cannot be sent are logged without their link, and the answer is the same', async () => {
    await registerVerified()
    const logged = fixture.logs.length
    fixture.sending = async (mail) => {
      throw new Error(`550 refused: ${mail.text}`)
    }
    await provider.register({ email, password, name: '' })
    await expect(provider.requestPasswordReset(email)).resolves.toBeUndefined()
    await fixture.settle()
    const entries = fixture.logs.slice(logged)
    expect(entries.map(({ level }) => level)).toEqual(['error', 'error'])
    const text = JSON.stringify(entries)
    for (const mail of fixture.mails.slice(-2)) expect(text).not.toContain(tokenIn(mail))
    expect(text).not.toContain(email)
    expect(text).not.toContain('http')
  })
})

it('An expired link is refused', async () => {
  await provider.register({ email, password, name: '' })
  const confirmation = tokenIn(await lastMail())
  await registerVerified('eve@example.com')
  await provider.requestPasswordReset('eve@example.com')
  const reset = tokenIn(await lastMail())
  for (const [table, seconds] of [
    ['user_registrations', 86_400],
    ['user_verifications', 3600],
  ] as const) {
    const { rows } = await fixture.catalog.pool.query<{ seconds: number }>(
      `select round(extract(epoch from expires_at - created_at))::int as seconds from ${table}`,
    )
    expect(rows).toEqual([{ seconds }])
    await fixture.catalog.pool.query(`update ${table} set expires_at = now() - interval '1 second'`)
  }
  await expect(provider.verifyEmail({ token: confirmation, password })).rejects.toMatchObject(badLink)
  await expect(provider.resetPassword(reset, otherPassword)).rejects.toMatchObject(badLink)
  // The next registration deletes the old one.
  await provider.register({ email: 'bob@example.com', password })
  const { rows } = await fixture.catalog.pool.query('select email from user_registrations')
  expect(rows).toEqual([{ email: 'bob@example.com' }])
})

it('This process drops a user from its cache when accounts change the user', async () => {
  const id = await registerVerified()
  expect(fixture.forgotten.at(-1)).toBe(id)
  await provider.requestPasswordReset(email)
  const token = tokenIn(await lastMail())
  for (const change of [
    () => provider.resetPassword(token, otherPassword),
    () => provider.changePassword(id, otherPassword, password),
    () => provider.updateProfile(id, { name: 'Ada L.' }),
  ]) {
    const before = fixture.forgotten.length
    await change()
    expect(fixture.forgotten.slice(before)).toEqual([id])
  }
})

it('A connection that breaks during a registration leaves nothing behind', async () => {
  const other = await createProviderUnderTest({
    passwords: {
      ...argon2,
      async hash(text) {
        const hash = await argon2.hash(text)
        if (text === password) await other.cutCatalog()
        return hash
      },
    },
  })
  try {
    await expect(other.provider.register({ email, password, name: '' })).rejects.toMatchObject({
      code: 'TENANCY_CATALOG_UNAVAILABLE',
    })
    expect(await other.countUsers(email)).toBe(0)
    expect(await other.mailsTo(email)).toEqual([])
  } finally {
    await other.close()
  }
})
