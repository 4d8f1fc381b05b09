import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defaultAccountLimits } from '../../../src/core/accounts/account-limits.js'
import { type OidcIssuer, startOidcIssuer } from '../../support/servers/oidc-issuer.js'
import {
  type AccountsApp,
  type Answer,
  createAccountsApp,
  someAddress,
  someEmail,
  type TestUser,
  type Tokens,
} from '../accounts-app.js'

// Accounts that a stranger prepares before their owner comes: the five classes of "Pre-hijacked accounts" (Sudhodanan and
// Paverd, USENIX Security 2022), and addresses that are squatted to lock out their owner.

const strangers = 'the password of a stranger'
const owners = 'the password of the owner'

let linking: OidcIssuer
let creating: OidcIssuer
let self: AccountsApp
beforeAll(async () => {
  linking = await startOidcIssuer()
  creating = await startOidcIssuer('ES256')
  self = await createAccountsApp({
    env: {
      TENANT_OIDC_ISSUERS: JSON.stringify([
        { issuer: linking.issuer, audience: 'api', createUsers: true, linkByVerifiedEmail: true },
        { issuer: creating.issuer, audience: 'api', algorithm: 'ES256', createUsers: true },
      ]),
    },
  })
})
afterAll(async () => {
  await self?.close()
  await linking?.close()
  await creating?.close()
})

const register = (email: string, password?: string, more: { name?: string; from?: string } = {}) =>
  self.call('POST', '/register', {
    json: { email, password, ...(more.name && { name: more.name }) },
    ...(more.from && { from: more.from }),
  })
const confirm = (token: string, password: string, from = someAddress()) =>
  self.call('POST', '/verify-email', { json: { token, password }, from })
const login = (email: string, password: string, from = someAddress()) =>
  self.call('POST', '/login', { json: { email, password }, from })
const me = (token: string) => self.call('GET', '/me', { token })
const confirmationLink = (email: string) => self.linkTo(email, 'verify-email')
const statusOf = async (answer: Promise<Answer>) => (await answer).status

/** An account from an older release or plain SQL: not proven, with a password, a login and an identity. */
async function plantAccount(email: string): Promise<{ readonly id: string; readonly refreshToken: string }> {
  const planted = await self.addUser(strangers)
  // Otherwise an issuer's tokens from this same second would be refused.
  await self.catalog.query('update users set tokens_valid_after = null where id = $1', [planted.id])
  const { refresh_token: refreshToken } = await self.login(planted)
  await self.catalog.query(`update users set email = $2, name = 'Planted', email_verified = false where id = $1`, [
    planted.id,
    email,
  ])
  return { id: planted.id, refreshToken }
}

const refresh = (refreshToken: string) =>
  self.call('POST', '/token', { form: { grant_type: 'refresh_token', refresh_token: refreshToken } })

async function passwordsOf(email: string): Promise<number> {
  const { rows } = await self.catalog.query<{ count: number }>(
    'select count(*)::int from user_credentials join users on users.id = user_id where email = $1',
    [email],
  )
  return rows[0]!.count
}

