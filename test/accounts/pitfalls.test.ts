import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defaultAccountLimits, type MailingLimits } from '../../src/core/accounts/account-limits.js'
import {
  type AccountsApp,
  type Answer,
  createAccountsApp,
  someAddress,
  someEmail,
  type Tokens,
} from './accounts-app.js'

// Known pitfalls of accounts, of better-auth's own HTTP endpoints or in general: one test each.

let self: AccountsApp
beforeAll(async () => {
  self = await createAccountsApp()
})
afterAll(() => self.close())

const { login } = defaultAccountLimits
/** Most failed logins for one account from one address. */
const most = login.perAccountAndAddress.count

const wrong = (email: string) => ({ email, password: 'wrong horse' })

/** Statuses of `count` requests, one after the other. */
async function statuses(count: number, request: (index: number) => Promise<Answer>): Promise<number[]> {
  const found: number[] = []
  for (let index = 0; index < count; index += 1) found.push((await request(index)).status)
  return found
}

const times = (count: number, status: number) => Array.from({ length: count }, () => status)

async function isLetIn({ access_token: token }: Tokens): Promise<boolean> {
  return (await self.call('GET', '/me', { token })).status === 200
}

const refresh = ({ refresh_token }: Tokens) =>
  self.call('POST', '/token', { form: { grant_type: 'refresh_token', refresh_token } })

/** The parts of an answer that must be equal for all callers. */
/** The request's id belongs to the request, so it is removed before answers are compared. */
function bytesOf({ status, headers, body }: Answer) {
  const { date: _, 'content-length': length, ...others } = headers
  const id = /"requestId":"([^"]*)"/.exec(body)?.[1] ?? ''
  return { status, headers: others, length: Number(length) - id.length, body: body.replace(`"requestId":"${id}"`, '') }
}

