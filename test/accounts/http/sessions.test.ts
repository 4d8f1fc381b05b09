import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSessionCookie } from '../../../src/accounts/http/session-cookie.js'
import { createApi } from '../../../src/api/index.js'
import { type AccountsApp, createAccountsApp, type TestUser, type Tokens } from '../accounts-app.js'

// Refresh tokens in cookies, the sessions of a user, and the tenant that a session is for.

const origin = 'http://localhost:3000'
const invalidGrant = { error: 'invalid_grant' }

let self: AccountsApp
let user: TestUser

beforeAll(async () => {
  self = await createAccountsApp({ env: { TENANT_READY_DATABASES: '0', TENANT_PUBLIC_URL: origin } })
  user = await self.addUser()
})
afterAll(() => self.close())

type Answer = Awaited<ReturnType<AccountsApp['call']>>

/** The value of the cookie that an answer sets; undefined: it sets none. */
function cookieOf(answer: Answer): string | undefined {
  const header = answer.headers['set-cookie']
  return header === undefined ? undefined : /^(t2f-session=[^;]*)/.exec(String(header))?.[1]
}

async function logIn(who = user): Promise<{ readonly cookie: string; readonly token: string }> {
  const json = { email: who.email, password: who.password, cookie: true }
  const answer = await self.call('POST', '/login', { json, headers: { origin } })
  expect(answer.status).toBe(200)
  return { cookie: cookieOf(answer)!, token: answer.json<Tokens>().access_token }
}

const refresh = (cookie: string, form: Record<string, string> = {}, headers: Record<string, string> = { origin }) =>
  self.call('POST', '/token', { form: { grant_type: 'refresh_token', ...form }, headers: { cookie, ...headers } })

async function letGracePass(id: string): Promise<void> {
  await self.catalog.query(
    "update refresh_families set last_used_at = now() - interval '1 minute' where user_id = $1",
    [id],
  )
}

