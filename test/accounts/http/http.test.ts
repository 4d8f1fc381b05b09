import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, type IncomingHttpHeaders } from 'node:http2'
import { json as jsonOf } from 'node:stream/consumers'
import Fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tenancyPlugin } from '../../../src/adapters/fastify/index.js'
import { defaultAccountLimits } from '../../../src/core/accounts/account-limits.js'
import type { Mail } from '../../../src/core/accounts/accounts.js'
import { maxAccountsBodyBytes } from '../../../src/http/http-tenancy.js'
import {
  type AccountsApp,
  type Answer,
  createAccountsApp,
  someEmail,
  type TestUser,
  type Tokens,
} from '../accounts-app.js'

/** Most failed logins for one account from one address. */
const most = defaultAccountLimits.login.perAccountAndAddress.count

let self: AccountsApp
let ada: TestUser

beforeAll(async () => {
  self = await createAccountsApp()
  ada = await self.addUser()
})
afterAll(() => self.close())

const codeOf = (answer: Answer) => [answer.status, answer.json()['code']]
const fieldsOf = (answer: Answer) =>
  answer.json<{ errors: { pointer: string }[] }>().errors.map((error) => error.pointer)

async function isLetIn(tokens: Pick<Tokens, 'access_token'>): Promise<boolean> {
  const { status } = await self.call('GET', '/me', { token: tokens.access_token })
  return status === 200
}

async function isGood(refreshToken: string): Promise<boolean> {
  const { status } = await self.call('POST', '/token', {
    form: { grant_type: 'refresh_token', refresh_token: refreshToken },
  })
  return status === 200
}

describe('registering', () => {
  test('Registering sends a link; whoever follows it can log in and see and change the profile', async () => {
    const email = someEmail()
    const registered = await self.call('POST', '/register', {
      json: { email: email.toUpperCase(), password: 'correct horse', name: 'Ada' },
    })
    expect([registered.status, registered.json()]).toEqual([202, {}])
    const credentials = { email, password: 'correct horse' }
    expect(codeOf(await self.call('POST', '/login', { json: credentials }))).toEqual([
      401,
      'TENANCY_ACCOUNTS_CREDENTIALS_INVALID',
    ])
    const token = await self.linkTo(email, 'verify-email')
    expect(fieldsOf(await self.call('POST', '/verify-email', { json: { token } }))).toEqual(['#/password'])
    const weak = { token, password: 'short' }
    expect(codeOf(await self.call('POST', '/verify-email', { json: weak }))).toEqual([
      422,
      'TENANCY_ACCOUNTS_PASSWORD_INVALID',
    ])
    const confirmation = { token, password: credentials.password }
    const verified = await self.call('POST', '/verify-email', { json: confirmation })
    expect([verified.status, verified.json()]).toEqual([200, {}])
    expect(codeOf(await self.call('POST', '/verify-email', { json: confirmation }))).toEqual([
      400,
      'TENANCY_ACCOUNTS_LINK_INVALID',
    ])
    const tokens = (await self.call('POST', '/login', { json: credentials })).json<Tokens>()
    const me = await self.call('GET', '/me', { token: tokens.access_token })
    expect(me.json()).toEqual({
      id: expect.any(String),
      email,
      name: 'Ada',
      image: null,
      emailVerified: true,
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    })
    const changed = await self.call('PATCH', '/me', {
      token: tokens.access_token,
      json: { name: 'Ada Lovelace', image: 'https://example.com/ada.png' },
    })
    expect(changed.json()).toMatchObject({ name: 'Ada Lovelace', image: 'https://example.com/ada.png', email })
    expect((await self.call('GET', '/me', { token: tokens.access_token })).json()).toMatchObject({
      name: 'Ada Lovelace',
    })
    const cleared = await self.call('PATCH', '/me', { token: tokens.access_token, json: { image: null } })
    expect(cleared.json()).toMatchObject({ name: 'Ada Lovelace', image: null })
  })

  test('Registering needs only the address; password and name can come with the confirmation', async () => {
    const email = someEmail()
    expect((await self.call('POST', '/register', { json: { email } })).status).toBe(202)
    const token = await self.linkTo(email, 'verify-email')
    const json = { token, password: 'correct horse', name: 'Ada' }
    expect((await self.call('POST', '/verify-email', { json })).status).toBe(200)
    const tokens = (await self.call('POST', '/login', { json: { email, password: 'correct horse' } })).json<Tokens>()
    const me = await self.call('GET', '/me', { token: tokens.access_token })
    expect(me.json()).toMatchObject({ email, name: 'Ada' })
  })

  test('A refused registration names each missing, wrong or unknown field and repeats no value', async () => {
    const answer = await self.call('POST', '/register', {
      json: { email: 7, name: 'a\0b', nmae: 'x', password: ['s3cret-value'] },
    })
    expect(codeOf(answer)).toEqual([400, 'TENANCY_REQUEST_INVALID'])
    expect(fieldsOf(answer).toSorted()).toEqual(['#/email', '#/name', '#/nmae', '#/password'])
    expect(answer.json()['detail']).toContain('nmae is not a field of this request')
    expect(answer.body).not.toContain('s3cret-value')
    expect(fieldsOf(await self.call('POST', '/register', { json: {} }))).toEqual(['#/email'])
    for (const json of [null, [], 'text', 7]) {
      expect(fieldsOf(await self.call('POST', '/register', { json }))).toEqual(['#'])
    }
  })

  test.each([
    ['no address', { email: 'not an address', password: 'correct horse' }, 'TENANCY_ACCOUNTS_EMAIL_INVALID'],
    ['a short password', { email: 'a@example.com', password: '1234567' }, 'TENANCY_ACCOUNTS_PASSWORD_INVALID'],
    ['an empty password', { email: 'a@example.com', password: '' }, 'TENANCY_ACCOUNTS_PASSWORD_INVALID'],
  ])('Registering with %s is refused', async (_name, json, code) => {
    expect(codeOf(await self.call('POST', '/register', { json }))).toEqual([422, code])
  })

  test('A link is sent again to unverified users, and the answer is the same for everybody', async () => {
    const email = someEmail()
    await self.call('POST', '/register', { json: { email, password: 'correct horse' } })
    await self.linkTo(email, 'verify-email')
    const answers = await Promise.all(
      [email, ada.email, someEmail()].map((to) => self.call('POST', '/verify-email/resend', { json: { email: to } })),
    )
    expect(answers.map((answer) => [answer.status, answer.body])).toEqual([
      [202, '{}'],
      [202, '{}'],
      [202, '{}'],
    ])
    const token = await self.linkTo(email, 'verify-email')
    const json = { token, password: 'correct horse' }
    expect((await self.call('POST', '/verify-email', { json })).status).toBe(200)
  })
})