describe('attempt limits', () => {
  test('Limits count outside production as well', async () => {
    expect(self.tenancy.config.isProduction).toBe(false)
    const [email, from] = [someEmail(), someAddress()]
    const found = await statuses(most + 2, () => self.call('POST', '/login', { json: wrong(email), from }))
    expect(found).toEqual([...times(most, 401), 429, 429])
  })

  test('Limits go by the socket’s address, so clients without a proxy header do not share one', async () => {
    const email = someEmail()
    const [first, second] = [someAddress(), someAddress()]
    await statuses(most, () => self.call('POST', '/login', { json: wrong(email), from: first }))
    expect((await self.call('POST', '/login', { json: wrong(email), from: first })).status).toBe(429)
    expect((await self.call('POST', '/login', { json: wrong(email), from: second })).status).toBe(401)
    expect((await self.call('POST', '/login', { json: wrong(someEmail()), from: first })).status).toBe(401)
  })

  test.each(['x-forwarded-for', 'x-real-ip', 'x-client-ip', 'cf-connecting-ip', 'forwarded'])(
    'A forged %s header does not bypass the limits',
    async (header) => {
      const [email, from] = [someEmail(), someAddress()]
      const found = await statuses(most + 2, () =>
        self.call('POST', '/login', { json: wrong(email), from, headers: { [header]: someAddress() } }),
      )
      expect(found).toEqual([...times(most, 401), 429, 429])
    },
  )

  test('A forged header before a trusted proxy’s entry does not bypass the limits, with any trustProxy of Fastify', async () => {
    const behind = await createAccountsApp({
      env: { TENANT_TRUSTED_PROXIES: '192.0.2.0/24' },
      fastify: { trustProxy: true },
    })
    try {
      const through = (email: string, client: string, forged: string) =>
        behind.call('POST', '/login', {
          json: wrong(email),
          from: '192.0.2.1',
          headers: { 'x-forwarded-for': `${forged}, ${client}` },
        })
      const email = someEmail()
      const found = await statuses(most + 2, () => through(email, '198.51.100.7', someAddress()))
      expect(found).toEqual([...times(most, 401), 429, 429])
      // Clients of one proxy are distinguished.
      expect((await through(email, '198.51.100.8', someAddress())).status).toBe(401)
      const direct = await statuses(most + 1, () =>
        behind.call('POST', '/login', {
          json: wrong('direct@example.com'),
          from: '198.51.100.9',
          headers: { 'x-forwarded-for': someAddress() },
        }),
      )
      expect(direct).toEqual([...times(most, 401), 429])
    } finally {
      await behind.close()
    }
  })

  test('A limit for an account holds for attempts from anywhere and in any spelling', async () => {
    const email = someEmail()
    const found = await statuses(login.perAccount.count + 1, (index) =>
      self.call('POST', '/login', { json: wrong(index % 2 === 0 ? email : ` ${email.toUpperCase()}`) }),
    )
    expect(found).toEqual([...times(login.perAccount.count, 401), 429])
  })

  test('/login and /token share their limits and answer with Retry-After', async () => {
    const [email, from] = [someEmail(), someAddress()]
    await statuses(most - 5, () => self.call('POST', '/login', { json: wrong(email), from }))
    const form = { username: email, password: 'wrong horse' }
    expect(await statuses(5, () => self.call('POST', '/token', { form, from }))).toEqual(times(5, 400))
    const byForm = await self.call('POST', '/token', { form, from })
    expect([byForm.status, byForm.json()['error']]).toEqual([429, 'temporarily_unavailable'])
    const byJson = await self.call('POST', '/login', { json: wrong(email), from })
    expect([byJson.status, byJson.json()['code']]).toEqual([429, 'TENANCY_REQUEST_TOO_MANY'])
    for (const answer of [byForm, byJson]) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
  })

  test('A limit also refuses the right password, so that nobody learns that it is right', async () => {
    const [user, from] = [await self.addUser(), someAddress()]
    await statuses(most, () => self.call('POST', '/login', { json: wrong(user.email), from }))
    const json = { email: user.email, password: user.password }
    const [right, guess] = [
      await self.call('POST', '/login', { json, from }),
      await self.call('POST', '/login', { json: wrong(user.email), from }),
    ]
    expect([right.status, guess.status, right.json()['code']]).toEqual([429, 429, guess.json()['code']])
  })

  test.each<readonly [string, string, MailingLimits, (email: string) => object]>([
    ['registering', '/register', defaultAccountLimits.register, (email) => ({ email })],
    ['asking for a reset', '/password/forgot', defaultAccountLimits.reset, (email) => ({ email })],
    ['asking for the link again', '/verify-email/resend', defaultAccountLimits.resend, (email) => ({ email })],
  ])(
    'The limits of %s hold per address; for an account only mails are limited, whether it exists or not',
    async (_name, path, { mailsPerAccount, perAddress }, json) => {
      const known = (await self.addUser()).email
      for (const email of [known, someEmail()]) {
        const found = await statuses(mailsPerAccount.count + 2, () => self.call('POST', path, { json: json(email) }))
        expect(found).toEqual(times(mailsPerAccount.count + 2, 202))
      }
      const from = someAddress()
      const found = await statuses(perAddress.count + 1, () =>
        self.call('POST', path, { json: json(someEmail()), from }),
      )
      expect(found).toEqual([...times(perAddress.count, 202), 429])
    },
  )

  test('Limits hold for profile changes and for successful logins', async () => {
    const own = await createAccountsApp({
      env: {
        TENANT_ACCOUNTS_LIMITS: JSON.stringify({
          profile: { perAccount: { count: 2, windowSeconds: 3600 } },
          login: { withSuccesses: { count: 3, windowSeconds: 900 } },
        }),
      },
    })
    try {
      const [user, from] = [await own.addUser(), someAddress()]
      const json = { email: user.email, password: user.password }
      const logins = await statuses(4, () => own.call('POST', '/login', { json, from }))
      expect(logins).toEqual([200, 200, 200, 429])
      const { access_token: token } = await own.login(user)
      const changes = await statuses(3, (index) => own.call('PATCH', '/me', { token, json: { name: `Ada ${index}` } }))
      expect(changes).toEqual([200, 200, 429])
      expect((await own.call('GET', '/me', { token })).json()).toMatchObject({ name: 'Ada 1' })
    } finally {
      await own.close()
    }
  })
})