describe('the cookie of a session', () => {
  test('A login that asks for it gets the refresh token in the cookie only, out of reach for scripts', async () => {
    const json = { email: user.email, password: user.password, cookie: true }
    const answer = await self.call('POST', '/login', { json, headers: { origin } })
    expect(Object.keys(answer.json<object>()).toSorted()).toEqual(['access_token', 'expires_in', 'token_type'])
    expect(String(answer.headers['set-cookie'])).toMatch(
      /^t2f-session=[A-Za-z0-9_-]{64}; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Strict$/,
    )
    const next = await refresh(cookieOf(answer)!)
    expect(next.status).toBe(200)
    expect(next.json<object>()).not.toHaveProperty('refresh_token')
    expect(cookieOf(next)).not.toBe(cookieOf(answer))
  })

  test('Anywhere but on localhost over http it is Secure and for this host only', () => {
    for (const publicUrl of ['https://app.example.com', 'http://app.example.com', 'https://localhost']) {
      const header = createSessionCookie({ config: { publicUrl } }).store('x', 60)['set-cookie']
      expect(header).toBe('__Host-t2f-session=x; Max-Age=60; Path=/; HttpOnly; SameSite=Strict; Secure')
    }
  })

  test('A text that is no origin is refused at the start', () => {
    for (const text of ['https://app.example.com/', 'app.example.com', 'null', '*', 'https://*.example.com/x']) {
      expect(() => createSessionCookie({ config: { publicUrl: origin }, origins: [text] })).toThrow(/is no origin/)
    }
  })

  test.each([
    ['another site', { origin: 'https://evil.example' }],
    ['a sandboxed page', { origin: 'null' }],
    ['a neighbour on the same site', { origin: 'http://localhost:3001' }],
    [
      'another origin, whatever Sec-Fetch-Site says',
      { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
    ],
    ['a navigation from elsewhere', { 'sec-fetch-site': 'cross-site' }],
    ['a sibling without Origin', { 'sec-fetch-site': 'same-site' }],
    ['a request that says nothing of where it is from', {}],
  ] as const)('%s can neither refresh, log out nor log in with it', async (_, headers) => {
    const { cookie } = await logIn()
    const refreshed = await refresh(cookie, {}, headers)
    expect([refreshed.status, refreshed.json<object>()]).toMatchObject([403, { error: 'access_denied' }])
    const out = await self.call('POST', '/logout', { headers: { cookie, ...headers } })
    expect([out.status, out.json<object>()]).toMatchObject([403, { code: 'TENANCY_ACCOUNTS_ORIGIN_REFUSED' }])
    const json = { email: user.email, password: user.password, cookie: true }
    const login = await self.call('POST', '/login', { json, headers })
    expect([login.status, login.headers['set-cookie']]).toEqual([403, undefined])
    // Nothing of that has touched the session.
    expect((await refresh(cookie)).status).toBe(200)
  })

  test.each([
    ...[
      'HTTP://LOCALHOST:3000',
      'http://localhost:3000/',
      'http://localhost:30000',
      'http://localhost',
      'http://localhost:',
    ],
    ...['https://localhost:3000', 'http://localhost:3000.evil.example', 'http://evil.example/http://localhost:3000'],
    ...['http://localhost:3000@evil.example', 'http://localhost:3000 http://evil.example', ' ', 'null', 'undefined'],
    ...['http://localhost:3000, http://evil.example', 'http://evil.example, http://localhost:3000', 'file://', '*'],
    ...['http://localhost.:3000', 'http://127.0.0.1:3000', 'http://[::1]:3000', 'http://lоcalhost:3000'.normalize()],
  ])('The origin %s is not ours, although it looks like it', async (near) => {
    const { cookie } = await logIn()
    const headers = { origin: Buffer.from(near).toString('latin1'), 'sec-fetch-site': 'same-origin' }
    expect((await refresh(cookie, {}, headers)).status).toBe(403)
    expect((await self.call('POST', '/logout', { headers: { cookie, ...headers } })).status).toBe(403)
    const json = { email: user.email, password: user.password, cookie: true }
    expect((await self.call('POST', '/login', { json, headers })).status).toBe(403)
    expect((await refresh(cookie)).status).toBe(200)
  })

  test('A cookie that was there before a login is not the one after it, and two that differ are none', async () => {
    const [attacker, victim] = [await self.addUser(), await self.addUser()]
    const { cookie: planted } = await logIn(attacker)
    const json = { email: victim.email, password: victim.password, cookie: true }
    const answer = await self.call('POST', '/login', { json, headers: { origin, cookie: planted } })
    const own = cookieOf(answer)!
    expect(own).not.toBe(planted)
    const both = await refresh(`${planted}; ${own}`)
    expect([both.status, both.headers['set-cookie']]).toEqual([400, undefined])
    for (const name of ['__Host-t2f-session', 'T2F-SESSION', 't2f-session ', 'x-t2f-session']) {
      const renamed = own.replace('t2f-session=', `${name === 't2f-session ' ? 't2f-session2' : name}=`)
      expect((await refresh(renamed)).status, name).toBe(400)
    }
    expect((await refresh(planted)).status).toBe(200)
    expect((await refresh(own)).status).toBe(200)
    const { sub } = decodeJwt((await refresh(cookieOf(await refresh(own)) ?? own)).json<Tokens>().access_token)
    expect(sub).toBe(victim.id)
  })

  test('Without Origin, a browser that says same-origin is enough', async () => {
    const { cookie } = await logIn()
    expect((await refresh(cookie, {}, { 'sec-fetch-site': 'same-origin' })).status).toBe(200)
  })

  test('Tabs that refresh at once all get a token, and the same cookie', async () => {
    const { cookie } = await logIn()
    const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(cookie)))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    expect(new Set(answers.map(cookieOf)).size).toBe(1)
    expect((await refresh(cookieOf(answers[0]!)!)).status).toBe(200)
  })

  test('A cookie that was exchanged before ends its session and the access tokens, once its grace is over', async () => {
    const who = await self.addUser()
    const { cookie, token } = await logIn(who)
    const next = cookieOf(await refresh(cookie))!
    await letGracePass(who.id)
    expect((await refresh(cookie)).json<object>()).toMatchObject(invalidGrant)
    expect((await refresh(next)).json<object>()).toMatchObject(invalidGrant)
    expect((await self.call('GET', '/me', { token })).status).toBe(401)
  })

  test('The token of a cookie is good for nothing in a body, nor one of a body in a cookie', async () => {
    const { cookie } = await logIn()
    const refresh_token = cookie.slice('t2f-session='.length)
    const inBody = await self.call('POST', '/token', { form: { grant_type: 'refresh_token', refresh_token } })
    expect(inBody.json<object>()).toMatchObject(invalidGrant)
    const other = await self.login(user)
    expect((await refresh(`t2f-session=${other.refresh_token}`)).json<object>()).toMatchObject(invalidGrant)
    expect((await refresh(cookie)).status).toBe(200)
  })

  test('Two cookies of the name that differ count as none', async () => {
    const [one, two] = [await logIn(), await logIn()]
    expect((await refresh(`${one.cookie}; ${two.cookie}`)).status).toBe(400)
    expect((await refresh(one.cookie)).status).toBe(200)
  })

  test('It opens nothing but a refresh and a logout', async () => {
    const { cookie } = await logIn()
    expect((await self.call('GET', '/me', { headers: { cookie, origin } })).status).toBe(401)
  })

  test('A logout by the cookie alone ends the session and removes the cookie; everywhere, all sessions', async () => {
    const who = await self.addUser()
    const [one, two] = [await logIn(who), await logIn(who)]
    const out = await self.call('POST', '/logout', { headers: { cookie: one.cookie, origin } })
    expect(out.status).toBe(204)
    expect(String(out.headers['set-cookie'])).toMatch(/^t2f-session=; Max-Age=0; Path=\//)
    expect((await refresh(one.cookie)).status).toBe(400)
    expect((await self.call('GET', '/me', { token: one.token })).status).toBe(401)
    const next = cookieOf(await refresh(two.cookie))!
    const third = await logIn(who)
    const json = { everywhere: true }
    expect((await self.call('POST', '/logout', { json, headers: { cookie: next, origin } })).status).toBe(204)
    expect((await refresh(third.cookie)).status).toBe(400)
  })
})