describe('classic-federated merge: a stranger registers the address, its owner comes by single sign-on', () => {
  test.each([
    ['an issuer that links', () => linking],
    ['an issuer that only creates users', () => creating],
  ])(
    'After a stranger registered the address, %s admits the owner, and the stranger’s password never works',
    async (_name, issuer) => {
      const email = someEmail()
      await register(email, strangers, { name: 'Mallory' })
      const stolen = await confirmationLink(email)
      const token = await issuer().token({ sub: randomBytes(4).toString('hex'), email, name: 'Olga' })
      expect((await me(token)).json()).toMatchObject({ email, name: 'Olga', emailVerified: true })
      expect(await statusOf(login(email, strangers))).toBe(401)
      expect(await passwordsOf(email)).toBe(0)
      // The link that was sent before is void, as the address is proven.
      expect(await statusOf(confirm(stolen, strangers))).toBe(400)
      expect(await statusOf(login(email, strangers))).toBe(401)
      expect(await statusOf(me(token))).toBe(200)
    },
  )

  test('An account that a stranger prepared loses its password, login and reset link', async () => {
    const email = someEmail()
    const planted = await plantAccount(email)
    await self.call('POST', '/password/forgot', { json: { email } })
    const reset = await self.linkTo(email, 'password/reset')
    const token = await linking.token({ sub: randomBytes(4).toString('hex'), email, name: 'Olga' })
    expect((await me(token)).json()).toMatchObject({ id: planted.id, email, name: 'Olga' })
    expect(await passwordsOf(email)).toBe(0)
    expect(await statusOf(login(email, strangers))).toBe(401)
    expect(await statusOf(refresh(planted.refreshToken))).toBe(400)
    expect(await statusOf(self.call('POST', '/password/reset', { json: { token: reset, password: strangers } }))).toBe(
      400,
    )
    expect(await statusOf(me(token))).toBe(200)
  })

  test('A registration takes nothing from an account that began with single sign-on', async () => {
    const email = someEmail()
    const token = await linking.token({ sub: randomBytes(4).toString('hex'), email })
    const { id } = (await me(token)).json<{ id: string }>()
    await register(email, strangers)
    // The mail holds a link to set a password, for whoever reads the mailbox.
    const reset = await self.linkTo(email, 'password/reset')
    expect(await statusOf(login(email, strangers))).toBe(401)
    await self.call('POST', '/password/reset', { json: { token: reset, password: owners } })
    const tokens = (await login(email, owners)).json<Tokens>()
    expect((await me(tokens.access_token)).json()).toMatchObject({ id })
    expect((await me(await linking.token({ sub: 'x', email, email_verified: false }))).status).toBe(401)
  })
})

describe('unexpired session: a stranger holds a login from before the owner recovers the account', () => {
  test('There is no login before an address is proven', async () => {
    const email = someEmail()
    await register(email, strangers)
    const link = await confirmationLink(email)
    expect(await statusOf(login(email, strangers))).toBe(401)
    const { rows } = await self.catalog.query('select from users where email = $1', [email])
    expect(rows).toEqual([])
    expect(await statusOf(confirm(link, owners))).toBe(200)
    expect(await statusOf(login(email, strangers))).toBe(401)
    expect(await statusOf(login(email, owners))).toBe(200)
  })

  test.each<readonly [string, (email: string) => Promise<unknown>]>([
    [
      'a reset by mail',
      async (email) => {
        await self.call('POST', '/password/forgot', { json: { email } })
        const token = await self.linkTo(email, 'password/reset')
        return self.call('POST', '/password/reset', { json: { token, password: owners } })
      },
    ],
    [
      'the confirmation of a registration',
      async (email) => {
        await register(email)
        return confirm(await confirmationLink(email), owners)
      },
    ],
    ['plain SQL', (email) => self.catalog.query('update users set email_verified = true where email = $1', [email])],
  ])('After %s, every earlier password, login and access token has ended', async (_name, prove) => {
    const email = someEmail()
    const planted = await plantAccount(email)
    const { token } = await self.tenancy.issueAccessToken({ user: planted.id })
    await prove(email)
    expect(await statusOf(refresh(planted.refreshToken))).toBe(400)
    await expect.poll(() => statusOf(me(token)), { timeout: 20_000 }).toBe(401)
    expect(await statusOf(login(email, strangers))).toBe(401)
  })
})