describe('secrecy of accounts', () => {
  test('Registering does not tell whether an account exists: both answers are the same bytes', async () => {
    const user = await self.addUser()
    const unverified = someEmail()
    const register = (email: string) => self.call('POST', '/register', { json: { email, password: 'correct horse' } })
    const answers = [
      await register(unverified),
      await register(unverified),
      await register(user.email),
      await register(user.email.toUpperCase()),
      await register(someEmail()),
    ]
    for (const answer of answers) expect(bytesOf(answer)).toEqual(bytesOf(answers[0]!))
    expect(answers[0]!.status).toBe(202)
    // A second registration gives nobody a new password.
    expect((await self.call('POST', '/login', { json: { email: user.email, password: 'correct horse' } })).status).toBe(
      401,
    )
    expect((await self.login(user)).token_type).toBe('bearer')
  })

  test('A login does not tell whether an account exists: apart from the request’s id, all refusals are the same bytes', async () => {
    const [user, disabled] = [await self.addUser(), await self.addUser()]
    await self.tenancy.disableUser({ user: disabled.id })
    const unverified = { email: someEmail(), password: 'correct horse' }
    await self.call('POST', '/register', { json: unverified })
    const cases = [wrong(someEmail()), wrong(user.email), disabled, wrong(disabled.email), unverified]
    for (const path of ['/login', '/token']) {
      const answers: Answer[] = []
      for (const { email, password } of cases) {
        const body = path === '/login' ? { json: { email, password } } : { form: { username: email, password } }
        answers.push(await self.call('POST', path, body))
      }
      for (const answer of answers) expect(bytesOf(answer)).toEqual(bytesOf(answers[0]!))
      expect(answers[0]!.status).toBe(path === '/login' ? 401 : 400)
    }
  })

  test('Asking for mails does not tell whether an account exists', async () => {
    const user = await self.addUser()
    for (const path of ['/password/forgot', '/verify-email/resend']) {
      const ask = (email: string) => self.call('POST', path, { json: { email } })
      expect(bytesOf(await ask(user.email))).toEqual(bytesOf(await ask(someEmail())))
    }
  })
})

describe('access tokens', () => {
  test('Access tokens carry exactly the documented claims, and expires_in is a number of seconds', async () => {
    const short = await createAccountsApp({ env: { TENANT_TOKEN_TTL: '300' } })
    try {
      const user = await short.addUser()
      const { access_token, expires_in } = await short.login(user)
      expect(decodeProtectedHeader(access_token)).toEqual({ typ: 'at+jwt', alg: 'EdDSA', kid: expect.any(String) })
      const claims = decodeJwt(access_token)
      expect(claims).toEqual({
        iss: short.tenancy.config.token.issuer,
        aud: short.tenancy.config.token.audience,
        sub: user.id,
        iat: expect.any(Number),
        exp: expect.any(Number),
        jti: expect.any(String),
        epoch: expect.any(Number),
        sid: expect.any(String),
      })
      expect([claims.exp! - claims.iat!, expires_in]).toEqual([300, 300])
      expect(Math.abs(claims.iat! - Date.now() / 1000)).toBeLessThan(60)
    } finally {
      await short.close()
    }
  })

  test('Access tokens live for 15 minutes at most', async () => {
    const { access_token } = await self.login(await self.addUser())
    const { iat, exp } = decodeJwt(access_token)
    expect(exp! - iat!).toBe(900)
    await expect(createAccountsApp({ env: { TENANT_TOKEN_TTL: '901' } })).rejects.toThrow('TENANT_TOKEN_TTL')
  })

  test.each<
    readonly [string, (user: { id: string; email: string; password: string }, tokens: Tokens) => Promise<unknown>]
  >([
    [
      'a logout',
      async (_user, { access_token: token, refresh_token }) =>
        self.call('POST', '/logout', { token, json: { refresh_token } }),
    ],
    [
      'a password reset',
      async ({ email }) => {
        await self.call('POST', '/password/forgot', { json: { email } })
        const token = await self.linkTo(email, 'password/reset')
        await self.call('POST', '/password/reset', { json: { token, password: 'battery staple' } })
      },
    ],
    [
      'a changed password',
      async ({ password }, { access_token: token }) =>
        self.call('POST', '/password/change', { token, json: { current: password, next: 'battery staple' } }),
    ],
    ['disabling the user', async ({ id }) => self.tenancy.disableUser({ user: id })],
    ['revokeUserTokens', async ({ id }) => self.tenancy.revokeUserTokens({ user: id })],
  ])('Access tokens end at once after %s, even if they are remembered as verified', async (_name, end) => {
    const user = await self.addUser()
    const tokens = await self.login(user)
    for (let round = 0; round < 3; round += 1) expect(await isLetIn(tokens)).toBe(true)
    await end(user, tokens)
    expect(await isLetIn(tokens)).toBe(false)
    expect((await refresh(tokens)).status).toBe(400)
  })

  test('Access tokens stay ended when a disabled user is enabled again', async () => {
    const user = await self.addUser()
    const tokens = await self.login(user)
    await self.tenancy.disableUser({ user: user.id })
    await self.tenancy.enableUser({ user: user.id })
    expect([await isLetIn(tokens), (await refresh(tokens)).status]).toEqual([false, 400])
    expect(await isLetIn(await self.login(user))).toBe(true)
  })

  test('Plain SQL also ends access tokens and logins', async () => {
    const user = await self.addUser()
    const tokens = await self.login(user)
    await self.catalog.query(
      `update user_credentials set password = (select password from user_credentials where user_id <> $1 limit 1)
        where user_id = $1`,
      [user.id],
    )
    expect((await refresh(tokens)).status).toBe(400)
    await expect.poll(() => isLetIn(tokens), { timeout: 20_000 }).toBe(false)
  })
})