describe('the sessions of a user', () => {
  test('They show when, from where and with what, and their access tokens name them', async () => {
    const who = await self.addUser()
    const json = { email: who.email, password: who.password }
    const headers = { 'user-agent': `Firefox ${'é'.repeat(3)} ${'x'.repeat(300)}` }
    const answer = await self.call('POST', '/login', { json, headers, from: '203.0.113.77' })
    await logIn(who)
    const [second, first] = await self.tenancy.listSessions({ user: who.id })
    expect(first).toMatchObject({ address: '203.0.113.0/24', inCookie: false, tenantId: null })
    expect(first?.userAgent).toHaveLength(200)
    expect(second?.inCookie).toBe(true)
    const { access_token, refresh_token } = answer.json<Tokens>()
    expect(decodeJwt(access_token)['sid']).toBe(first?.id)
    // The id is no part of the token: whoever knows it cannot end the login by a wrong token.
    expect(Buffer.from(refresh_token, 'base64url').toString('hex')).not.toContain(first!.id.replaceAll('-', ''))
    const page = await self.tenancy.listSessions({ user: who.id, after: second!.id, limit: 1 })
    expect(page).toEqual([first])
  })

  test('An ended session refreshes no more, access tokens end, and the others go on', async () => {
    const who = await self.addUser()
    const [one, two] = [await self.login(who), await self.login(who)]
    const session = String(decodeJwt(one.access_token)['sid'])
    await self.tenancy.endSession({ user: who.id, session, actor: who.id })
    const exchange = (refresh_token: string) =>
      self.call('POST', '/token', { form: { grant_type: 'refresh_token', refresh_token } })
    expect((await exchange(one.refresh_token)).json<object>()).toMatchObject(invalidGrant)
    expect((await self.call('GET', '/me', { token: one.access_token })).status).toBe(401)
    expect((await exchange(two.refresh_token)).status).toBe(200)
    await expect(self.tenancy.endSession({ user: who.id, session })).rejects.toMatchObject({
      code: 'TENANCY_SESSION_NOT_FOUND',
    })
    const { rows } = await self.catalog.query(
      "select actor_id, before from audit_log where action = 'session.end' and subject = $1",
      [`user:${who.id}`],
    )
    expect(rows).toEqual([{ actor_id: who.id, before: { session, ended: 1 } }])
  })

  test('Nobody ends a session of somebody else', async () => {
    const [one, two] = [await self.addUser(), await self.addUser()]
    const session = String(decodeJwt((await self.login(one)).access_token)['sid'])
    await expect(self.tenancy.endSession({ user: two.id, session })).rejects.toMatchObject({
      code: 'TENANCY_SESSION_NOT_FOUND',
    })
    expect(await self.tenancy.endOtherSessions({ user: two.id })).toBe(0)
    expect(await self.tenancy.listSessions({ user: one.id })).toHaveLength(1)
  })

  test('All but one end at once', async () => {
    const who = await self.addUser()
    const kept = await self.login(who)
    for (let count = 0; count < 3; count += 1) await logIn(who)
    const session = String(decodeJwt(kept.access_token)['sid'])
    expect(await self.tenancy.endOtherSessions({ user: who.id, session, actor: who.id })).toBe(3)
    expect((await self.tenancy.listSessions({ user: who.id })).map(({ id }) => id)).toEqual([session])
  })
})