describe('logging in', () => {
  test('Logging in by JSON and by form gives the same answer', async () => {
    const byJson = await self.call('POST', '/login', { json: { email: ada.email, password: ada.password } })
    const byForm = await self.call('POST', '/token', { form: { username: ada.email, password: ada.password } })
    const byGrant = await self.call('POST', '/token', {
      form: { grant_type: 'password', username: ada.email, password: ada.password, scope: '', client_id: 'x' },
    })
    for (const answer of [byJson, byForm, byGrant]) {
      expect(answer.status).toBe(200)
      expect([answer.headers['cache-control'], answer.headers['pragma'], answer.headers['set-cookie']]).toEqual([
        'no-store',
        'no-cache',
        undefined,
      ])
      expect(answer.json()).toEqual({
        access_token: expect.stringMatching(/^eyJ/),
        token_type: 'bearer',
        expires_in: 900,
        refresh_token: expect.stringMatching(/^[\w-]{64}$/),
      })
      expect(await isLetIn(answer.json<Tokens>())).toBe(true)
    }
  })

  test('Logging in fails with a wrong password or unknown address, and ignores the case of the address', async () => {
    for (const json of [
      { email: ada.email, password: 'wrong horse' },
      { email: someEmail(), password: ada.password },
      { email: ada.email, password: '' },
    ]) {
      const answer = await self.call('POST', '/login', { json })
      expect(codeOf(answer)).toEqual([401, 'TENANCY_ACCOUNTS_CREDENTIALS_INVALID'])
      expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    }
    const upper = { email: ` ${ada.email.toUpperCase()} `, password: ada.password }
    expect((await self.call('POST', '/login', { json: upper })).status).toBe(200)
  })

  test.each<readonly [string, Record<string, string> | string, string]>([
    ['nothing', '', 'invalid_request'],
    ['a user name alone', { username: 'a@b.c' }, 'invalid_request'],
    ['an empty password', { username: 'a@b.c', password: '' }, 'invalid_request'],
    ['a grant without its fields', { grant_type: 'refresh_token' }, 'invalid_request'],
    ['a field twice', 'username=a&username=b&password=c', 'invalid_request'],
    ['control characters', { username: 'a\0@b.c', password: 'c' }, 'invalid_request'],
    ['another grant', { grant_type: 'client_credentials' }, 'unsupported_grant_type'],
    ['a wrong password', { grant_type: 'password', username: 'a@b.c', password: 'wrong horse' }, 'invalid_grant'],
    ['an unknown refresh token', { grant_type: 'refresh_token', refresh_token: 'A'.repeat(64) }, 'invalid_grant'],
    ['garbage for a refresh token', { grant_type: 'refresh_token', refresh_token: '"\\\u00e4' }, 'invalid_grant'],
  ])('A token request by form with %s is answered as RFC 6749 says', async (_name, form, error) => {
    const answer = await self.call('POST', '/token', { form })
    expect([answer.status, answer.headers['content-type'], answer.headers['cache-control']]).toEqual([
      400,
      'application/json; charset=utf-8',
      'no-store',
    ])
    expect(answer.json()).toEqual({
      error,
      error_description: expect.stringMatching(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/),
    })
  })

  test('JSON sent to /token and a form sent to /login are refused', async () => {
    const credentials = { username: ada.email, password: ada.password }
    expect((await self.call('POST', '/token', { json: credentials })).json()).toMatchObject({
      error: 'invalid_request',
    })
    expect(codeOf(await self.call('POST', '/login', { form: credentials }))).toEqual([
      415,
      'TENANCY_REQUEST_TYPE_UNSUPPORTED',
    ])
  })
})