describe('refresh tokens', () => {
  test('A refresh token used twice ends its login and access tokens at once', async () => {
    const user = await self.addUser()
    const stolen = await self.login(user)
    const other = await self.login(user)
    const second = (await refresh(stolen)).json<Tokens>()
    const third = (await refresh(second)).json<Tokens>()
    expect(await isLetIn(third)).toBe(true)
    expect((await refresh(stolen)).json()).toMatchObject({ error: 'invalid_grant' })
    expect([await isLetIn(third), (await refresh(third)).status]).toEqual([false, 400])
    expect((await refresh(other)).status).toBe(200)
    const warnings = self.installation.log.filter((line) => line.message.includes('old refresh token'))
    expect(warnings.map((line) => line.fields)).toContainEqual({ userId: user.id })
  })

  test('Refresh tokens give nothing to a user who was disabled or is no longer verified', async () => {
    const [disabled, unverified] = [await self.addUser(), await self.addUser()]
    const [first, second] = [await self.login(disabled), await self.login(unverified)]
    await self.catalog.query('update users set disabled_at = now() where id = $1', [disabled.id])
    await self.catalog.query('update users set email_verified = false where id = $1', [unverified.id])
    expect([(await refresh(first)).status, (await refresh(second)).status]).toEqual([400, 400])
  })

  test('Refresh tokens end with the lifetime of their login', async () => {
    const user = await self.addUser()
    const tokens = await self.login(user)
    const { rows } = await self.catalog.query<{ seconds: number }>(
      'select extract(epoch from expires_at - created_at)::float8 as seconds from refresh_families where user_id = $1',
      [user.id],
    )
    expect(rows[0]!.seconds).toBe(self.tenancy.config.token.refreshTtlSeconds)
    await self.catalog.query('update refresh_families set expires_at = now() where user_id = $1', [user.id])
    expect((await refresh(tokens)).status).toBe(400)
  })
})

test('Users who are unverified or disabled get no access', async () => {
  const unverified = { email: someEmail(), password: 'correct horse' }
  await self.call('POST', '/register', { json: unverified })
  expect((await self.call('POST', '/login', { json: unverified })).status).toBe(401)
  const user = await self.tenancy.createUser({ email: someEmail() })
  const { token } = await self.tenancy.issueAccessToken({ user: user.id })
  expect((await self.call('GET', '/me', { token })).json()).toMatchObject({ code: 'TENANCY_AUTH_USER_REFUSED' })
  const disabled = await self.addUser()
  const tokens = await self.login(disabled)
  await self.tenancy.disableUser({ user: disabled.id })
  const json = { email: disabled.email, password: disabled.password }
  expect((await self.call('POST', '/login', { json })).status).toBe(401)
  const me = await self.call('GET', '/me', { token: tokens.access_token })
  expect(me.json()).toMatchObject({ code: 'TENANCY_AUTH_USER_REFUSED' })
})

