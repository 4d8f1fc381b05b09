import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AccountsApp, createAccountsApp, someEmail } from './accounts-app.js'

let accounts: AccountsApp
beforeAll(async () => {
  accounts = await createAccountsApp()
})
afterAll(() => accounts?.close())

test('The audit log records what users do to their accounts as theirs, without a secret', async () => {
  const { tenancy, call, catalog } = accounts
  const start = (await tenancy.audit.verify({ tenant: null })).entries
  const secrets: string[] = []
  const keep = (...texts: string[]) => secrets.push(...texts)
  const entries = async () => tenancy.audit.list({ tenant: null, after: start })

  const email = someEmail()
  const [first, second, third] = ['first password', 'second password', 'third password'] as const
  keep(first, second, third)
  await call('POST', '/register', { json: { email, password: first, name: 'Ada' } })
  const link = await accounts.linkTo(email, 'verify-email')
  expect((await call('POST', '/verify-email', { json: { token: link, password: first } })).status).toBe(200)
  const { id } = (await tenancy.findUserByEmail(email))!
  const login = async (password: string) => {
    const tokens = await accounts.login({ id, email, password })
    keep(tokens.access_token, tokens.refresh_token)
    return tokens.access_token
  }

  let token = await login(first)
  expect((await call('PATCH', '/me', { token, json: { name: 'Ada L.' } })).status).toBe(200)
  expect((await call('PATCH', '/me', { token, json: { name: 'Ada L.' } })).status).toBe(200)
  expect((await call('POST', '/password/change', { token, json: { current: 'wrong', next: second } })).status).toBe(401)
  expect((await call('POST', '/password/change', { token, json: { current: first, next: second } })).status).toBe(204)
  token = await login(second)
  expect((await call('POST', '/logout', { token })).status).toBe(204)
  await call('POST', '/password/forgot', { json: { email } })
  const reset = await accounts.linkTo(email, 'password/reset')
  expect((await call('POST', '/password/reset', { json: { token: reset, password: third } })).status).toBe(204)
  await tenancy.disableUser({ user: id })

  // Every change over HTTP says where it came from; the last one was none.
  const origins = (await entries()).map(({ requestId, address }) => [typeof requestId, typeof address])
  expect(origins.slice(0, -1).filter(([requestId]) => requestId !== 'string')).toEqual([])
  // Nobody's key has nobody's address.
  expect(origins.map(([, address]) => address === 'string')).toEqual([
    ...[true, true, false, true, true, true, true, true, true, false],
  ])
  const issued = { jti: expect.any(String), tenant: null, expiresIn: expect.any(Number) }
  const after = { email, name: 'Ada', image: null, emailVerified: true }
  expect(
    (await entries()).map(({ action, actorId, before, after: later }) => [action, actorId, before, later]),
  ).toEqual([
    ['user.create', id, null, after],
    ['user.password.set', id, null, null],
    // The first login generates the key that signs its token.
    ['signing-key.create', null, null, expect.anything()],
    ['token.issue', id, null, issued],
    ['user.update', id, { name: 'Ada' }, { name: 'Ada L.' }],
    ['user.password.change', id, null, null],
    ['token.issue', id, null, issued],
    ['user.tokens.revoke', id, expect.anything(), expect.anything()],
    ['user.password.change', id, null, null],
    ['user.disable', null, { disabledAt: null }, expect.anything()],
  ])
  expect(
    new Set((await entries()).map(({ subject }) => subject).filter((subject) => !subject?.startsWith('sign'))),
  ).toEqual(new Set([`user:${id}`]))
  const { rows } = await catalog.query<{ secret: string }>(
    `select password as secret from user_credentials where user_id = $1
     union all select encode(token_hash, 'hex') from refresh_families`,
    [id],
  )
  keep(link, reset, ...rows.map(({ secret }) => secret))
  const text = JSON.stringify(await entries())
  expect(secrets.filter((secret) => text.includes(secret))).toEqual([])
  expect(await tenancy.audit.verify()).toMatchObject({ isIntact: true })
})

test('The audit log records simultaneous changes of two users under the right user', async () => {
  const { tenancy, call } = accounts
  const users = await Promise.all(Array.from({ length: 4 }, () => accounts.addUser()))
  const start = (await tenancy.audit.verify({ tenant: null })).entries
  await Promise.all(
    users.map(async (user) => {
      const { access_token: token } = await accounts.login(user)
      await call('PATCH', '/me', { token, json: { name: user.id } })
      await call('POST', '/password/change', { token, json: { current: user.password, next: `${user.password} 2` } })
    }),
  )
  const found = await tenancy.audit.list({ tenant: null, after: start })
  expect(found.map(({ actorId, subject }) => `user:${actorId}` === subject)).toEqual(Array<boolean>(12).fill(true))
})