describe('refreshing', () => {
  test('Refreshing gives new tokens and uses up the old refresh token', async () => {
    const first = await self.login(ada)
    const form = { grant_type: 'refresh_token', refresh_token: first.refresh_token }
    const answer = await self.call('POST', '/token', { form })
    const second = answer.json<Tokens>()
    expect([answer.status, second.token_type, second.expires_in]).toEqual([200, 'bearer', 900])
    expect(second.refresh_token).not.toBe(first.refresh_token)
    expect([await isLetIn(first), await isLetIn(second)]).toEqual([true, true])
    expect((await self.call('POST', '/token', { form })).json()).toMatchObject({ error: 'invalid_grant' })
    expect(await isGood(second.refresh_token)).toBe(true)
  })

  test('Of twenty simultaneous refreshes one succeeds, and the login continues', async () => {
    const { refresh_token } = await self.login(ada)
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        self.call('POST', '/token', { form: { grant_type: 'refresh_token', refresh_token } }),
      ),
    )
    const good = answers.filter((answer) => answer.status === 200)
    expect([good.length, answers.filter((answer) => answer.status === 400).length]).toEqual([1, 19])
    expect(await isGood(good[0]!.json<Tokens>().refresh_token)).toBe(true)
  })

  test('Refreshing while the user’s tokens are revoked gives nothing that outlives the revocation', async () => {
    const user = await self.addUser()
    for (let round = 0; round < 10; round += 1) {
      const { refresh_token } = await self.login(user)
      const [refreshed, began] = await Promise.all([
        self.call('POST', '/token', { form: { grant_type: 'refresh_token', refresh_token } }),
        self.call('POST', '/login', { json: { email: user.email, password: user.password } }),
        self.tenancy.revokeUserTokens({ user: user.id }),
      ])
      expect([200, 400]).toContain(refreshed.status)
      expect([200, 401]).toContain(began.status)
      for (const answer of [refreshed, began]) {
        if (answer.status !== 200) continue
        const tokens = answer.json<Tokens>()
        expect(await isLetIn(tokens)).toBe(await isGood(tokens.refresh_token))
      }
    }
  })
})

describe('logging out', () => {
  test('Logging out of one login ends it at once, and another continues by refreshing', async () => {
    const [phone, laptop] = [await self.login(ada), await self.login(ada)]
    expect([await isLetIn(phone), await isLetIn(laptop)]).toEqual([true, true])
    const answer = await self.call('POST', '/logout', {
      token: phone.access_token,
      json: { refresh_token: phone.refresh_token },
    })
    expect([answer.status, answer.body]).toEqual([204, ''])
    expect([await isLetIn(phone), await isLetIn(laptop)]).toEqual([false, false])
    expect(await isGood(phone.refresh_token)).toBe(false)
    expect(await isGood(laptop.refresh_token)).toBe(true)
  })

  test.each<readonly [string, (tokens: Tokens) => unknown]>([
    ['everywhere', (tokens) => ({ refresh_token: tokens.refresh_token, everywhere: true })],
    ['without naming a login', () => ({})],
    ['without a body', () => undefined],
  ])('Logging out %s ends every login', async (_name, json) => {
    const [phone, laptop] = [await self.login(ada), await self.login(ada)]
    const answer = await self.call('POST', '/logout', { token: phone.access_token, json: json(phone) })
    expect(answer.status).toBe(204)
    expect([await isLetIn(phone), await isLetIn(laptop)]).toEqual([false, false])
    expect([await isGood(phone.refresh_token), await isGood(laptop.refresh_token)]).toEqual([false, false])
  })

  test('Logging out with somebody else’s refresh token does not end their login', async () => {
    const [mine, theirs] = [await self.login(ada), await self.login(await self.addUser())]
    const json = { refresh_token: theirs.refresh_token }
    expect((await self.call('POST', '/logout', { token: mine.access_token, json })).status).toBe(204)
    expect([await isLetIn(theirs), await isGood(theirs.refresh_token)]).toEqual([true, true])
  })

  test('Logging out needs an access token', async () => {
    const { refresh_token } = await self.login(ada)
    const answer = await self.call('POST', '/logout', { json: { refresh_token } })
    expect([...codeOf(answer), answer.headers['www-authenticate']]).toEqual([401, 'TENANCY_AUTH_REQUIRED', 'Bearer'])
    expect(await isGood(refresh_token)).toBe(true)
  })
})