describe('trojan identifier: a stranger leaves another way in', () => {
  test.each<readonly [string, (email: string) => Promise<unknown>]>([
    [
      'the confirmation of a registration',
      async (email) => {
        await register(email)
        return confirm(await confirmationLink(email), owners)
      },
    ],
    [
      'a reset by mail',
      async (email) => {
        await self.call('POST', '/password/forgot', { json: { email } })
        const token = await self.linkTo(email, 'password/reset')
        return self.call('POST', '/password/reset', { json: { token, password: owners } })
      },
    ],
    ['single sign-on', async (email) => me(await linking.token({ sub: `owner of ${email}`, email }))],
  ])('An identity of an unproven account is removed by %s', async (_name, prove) => {
    const email = someEmail()
    const { id } = await plantAccount(email)
    const subject = randomBytes(4).toString('hex')
    await self.catalog.query('insert into user_identities (issuer, subject, user_id) values ($1, $2, $3)', [
      creating.issuer,
      subject,
      id,
    ])
    await prove(email)
    const trojan = await creating.token({ sub: subject, email: someEmail() })
    expect((await me(trojan)).json<{ id?: string }>().id).not.toBe(id)
    const { rows } = await self.catalog.query('select from user_identities where user_id = $1 and subject = $2', [
      id,
      subject,
    ])
    expect(rows).toEqual([])
  })

  test('A proven account keeps its identities when its password is reset', async () => {
    const email = someEmail()
    const token = await linking.token({ sub: randomBytes(4).toString('hex'), email })
    const { id } = (await me(token)).json<{ id: string }>()
    await self.call('POST', '/password/forgot', { json: { email } })
    const reset = await self.linkTo(email, 'password/reset')
    expect(await statusOf(self.call('POST', '/password/reset', { json: { token: reset, password: owners } }))).toBe(204)
    const { rows } = await self.catalog.query('select issuer from user_identities where user_id = $1', [id])
    expect(rows).toEqual([{ issuer: linking.issuer }])
  })
})

describe('unexpired email change: a change of address is left pending until the owner has the account', () => {
  test('No route changes an address', async () => {
    const { access_token: token } = await self.login(await self.addUser())
    const answer = await self.call('PATCH', '/me', { token, json: { email: someEmail() } })
    expect([answer.status, answer.json()['code']]).toEqual([400, 'TENANCY_REQUEST_INVALID'])
  })

  test('Links sent to an address do not open the account once it has another address', async () => {
    const user = await self.addUser()
    await self.call('POST', '/password/forgot', { json: { email: user.email } })
    const reset = await self.linkTo(user.email, 'password/reset')
    await self.catalog.query('update users set email = $2 where id = $1', [user.id, someEmail()])
    expect(await statusOf(self.call('POST', '/password/reset', { json: { token: reset, password: strangers } }))).toBe(
      400,
    )
  })

  test('Confirmation links of an address are void once it has been proven', async () => {
    const [email, user] = [someEmail(), await self.addUser()]
    await register(email, strangers)
    const [mine, theirs] = [await confirmationLink(email), user.id]
    await self.catalog.query('update users set email = $2 where id = $1', [theirs, email.toUpperCase()])
    expect(await statusOf(confirm(mine, strangers))).toBe(400)
    const { rows } = await self.catalog.query('select id from users where lower(email) = $1', [email])
    expect(rows).toEqual([{ id: theirs }])
  })
})

describe('non-verifying identity provider: a stranger claims the address where nobody checks it', () => {
  test.each([[false], [undefined], ['true'], [1], [null]])(
    'A token with email_verified %j creates no account and adds nothing to the owner’s',
    async (isVerified) => {
      const email = someEmail()
      const claims = { sub: randomBytes(4).toString('hex'), email, email_verified: isVerified }
      for (const issuer of [linking, creating]) expect(await statusOf(me(await issuer.token(claims)))).toBe(401)
      await register(email)
      expect(await statusOf(confirm(await confirmationLink(email), owners))).toBe(200)
      for (const issuer of [linking, creating]) expect(await statusOf(me(await issuer.token(claims)))).toBe(401)
      expect(await statusOf(login(email, owners))).toBe(200)
    },
  )

  test('An issuer that may only create users does not reach an existing account', async () => {
    const user = await self.addUser(owners)
    const token = await creating.token({ sub: randomBytes(4).toString('hex'), email: user.email })
    expect(await statusOf(me(token))).toBe(401)
    expect(await statusOf(login(user.email, owners))).toBe(200)
  })
})