test.each(['', '1', '1234567', '        ', '\u{1f600}'.repeat(7)])(
  'The password %j is refused everywhere',
  async (password) => {
    const user = await self.addUser()
    const { access_token: token } = await self.login(user)
    await self.call('POST', '/password/forgot', { json: { email: user.email } })
    const link = await self.linkTo(user.email, 'password/reset')
    const newcomer = someEmail()
    await self.call('POST', '/register', { json: { email: newcomer } })
    const confirmation = await self.linkTo(newcomer, 'verify-email')
    const answers = [
      await self.call('POST', '/register', { json: { email: someEmail(), password } }),
      await self.call('POST', '/verify-email', { json: { token: confirmation, password } }),
      await self.call('POST', '/password/reset', { json: { token: link, password } }),
      await self.call('POST', '/password/change', { token, json: { current: user.password, next: password } }),
    ]
    for (const answer of answers) {
      expect([answer.status, answer.json()['code']]).toEqual([422, 'TENANCY_ACCOUNTS_PASSWORD_INVALID'])
    }
    expect((await self.call('POST', '/login', { json: { email: user.email, password } })).status).toBe(401)
  },
)

test('A login works with any or no Origin, and no cookie is set or read', async () => {
  const user = await self.addUser()
  for (const headers of [
    { 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'document' },
    { origin: 'https://evil.example', cookie: 'better-auth.session_token=x.y; session=1' },
    { origin: 'null', referer: 'https://evil.example/' },
  ]) {
    const byForm = await self.call('POST', '/token', {
      form: { username: user.email, password: user.password },
      headers: headers as unknown as Record<string, string>,
    })
    const byJson = await self.call('POST', '/login', {
      json: { email: user.email, password: user.password },
      headers: headers as unknown as Record<string, string>,
    })
    for (const answer of [byForm, byJson])
      expect([answer.status, answer.headers['set-cookie']]).toEqual([200, undefined])
  }
})

test('No token or password can be read in any table of the catalog or in the log', async () => {
  const password = 'a very secret passphrase'
  const user = await self.addUser(password)
  const first = await self.login(user)
  const second = (await refresh(first)).json<Tokens>()
  const pending = someEmail()
  await self.call('POST', '/register', { json: { email: pending, password } })
  const verification = await self.linkTo(pending, 'verify-email')
  await self.call('POST', '/password/forgot', { json: { email: user.email } })
  const reset = await self.linkTo(user.email, 'password/reset')
  await self.call('POST', '/login', { json: { email: user.email, password: 'a wrong passphrase' } })

  const { rows: tables } = await self.catalog.query<{ name: string }>(
    "select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'",
  )
  let dump = ''
  for (const { name } of tables) {
    const { rows } = await self.catalog.query<{ line: string }>(`select row_to_json(t)::text as line from ${name} t`)
    for (const { line } of rows) {
      dump += `${name} ${line}\n`
      // Bytes in every notation.
      for (const [, hex = ''] of line.matchAll(/\\\\x([0-9a-f]+)/g)) {
        const bytes = Buffer.from(hex, 'hex')
        dump += `${bytes.toString('latin1')} ${bytes.toString('base64')} ${bytes.toString('base64url')}\n`
      }
    }
  }
  expect(dump).toContain(user.email)
  expect(dump).toContain('refresh_families')
  const log = self.installation.log
    .filter((line) => !('links' in line.fields))
    .map((line) => JSON.stringify(line))
    .join('\n')
  const secrets = [
    ...[first, second].flatMap((tokens) => [tokens.access_token, tokens.access_token.split('.')[2]!]),
    ...[first, second].flatMap(({ refresh_token }) => {
      const secret = Buffer.from(refresh_token, 'base64url').subarray(16)
      return [
        refresh_token,
        secret.toString('hex'),
        secret.toString('base64'),
        secret.toString('base64url'),
        secret.toString('latin1'),
      ]
    }),
    verification,
    reset,
    password,
    'a wrong passphrase',
  ]
  for (const secret of secrets) {
    expect(dump.includes(secret)).toBe(false)
    expect(log.includes(secret)).toBe(false)
  }
})