describe('passwords', () => {
  test('A forgotten password is set by a link that works once, and every login ends', async () => {
    const user = await self.addUser()
    const tokens = await self.login(user)
    const asked = await self.call('POST', '/password/forgot', { json: { email: user.email } })
    expect([asked.status, asked.body]).toEqual([202, '{}'])
    const token = await self.linkTo(user.email, 'password/reset')
    const short = await self.call('POST', '/password/reset', { json: { token, password: 'short' } })
    expect(codeOf(short)).toEqual([422, 'TENANCY_ACCOUNTS_PASSWORD_INVALID'])
    expect(await isLetIn(tokens)).toBe(true)
    const set = { token, password: 'battery staple' }
    expect((await self.call('POST', '/password/reset', { json: set })).status).toBe(204)
    expect(codeOf(await self.call('POST', '/password/reset', { json: set }))).toEqual([
      400,
      'TENANCY_ACCOUNTS_LINK_INVALID',
    ])
    expect([await isLetIn(tokens), await isGood(tokens.refresh_token)]).toEqual([false, false])
    await expect(self.login(user)).rejects.toThrow('401')
    expect(await isLetIn(await self.login({ ...user, password: 'battery staple' }))).toBe(true)
  })

  test('A password reset for an address without an account gets the same answer and sends no mail', async () => {
    const email = someEmail()
    const answer = await self.call('POST', '/password/forgot', { json: { email } })
    expect([answer.status, answer.body, self.mailsTo(email)]).toEqual([202, '{}', 0])
  })

  test('A password reset lets the owner log in although others have used up the attempts', async () => {
    const user = await self.addUser()
    const from = '192.0.2.77'
    const json = { email: user.email, password: 'wrong horse' }
    for (let attempt = 0; attempt < most; attempt += 1) await self.call('POST', '/login', { json, from })
    expect(codeOf(await self.call('POST', '/login', { json, from }))).toEqual([429, 'TENANCY_REQUEST_TOO_MANY'])
    await self.call('POST', '/password/forgot', { json: { email: user.email } })
    const token = await self.linkTo(user.email, 'password/reset')
    await self.call('POST', '/password/reset', { json: { token, password: 'battery staple' }, from })
    const answer = await self.call('POST', '/login', { json: { email: user.email, password: 'battery staple' }, from })
    expect(answer.status).toBe(200)
  })

  test('A password is changed by a user who knows it, and every login ends', async () => {
    const user = await self.addUser()
    const tokens = await self.login(user)
    const change = (json: object, token = tokens.access_token) => self.call('POST', '/password/change', { token, json })
    expect(codeOf(await change({ current: 'wrong horse', next: 'battery staple' }))).toEqual([
      401,
      'TENANCY_ACCOUNTS_CREDENTIALS_INVALID',
    ])
    expect(codeOf(await change({ current: user.password, next: 'short' }))).toEqual([
      422,
      'TENANCY_ACCOUNTS_PASSWORD_INVALID',
    ])
    expect(await isLetIn(tokens)).toBe(true)
    expect((await change({ current: user.password, next: 'battery staple' })).status).toBe(204)
    expect([await isLetIn(tokens), await isGood(tokens.refresh_token)]).toEqual([false, false])
    expect(await isLetIn(await self.login({ ...user, password: 'battery staple' }))).toBe(true)
  })

  test('A stolen access token does not allow guessing the password without limit', async () => {
    const user = await self.addUser()
    const { access_token: token } = await self.login(user)
    const answers: number[] = []
    for (let attempt = 0; attempt < most + 2; attempt += 1) {
      const json = { current: `wrong ${attempt}`, next: 'battery staple' }
      answers.push((await self.call('POST', '/password/change', { token, json, from: '192.0.2.78' })).status)
    }
    expect(answers.slice(0, most)).toEqual(Array.from({ length: most }, () => 401))
    expect(answers.slice(most)).toEqual([429, 429])
  })
})