describe('whose password counts', () => {
  test('Of several registrations, the password given with the confirmation counts, and the other links are void', async () => {
    for (const pick of [0, 1, 2]) {
      const email = someEmail()
      const links: string[] = []
      for (const password of [strangers, owners, `${strangers} again`]) {
        await register(email, password, { name: password })
        links.push(await confirmationLink(email))
      }
      expect(await statusOf(confirm(links[pick]!, owners))).toBe(200)
      for (const link of links) expect(await statusOf(confirm(link, strangers))).toBe(400)
      expect([await statusOf(login(email, strangers)), await statusOf(login(email, owners))]).toEqual([401, 200])
      // The registered name counts only if it came with this same password.
      const tokens = (await login(email, owners)).json<Tokens>()
      expect((await me(tokens.access_token)).json()).toMatchObject({ name: pick === 1 ? owners : '' })
    }
  })

  test('A token that an identity provider issued before its owner confirmed the first password still counts', async () => {
    const email = someEmail()
    await register(email, strangers)
    const link = await confirmationLink(email)
    const token = await linking.token({ sub: randomBytes(4).toString('hex'), email })
    expect(await statusOf(confirm(link, owners))).toBe(200)
    expect(await statusOf(me(token))).toBe(200)
    expect([await statusOf(login(email, strangers)), await statusOf(login(email, owners))]).toEqual([401, 200])
  })

  test('A simultaneous confirmation, sign-on and registrations leave one account without a stranger’s password', async () => {
    for (let round = 0; round < 5; round += 1) {
      const email = someEmail()
      await register(email, strangers)
      await register(email, strangers)
      const links = [await confirmationLink(email), await confirmationLink(email)]
      const token = await linking.token({ sub: randomBytes(4).toString('hex'), email })
      const answers = await Promise.all([
        ...links.map((link) => confirm(link, owners)),
        me(token),
        register(email, strangers),
        me(token),
      ])
      expect(answers.every(({ status }) => [200, 202, 400].includes(status))).toBe(true)
      expect(await statusOf(me(token))).toBe(200)
      const { rows } = await self.catalog.query('select from users where lower(email) = $1', [email])
      expect(rows).toHaveLength(1)
      expect(await statusOf(login(email, strangers))).toBe(401)
    }
  })

  test('Opening a link, as mail scanners do, sets nothing, nor does a form without a password', async () => {
    const email = someEmail()
    await register(email, strangers)
    const token = await confirmationLink(email)
    for (const method of ['GET', 'HEAD'] as const) {
      expect(await statusOf(self.call(method, `/verify-email?token=${token}`))).toBe(200)
    }
    const page = await self.call('GET', `/verify-email?token=${token}`)
    expect(page.body).toContain('<input type="password" id="password" name="password" autocomplete="new-password"')
    expect(page.body).toContain('If you did not register here, close this page.')
    expect(await statusOf(self.call('POST', '/verify-email', { form: { token } }))).toBe(422)
    expect((await self.catalog.query('select from users where email = $1', [email])).rows).toEqual([])
    expect(await statusOf(login(email, strangers))).toBe(401)
  })
})