describe('the sessions of a caller over HTTP', () => {
  test('They are listed with the current one, and ended one by one or all others at once', async () => {
    const api = createApi({ tenancy: self.tenancy })
    const send = async (method: string, path: string, token: string) => {
      const request = new Request(`${origin}${path}`, { method, headers: { authorization: `Bearer ${token}` } })
      const answer = await api.handle(request, { remoteAddress: '127.0.0.1' })
      return { status: answer.status, json: JSON.parse((await answer.text()) || 'null') }
    }
    const [who, other] = [await self.addUser(), await self.addUser()]
    const [first, second] = [await logIn(who), await logIn(who)]
    await logIn(who)
    const [firstId, secondId] = [first, second].map(({ token }) => String(decodeJwt(token)['sid']))
    const listed = await send('GET', '/me/sessions', first.token)
    expect(listed.json.items).toHaveLength(3)
    const isCurrent = ({ isCurrent: is }: { isCurrent: boolean }) => is
    expect(listed.json.items.filter(isCurrent)).toMatchObject([{ id: firstId, inCookie: true }])
    const page = await send('GET', '/me/sessions?limit=2', first.token)
    expect((await send('GET', `/me/sessions?after=${page.json.next}`, first.token)).json.items).toHaveLength(1)
    const stranger = await self.login(other)
    expect((await send('DELETE', `/me/sessions/${secondId}`, stranger.access_token)).status).toBe(404)
    expect((await send('DELETE', `/me/sessions/${secondId}`, first.token)).status).toBe(204)
    // Access tokens end with it: the session that stays gets another one.
    expect((await send('GET', '/me/sessions', first.token)).status).toBe(401)
    const next = (await refresh(first.cookie)).json<Tokens>().access_token
    expect((await send('DELETE', '/me/sessions', next)).json).toEqual({ ended: 1 })
    const last = await self.tenancy.listSessions({ user: who.id })
    expect(last.map(({ id }) => id)).toEqual([firstId])
  })
})