describe('pages', () => {
  test.each([
    ['/verify-email', 'Confirm your e-mail address'],
    ['/password/reset', 'Set a new password'],
  ])('The page %s holds one form, loads nothing from elsewhere and escapes the token', async (path, title) => {
    const token = '"><script>alert(1)</script>&'
    const answer = await self.call('GET', `${path}?token=${encodeURIComponent(token)}`)
    expect([answer.status, answer.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringMatching(
        /^default-src 'none'; style-src 'sha256-[\w+/=]+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
      ),
    })
    expect(answer.body).toContain(`<title>${title}</title>`)
    expect(answer.body).toContain('value="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;"')
    expect(answer.body).not.toMatch(/<script|https?:|src=|<link|<img/)
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  test.each(['/verify-email', '/password/reset', '/verify-email?token=', '/verify-email?token=a%00b'])(
    'The page %s without a complete token says so',
    async (path) => {
      const answer = await self.call('GET', path)
      expect([answer.status, answer.headers['content-type']]).toEqual([400, 'text/html; charset=utf-8'])
      expect(answer.body).not.toContain('<form')
    },
  )

  test('Opening a link changes nothing; sending the form verifies the address', async () => {
    const email = someEmail()
    const password = 'correct horse'
    await self.call('POST', '/register', { json: { email, password } })
    const token = await self.linkTo(email, 'verify-email')
    for (const method of ['GET', 'HEAD', 'GET']) await self.call(method, `/verify-email?token=${token}`)
    // A program that also sends forms has no password to send.
    for (const form of [{ token }, { token, password: '' }, { token, password: 'short' }]) {
      const answer = await self.call('POST', '/verify-email', { form })
      expect([answer.status, answer.headers['content-type']]).toEqual([422, 'text/html; charset=utf-8'])
      expect(answer.body).toContain(`value="${token}"`)
    }
    expect((await self.call('POST', '/login', { json: { email, password } })).status).toBe(401)
    const verified = await self.call('POST', '/verify-email', {
      form: { token, password },
      headers: { origin: 'null' },
    })
    expect([verified.status, verified.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect((await self.call('POST', '/login', { json: { email, password } })).status).toBe(200)
    const again = await self.call('POST', '/verify-email', { form: { token, password } })
    expect([again.status, again.headers['content-type']]).toEqual([400, 'text/html; charset=utf-8'])
  })

  test('A refused password shows the form again, which then sets an accepted one', async () => {
    const user = await self.addUser()
    await self.call('POST', '/password/forgot', { json: { email: user.email } })
    const token = await self.linkTo(user.email, 'password/reset')
    for (const form of [{ token, password: 'short' }, { token, password: '' }, { token }]) {
      const answer = await self.call('POST', '/password/reset', { form })
      expect(answer.status).toBe(422)
      expect(answer.body).toContain(`value="${token}"`)
    }
    const answer = await self.call('POST', '/password/reset', { form: { token, password: 'battery staple' } })
    expect(answer.status).toBe(200)
    expect(await isLetIn(await self.login({ ...user, password: 'battery staple' }))).toBe(true)
    expect((await self.call('POST', '/password/reset', { form: { token, password: 'battery staple' } })).status).toBe(
      400,
    )
  })

  test('Title and action of a form do not depend on where a proxy mounts the page', async () => {
    const { body } = await self.call('GET', '/password/reset?token=x')
    expect(body).toContain('<form method="post" action="reset">')
    expect((await self.call('GET', '/verify-email?token=x')).body).toContain('action="verify-email"')
  })
})

describe('authentication', () => {
  test.each([
    ['GET', '/me'],
    ['PATCH', '/me'],
    ['POST', '/logout'],
    ['POST', '/password/change'],
  ])('%s %s needs a valid access token and accepts no cookie', async (method, path) => {
    const { access_token } = await self.login(ada)
    const anonymous = await self.call(method, path, { headers: { cookie: `token=${access_token}` } })
    expect([...codeOf(anonymous), anonymous.headers['www-authenticate']]).toEqual([
      401,
      'TENANCY_AUTH_REQUIRED',
      'Bearer',
    ])
    const forged = await self.call(method, path, { token: `${access_token.slice(0, -4)}AAAA` })
    expect([...codeOf(forged), forged.headers['www-authenticate']]).toEqual([
      401,
      'TENANCY_AUTH_TOKEN_INVALID',
      'Bearer error="invalid_token"',
    ])
  })

  test('A refresh token is not accepted as an access token', async () => {
    const { refresh_token } = await self.login(ada)
    expect((await self.call('GET', '/me', { token: refresh_token })).status).toBe(401)
  })

  test('A profile accepts only known fields and web addresses', async () => {
    const { access_token: token } = await self.login(ada)
    const answer = await self.call('PATCH', '/me', {
      token,
      json: { name: 'x'.repeat(201), image: 'javascript:alert(1)', email: 'x@y.z', disabledAt: null },
    })
    expect(fieldsOf(answer).toSorted()).toEqual(['#/disabledAt', '#/email', '#/image', '#/name'])
    expect((await self.call('PATCH', '/me', { token, json: {} })).json()).toMatchObject({ email: ada.email })
  })
})

describe('routes of accounts', () => {
  const allowed: Readonly<Record<string, string>> = {
    '/register': 'POST, OPTIONS',
    '/verify-email': 'GET, POST, HEAD, OPTIONS',
    '/verify-email/resend': 'POST, OPTIONS',
    '/login': 'POST, OPTIONS',
    '/token': 'POST, OPTIONS',
    '/logout': 'POST, OPTIONS',
    '/password/forgot': 'POST, OPTIONS',
    '/password/reset': 'GET, POST, HEAD, OPTIONS',
    '/password/change': 'POST, OPTIONS',
    '/me': 'GET, PATCH, HEAD, OPTIONS',
  }

  test.each(Object.entries(allowed))('The route %s allows %s', async (path, allow) => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      if (allow.split(', ').includes(method)) continue
      const answer = await self.call(method, path)
      expect([method, answer.status, answer.headers['allow']]).toEqual([method, 405, allow])
      if (method !== 'HEAD') expect(answer.json()['code']).toBe('TENANCY_REQUEST_METHOD_UNSUPPORTED')
    }
    const options = await self.accounts.handle(new Request(`http://localhost/auth${path}`, { method: 'OPTIONS' }), {
      remoteAddress: undefined,
    })
    expect([options.status, options.headers.get('allow')]).toEqual([204, allow])
  })

  test.each([
    '/',
    '/nothing',
    '/login/',
    '/LOGIN',
    '/%6Cogin',
    '/login%2F',
    '//login',
    '/sign-in/email',
    '/../auth/logout/x',
  ])('The path %s is no route of accounts', async (path) => {
    for (const method of ['GET', 'POST']) {
      const answer = await self.call(method, path, method === 'POST' ? { json: {} } : {})
      expect(answer.status).toBe(404)
    }
  })

  test('Unknown paths and methods are answered with problem documents', async () => {
    const answer = await self.call('GET', '/nothing')
    expect([...codeOf(answer), answer.headers['content-type']]).toEqual([
      404,
      'TENANCY_REQUEST_PATH_UNKNOWN',
      'application/problem+json; charset=utf-8',
    ])
  })

  test('HEAD is answered like GET, without a body', async () => {
    const { access_token: token } = await self.login(ada)
    const answer = await self.call('HEAD', '/me', { token })
    expect([answer.status, answer.body, answer.headers['content-type']]).toEqual([
      200,
      '',
      'application/json; charset=utf-8',
    ])
    expect((await self.call('HEAD', '/me')).status).toBe(401)
  })

  test('OPTIONS is left to the application, for CORS', async () => {
    expect((await self.app.inject({ method: 'OPTIONS', url: '/auth/login' })).statusCode).toBe(404)
    const open = await createAccountsApp({
      before: (app) =>
        app.options('*', { config: { tenancy: 'none' } }, (_request, reply) =>
          reply.code(204).header('access-control-allow-origin', '*').send(),
        ),
    })
    try {
      const answer = await open.app.inject({ method: 'OPTIONS', url: '/auth/login' })
      expect([answer.statusCode, answer.headers['access-control-allow-origin']]).toEqual([204, '*'])
    } finally {
      await open.close()
    }
  })

  test('An application keeps its parsers, error handler and 404 handler, and accounts keep theirs', async () => {
    const own = await createAccountsApp({
      fastify: { bodyLimit: 100, exposeHeadRoutes: false, trustProxy: true },
      before(app) {
        app.removeAllContentTypeParsers()
        app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
          done(null, `own:${String(body)}`),
        )
        app.setErrorHandler((error, _request, reply) => reply.code(499).send({ mine: (error as Error).message }))
        app.setNotFoundHandler((_request, reply) => reply.code(498).send({ mine: 'nothing' }))
      },
    })
    try {
      own.app.post('/echo', { config: { tenancy: 'none' } }, async (request) => ({ body: request.body }))
      own.app.post('/fail', { config: { tenancy: 'none' } }, async () => Promise.reject(new Error('x')))
      const inject = async (url: string, payload: string) =>
        (
          await own.app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json' } })
        ).json<object>()
      expect(await inject('/echo', '{}')).toEqual({ body: 'own:{}' })
      expect(await inject('/fail', '{}')).toEqual({ mine: 'x' })
      expect(await inject('/elsewhere', '{}')).toEqual({ mine: 'nothing' })
      expect(codeOf(await own.call('POST', '/nothing', { json: {} }))).toEqual([404, 'TENANCY_REQUEST_PATH_UNKNOWN'])
      // Longer than the application's own limit, which must not apply to accounts.
      const user = await own.addUser('x'.repeat(100))
      expect((await own.login(user)).token_type).toBe('bearer')
      const huge = await own.call('POST', '/login', {
        json: { email: 'x'.repeat(maxAccountsBodyBytes), password: 'x' },
      })
      expect(codeOf(huge)).toEqual([413, 'TENANCY_REQUEST_TOO_LARGE'])
      expect(codeOf(await own.call('POST', '/login', { json: {}, headers: { 'content-type': 'nonsense' } }))).toEqual([
        415,
        'TENANCY_REQUEST_TYPE_UNSUPPORTED',
      ])
      expect((await own.call('HEAD', '/verify-email?token=x')).status).toBe(200)
    } finally {
      await own.close()
    }
  })

  test('An application can serve its own page where a link leads', async () => {
    const own = await createAccountsApp({
      before: (app) =>
        app.get('/auth/verify-email', { config: { tenancy: 'none' } }, async (request) => ({ mine: request.query })),
    })
    try {
      expect((await own.call('GET', '/verify-email?token=x')).json()).toEqual({ mine: { token: 'x' } })
      const json = { token: 'x', password: 'correct horse' }
      expect(codeOf(await own.call('POST', '/verify-email', { json }))).toEqual([400, 'TENANCY_ACCOUNTS_LINK_INVALID'])
    } finally {
      await own.close()
    }
  })

  test('Accounts work the same over HTTP/2', async () => {
    const { tenancy, accounts } = self
    const app = Fastify({ http2: true })
    await app.register(tenancyPlugin, { tenancy, accounts })
    const session = connect(await app.listen({ port: 0, host: '127.0.0.1' }))
    try {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/auth/token',
        'content-type': 'application/x-www-form-urlencoded',
      })
      stream.end(String(new URLSearchParams({ username: ada.email, password: ada.password })))
      const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders]
      const answer = (await jsonOf(stream)) as Tokens
      expect([headers[':status'], answer.token_type, await isLetIn(answer)]).toEqual([200, 'bearer', true])
    } finally {
      session.close()
      await app.close()
    }
  })

  test('A strange Host header does no harm', async () => {
    for (const host of ['', 'a b', '[::1', 'x:99999', 'evil.example/auth', '"']) {
      expect((await self.call('GET', '/verify-email?token=x', { headers: { host } })).status).toBe(200)
    }
  })
})