describe('squatting an address', () => {
  const { login: loginLimits, register: registerLimits, reset: resetLimits } = defaultAccountLimits

  /** A stranger asks for everything in the name of an address, far above all limits of mails, each time from elsewhere. */
  async function harass(email: string): Promise<void> {
    for (let index = 0; index < registerLimits.mailsPerAccount.count + 3; index += 1) {
      expect(await statusOf(register(email, strangers))).toBe(202)
      for (const path of ['/verify-email/resend', '/password/forgot']) {
        expect(await statusOf(self.call('POST', path, { json: { email } }))).toBe(202)
      }
    }
    for (let index = 0; index < loginLimits.perAccount.count + 3; index += 1) await login(email, strangers)
  }

  test('Squatting an address does not keep its owner from registering, confirming and logging in', async () => {
    const [email, from] = [someEmail(), someAddress()]
    await harass(email)
    expect(await statusOf(register(email, owners, { from }))).toBe(202)
    // The owner's own mail may be above the limit; the mails that the stranger caused work as well.
    expect(await statusOf(confirm(await confirmationLink(email), owners, from))).toBe(200)
    expect(await statusOf(login(email, owners, from))).toBe(200)
    for (let index = 0; index < loginLimits.perAccount.count + 3; index += 1) await login(email, strangers)
    expect(await statusOf(login(email, owners, from))).toBe(200)
  })

  test('Squatting does not lock out an owner where they logged in before, nor elsewhere after a reset by mail', async () => {
    const [user, home, travel] = [await self.addUser(owners), someAddress(), someAddress()]
    expect(await statusOf(login(user.email, owners, home))).toBe(200)
    await harass(user.email)
    expect(await statusOf(login(user.email, owners, home))).toBe(200)
    expect(await statusOf(login(user.email, owners, travel))).toBe(429)
    expect(await statusOf(self.call('POST', '/password/forgot', { json: { email: user.email }, from: travel }))).toBe(
      202,
    )
    const token = await self.linkTo(user.email, 'password/reset')
    const json = { token, password: `${owners} 2` }
    expect(await statusOf(self.call('POST', '/password/reset', { json, from: travel }))).toBe(204)
    expect(await statusOf(login(user.email, json.password, travel))).toBe(200)
  })

  test('Mails to one address are limited, however many people ask for them', async () => {
    const user: TestUser = await self.addUser(owners)
    for (let index = 0; index < 12; index += 1) {
      await self.call('POST', '/password/forgot', { json: { email: user.email } })
    }
    const email = someEmail()
    for (let index = 0; index < 12; index += 1) await register(email)
    const linksIn = (to: string, kind: string) =>
      self.installation.log.filter(
        ({ fields }) => 'to' in fields && fields.to === to && JSON.stringify(fields).includes(kind),
      ).length
    await expect.poll(() => linksIn(user.email, 'password/reset')).toBe(resetLimits.mailsPerAccount.count)
    await expect.poll(() => linksIn(email, 'verify-email')).toBe(registerLimits.mailsPerAccount.count)
    const pending = () => self.catalog.query('select from user_registrations where email = $1', [email])
    await expect.poll(async () => (await pending()).rowCount).toBe(registerLimits.mailsPerAccount.count)
  })

  test('Squatting an address without an account uses up no mail that its owner will need', async () => {
    const email = someEmail()
    for (let index = 0; index < 12; index += 1) {
      await self.call('POST', '/password/forgot', { json: { email } })
      await self.call('POST', '/verify-email/resend', { json: { email } })
    }
    await register(email)
    await confirm(await confirmationLink(email), owners)
    await self.call('POST', '/password/forgot', { json: { email } })
    expect(await self.linkTo(email, 'password/reset')).toHaveLength(43)
  })

  test('Squatting does not lock out an owner whom an operator creates or an issuer brings', async () => {
    const email = someEmail()
    await register(email, strangers)
    const link = await confirmationLink(email)
    const user = await self.tenancy.createUser({ email, emailVerified: true })
    expect(await statusOf(confirm(link, strangers))).toBe(400)
    await self.call('POST', '/password/forgot', { json: { email } })
    const token = await self.linkTo(email, 'password/reset')
    await self.call('POST', '/password/reset', { json: { token, password: owners } })
    const tokens = (await login(email, owners)).json<Tokens>()
    expect((await me(tokens.access_token)).json()).toMatchObject({ id: user.id })
  })
})