describe('the tenant of a session', () => {
  const tenantOf = (answer: Answer) => decodeJwt(answer.json<Tokens>().access_token)['tenant']
  let count = 0
  async function addTenant(owner: TestUser) {
    count += 1
    return self.tenancy.createTenant({ name: 'T', slug: `session-${count}`, owner: owner.id })
  }

  test('A choice binds the access tokens by id, and stays until another one', async () => {
    const who = await self.addUser()
    const [one, two] = [await addTenant(who), await addTenant(who)]
    const { cookie } = await logIn(who)
    const first = await refresh(cookie, { tenant: one.slug })
    expect([first.json<{ tenant: string }>().tenant, tenantOf(first)]).toEqual([one.id, one.id])
    const second = await refresh(cookieOf(first)!)
    expect([second.json<{ tenant: string }>().tenant, tenantOf(second)]).toEqual([one.id, one.id])
    expect((await self.tenancy.listSessions({ user: who.id }))[0]?.tenantId).toBe(one.id)
    const third = await refresh(cookieOf(second)!, { tenant: two.id })
    expect(tenantOf(third)).toBe(two.id)
    const fourth = await refresh(cookieOf(third)!, { tenant: 'none' })
    expect([fourth.json<object>(), tenantOf(fourth)]).toEqual([
      expect.not.objectContaining({ tenant: two.id }),
      undefined,
    ])
  })

  test('A former slug chooses as well', async () => {
    const who = await self.addUser()
    const tenant = await addTenant(who)
    await self.tenancy.renameTenant({ tenant: tenant.id, slug: `${tenant.slug}-new` })
    expect(tenantOf(await refresh((await logIn(who)).cookie, { tenant: tenant.slug }))).toBe(tenant.id)
  })

  test('The tenant of others answers as one that does not exist, and the session goes on', async () => {
    const who = await self.addUser()
    const foreign = await addTenant(user)
    const { cookie } = await logIn(who)
    const answers = []
    for (const tenant of [
      foreign.id,
      foreign.slug,
      '00000000-0000-7000-8000-000000000000',
      'no-such',
      '../x',
      'admin',
    ]) {
      const answer = await refresh(cookie, { tenant })
      answers.push([answer.status, answer.body])
      expect(cookieOf(answer)).toBeUndefined()
    }
    expect(new Set(answers.map(String)).size).toBe(1)
    expect(answers[0]).toMatchObject([400, expect.stringContaining('invalid_target')])
    expect((await refresh(cookie)).status).toBe(200)
  })

  test('A suspended tenant is refused, and a deactivated member as a stranger', async () => {
    const who = await self.addUser()
    const tenant = await addTenant(user)
    await self.tenancy.addMember({ tenant: tenant.id, user: who.id, roles: ['Member'] })
    const { cookie } = await logIn(who)
    await self.tenancy.suspendTenant({ tenant: tenant.id })
    const suspended = await refresh(cookie, { tenant: tenant.id })
    expect([suspended.status, suspended.json<object>()]).toMatchObject([
      403,
      { error: 'invalid_target', error_description: 'Cannot use a suspended tenant' },
    ])
    await self.tenancy.reactivateTenant({ tenant: tenant.id })
    await self.tenancy.setMemberActive({ tenant: tenant.id, user: who.id, isActive: false })
    expect((await refresh(cookie, { tenant: tenant.id })).json<object>()).toMatchObject({
      error_description: 'No such tenant',
    })
  })

  test('Who leaves the tenant gets a token for none, and is told so once', async () => {
    const who = await self.addUser()
    const [left, other] = [await addTenant(user), await addTenant(who)]
    await self.tenancy.addMember({ tenant: left.id, user: who.id, roles: ['Member'] })
    const { refresh_token } = await self.login(who)
    const exchange = async (token: string, tenant?: string) => {
      const form = { grant_type: 'refresh_token', refresh_token: token, ...(tenant === undefined ? {} : { tenant }) }
      const answer = await self.call('POST', '/token', { form })
      return { bound: tenantOf(answer), ...answer.json<Tokens & { tenant?: string | null }>() }
    }
    const bound = await exchange(refresh_token, left.id)
    expect(bound.bound).toBe(left.id)
    await self.tenancy.leaveTenant({ tenant: left.id, user: who.id })
    const after = await exchange(bound.refresh_token)
    expect([after.tenant, after.bound]).toEqual([null, undefined])
    const later = await exchange(after.refresh_token)
    expect([later.tenant, later.bound]).toEqual([undefined, undefined])
    expect(other.status).toBe('active')
  })
})