describe('request bodies', () => {
  const handle = (init: RequestInit, path = '/login') =>
    self.accounts.handle(new Request(`http://localhost/auth${path}`, { method: 'POST', ...init }), {
      remoteAddress: '192.0.2.9',
    })
  const codeFrom = async (response: Response) => [response.status, ((await response.json()) as { code: string }).code]
  const json = { 'content-type': 'application/json' }

  test.each<readonly [string, RequestInit, number, string]>([
    ['without a type', { body: new Uint8Array(2) }, 415, 'TENANCY_REQUEST_TYPE_UNSUPPORTED'],
    [
      'of another type',
      { body: '{}', headers: { 'content-type': 'text/plain' } },
      415,
      'TENANCY_REQUEST_TYPE_UNSUPPORTED',
    ],
    [
      'in another charset',
      { body: '{}', headers: { 'content-type': 'application/json; charset=utf-16' } },
      415,
      'TENANCY_REQUEST_TYPE_UNSUPPORTED',
    ],
    [
      'of a type that only starts so',
      { body: '{}', headers: { 'content-type': 'application/jsonp' } },
      415,
      'TENANCY_REQUEST_TYPE_UNSUPPORTED',
    ],
    [
      'that is compressed',
      { body: '{}', headers: { ...json, 'content-encoding': 'gzip' } },
      415,
      'TENANCY_REQUEST_TYPE_UNSUPPORTED',
    ],
    ['that is not JSON', { body: '{email:1}', headers: json }, 400, 'TENANCY_REQUEST_INVALID'],
    ['that is empty', { body: '', headers: json }, 400, 'TENANCY_REQUEST_INVALID'],
    ['that is not UTF-8', { body: Buffer.from([0x7b, 0xff, 0x7d]), headers: json }, 400, 'TENANCY_REQUEST_INVALID'],
    ['that is missing', {}, 400, 'TENANCY_REQUEST_INVALID'],
    [
      'that is too long',
      { body: ' '.repeat(maxAccountsBodyBytes + 1), headers: json },
      413,
      'TENANCY_REQUEST_TOO_LARGE',
    ],
    [
      'that says it is too long',
      { body: '{}', headers: { ...json, 'content-length': '99999' } },
      413,
      'TENANCY_REQUEST_TOO_LARGE',
    ],
  ])('A body %s is refused', async (_name, init, status, code) => {
    expect(await codeFrom(await handle(init))).toEqual([status, code])
  })

  test('A body that never ends is refused once it is too long', async () => {
    let pulls = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulls += 1
        controller.enqueue(new Uint8Array(1024).fill(0x20))
      },
    })
    const response = await handle({ body, headers: json, duplex: 'half' })
    expect(await codeFrom(response)).toEqual([413, 'TENANCY_REQUEST_TOO_LARGE'])
    expect(pulls).toBeLessThan(40)
  })

  test.each(['application/json', 'Application/JSON;charset=UTF-8', 'application/json; charset="utf-8"'])(
    'A body of type %s is read',
    async (type) => {
      const body = JSON.stringify({ email: ada.email, password: ada.password })
      expect((await handle({ body, headers: { 'content-type': type } })).status).toBe(200)
    },
  )

  test('A body with __proto__ is just a body with an unknown field', async () => {
    const body = '{"__proto__":{"email":"a@b.c"},"constructor":1,"email":"a@b.c","password":"wrong horse"}'
    expect(await codeFrom(await handle({ body, headers: json }))).toEqual([400, 'TENANCY_REQUEST_INVALID'])
  })
})

describe('failures', () => {
  test('An outage of the catalog is answered 503 in the format of each route', async () => {
    const broken = await createAccountsApp()
    const user = await broken.addUser()
    const tokens = await broken.login(user)
    await broken.catalog.query('alter table account_attempts rename to account_attempts_gone')
    await broken.catalog.query('alter table refresh_families rename to refresh_families_gone')
    try {
      const login = await broken.call('POST', '/login', { json: { email: user.email, password: user.password } })
      expect([...codeOf(login), login.headers['retry-after']]).toEqual([503, 'TENANCY_CATALOG_UNAVAILABLE', '1'])
      for (const form of [
        { username: user.email, password: user.password },
        { grant_type: 'refresh_token', refresh_token: tokens.refresh_token },
      ]) {
        const answer = await broken.call('POST', '/token', { form })
        expect([answer.status, answer.headers['retry-after'], answer.json()['error']]).toEqual([
          503,
          '1',
          'temporarily_unavailable',
        ])
        expect(answer.body).not.toMatch(/relation|refresh_families|account_attempts/)
      }
    } finally {
      await broken.close()
    }
  })

  test('An unexpected error is answered without details and is logged', async () => {
    const secret = randomUUID()
    const broken = await createAccountsApp({
      accounts: {
        provider: {
          ...self.accounts.provider,
          register: () => Promise.reject(new Error(`connection to ${secret} failed`)),
          checkPassword: () => Promise.reject(new Error(`connection to ${secret} failed`)),
          verifyEmail: () => Promise.reject(new Error(`connection to ${secret} failed`)),
        },
      },
    })
    try {
      const json = { email: someEmail(), password: 'correct horse' }
      const answers = [
        await broken.call('POST', '/register', { json }),
        await broken.call('POST', '/login', { json }),
        await broken.call('POST', '/token', { form: { username: json.email, password: json.password } }),
        await broken.call('POST', '/verify-email', { form: { token: 'x', password: json.password } }),
      ]
      expect(answers.map((answer) => [answer.status, answer.headers['content-type']])).toEqual([
        [500, 'application/problem+json; charset=utf-8'],
        [500, 'application/problem+json; charset=utf-8'],
        [500, 'application/json; charset=utf-8'],
        [500, 'text/html; charset=utf-8'],
      ])
      for (const { body } of answers) expect(body).not.toContain(secret)
      expect(broken.installation.log.filter((line) => JSON.stringify(line).includes(secret))).toHaveLength(4)
    } finally {
      await broken.close()
    }
  })
})

describe('creating accounts', () => {
  test('Accounts in production without a mail server are refused', async () => {
    await expect(createAccountsApp({ env: { NODE_ENV: 'production' } })).rejects.toMatchObject({
      code: 'TENANCY_ACCOUNTS_MAIL_REQUIRED',
    })
  })

  test('Accounts with the application’s own provider need no mail server', async () => {
    const asked: string[] = []
    const own = await createAccountsApp({
      env: { NODE_ENV: 'production' },
      accounts: {
        provider: {
          ...self.accounts.provider,
          async register({ email }) {
            asked.push(email)
          },
        },
      },
    })
    try {
      const json = { email: 'a@example.com', password: 'correct horse' }
      expect((await own.call('POST', '/register', { json })).status).toBe(202)
      expect(asked).toEqual(['a@example.com'])
    } finally {
      await own.close()
    }
  })

  test('Mails go through the application’s own sender, which stays open', async () => {
    const mails: Mail[] = []
    let isOpen = true
    const own = await createAccountsApp({
      accounts: {
        mail: {
          send: async (mail) => void mails.push(mail),
          close: async () => {
            isOpen = false
          },
        },
      },
    })
    const email = someEmail()
    await own.call('POST', '/register', { json: { email, password: 'correct horse', name: '<b>Ada</b>' } })
    await own.close()
    expect(mails.map((mail) => mail.to)).toEqual([email])
    expect(mails[0]!.text).toContain(`${own.tenancy.config.publicUrl}/auth/verify-email?token=`)
    expect(isOpen).toBe(true)
  })
})
