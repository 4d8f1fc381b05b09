import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { MailSender } from '../../../src/accounts/index.js'
import { type AccountsApp, createAccountsApp, someEmail, type TestUser } from '../accounts-app.js'

// A change of address is agreed to by both mailboxes.

interface Sent {
  readonly to: string
  readonly subject: string
  readonly text: string
}

let self: AccountsApp
const sent: Sent[] = []
const mail: MailSender = {
  async send(message) {
    sent.push(message)
  },
  async close() {},
}

beforeAll(async () => {
  self = await createAccountsApp({ env: { TENANT_READY_DATABASES: '0' }, accounts: { mail } })
})
afterAll(() => self.close())
afterEach(async () => {
  const { rows } = await self.catalog.query('select from address_changes where expires_at <= now()')
  expect(rows).toHaveLength(0)
})

/** Waits for a mail. */
async function mailTo(to: string, subject: RegExp): Promise<Sent> {
  for (let waited = 0; waited < 1000; waited += 1) {
    const found = sent.findLast((one) => one.to === to && subject.test(one.subject))
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`No mail ${subject} to ${to}`)
}
const tokenIn = ({ text }: Sent, page: string) => new RegExp(`/${page}\\?token=([\\w-]{43})`).exec(text)?.[1] ?? ''

async function addUser(): Promise<TestUser & { readonly token: string; readonly refresh: string }> {
  const [email, password] = [someEmail(), 'correct horse battery']
  await self.accounts.provider.register({ email, password, name: 'Ada' })
  const token = tokenIn(await mailTo(email, /^Confirm/), 'verify-email')
  const id = await self.accounts.provider.verifyEmail({ token, password })
  const { access_token, refresh_token } = await self.login({ id, email, password })
  return { id, email, password, token: access_token, refresh: refresh_token }
}

const ask = ({ token, password }: { token: string; password: string }, email: string) =>
  self.call('POST', '/email/change', { token, json: { email, password } })
const confirm = (token: string) => self.call('POST', '/email/confirm', { json: { token } })
const emailOf = async (id: string) => (await self.tenancy.getUser(id)).email

/** Asks for a change and returns the tokens of both links. */
async function begin(user: Awaited<ReturnType<typeof addUser>>, address = someEmail()) {
  expect((await ask(user, address)).status).toBe(202)
  const own = await mailTo(user.email, /is to be changed/)
  const theirs = await mailTo(address, /Confirm your new/)
  return {
    address,
    old: tokenIn(own, 'email/confirm'),
    stop: tokenIn(own, 'email/stop'),
    new: tokenIn(theirs, 'email/confirm'),
  }
}

test.each([
  ['the new mailbox first', ['new', 'old']],
  ['the old mailbox first', ['old', 'new']],
] as const)('The address changes when both have agreed: %s', async (_, [first, second]) => {
  const user = await addUser()
  const links = await begin(user)
  expect((await confirm(links[first])).json<object>()).toEqual({ state: 'waiting' })
  // The same mailbox twice is still one.
  expect((await confirm(links[first])).json<object>()).toEqual({ state: 'waiting' })
  expect(await emailOf(user.id)).toBe(user.email)
  expect((await confirm(links[second])).json<object>()).toEqual({ state: 'changed' })
  expect(await emailOf(user.id)).toBe(links.address)
  expect((await mailTo(user.email, /was changed/)).text).not.toContain(links.address)
  // Every login has ended, and the password goes with the new address only.
  expect((await self.call('GET', '/me', { token: user.token })).status).toBe(401)
  const refreshed = { grant_type: 'refresh_token', refresh_token: user.refresh }
  expect((await self.call('POST', '/token', { form: refreshed })).status).toBe(400)
  const login = (email: string) => self.call('POST', '/login', { json: { email, password: user.password } })
  expect([(await login(user.email)).status, (await login(links.address)).status]).toEqual([401, 200])
  // The links are used up.
  expect((await confirm(links.new)).json<object>()).toMatchObject({ code: 'TENANCY_ACCOUNTS_LINK_INVALID' })
})

test('The change is in the audit log as one of the user, with the addresses where they can be erased', async () => {
  const user = await addUser()
  const links = await begin(user)
  await confirm(links.new)
  await confirm(links.old)
  const { rows } = await self.catalog.query<{ action: string; text: string }>(
    `select action, actor_id, (coalesce(before, '{}') || coalesce(after, '{}'))::text as text from audit_log
     where subject = $1 and action like 'user.%' order by seq`,
    [`user:${user.id}`],
  )
  expect(rows.slice(-3)).toMatchObject([
    { action: 'user.email.request', actor_id: user.id },
    { action: 'user.update', actor_id: user.id },
    { action: 'user.tokens.revoke', actor_id: user.id },
  ])
  expect(JSON.stringify(rows)).not.toContain(links.address)
})

test('The old mailbox stops the change; the new one cannot', async () => {
  const user = await addUser()
  const links = await begin(user)
  await confirm(links.new)
  const stop = (token: string) => self.call('POST', '/email/stop', { json: { token } })
  expect((await stop(links.new)).status).toBe(400)
  expect((await stop(links.stop)).status).toBe(204)
  expect((await confirm(links.old)).status).toBe(400)
  expect((await stop(links.stop)).status).toBe(400)
  expect(await emailOf(user.id)).toBe(user.email)
})

test('It takes the password, and a guess counts as a failed login', async () => {
  const user = await addUser()
  const wrong = await ask({ ...user, password: 'wrong horse battery' }, someEmail())
  expect(wrong.json<object>()).toMatchObject({ code: 'TENANCY_ACCOUNTS_CREDENTIALS_INVALID' })
  for (const email of [user.email, user.email.toUpperCase(), 'no address', 'a@b@c']) {
    expect((await ask(user, email)).json<object>()).toMatchObject({ code: 'TENANCY_ACCOUNTS_EMAIL_INVALID' })
  }
  expect((await self.call('POST', '/email/change', { json: {} })).status).toBe(401)
  const from = '198.51.100.9'
  const guess = () =>
    self.call('POST', '/email/change', {
      ...{ token: user.token, from, json: { email: someEmail(), password: 'wrong horse battery' } },
    })
  const statuses = []
  for (let count = 0; count < 11; count += 1) statuses.push((await guess()).status)
  expect(statuses).toEqual([...Array.from({ length: 10 }, () => 401), 429])
})

test('The answer does not tell that somebody has the address: its owner is told, and nothing changes', async () => {
  const [user, other] = [await addUser(), await addUser()]
  const free = await ask(user, someEmail())
  const taken = await ask(user, other.email.toUpperCase())
  expect([taken.status, taken.body]).toEqual([free.status, free.body])
  expect((await mailTo(other.email, /was named for another account/)).text).not.toContain('token=')
  await mailTo(user.email, /is to be changed/)
  expect(sent.filter(({ to }) => to === other.email).map(({ subject }) => subject)).not.toContain(
    'Confirm your new e-mail address',
  )
  expect(await emailOf(user.id)).toBe(user.email)
})

test('A later request replaces the earlier one', async () => {
  const user = await addUser()
  const first = await begin(user)
  sent.length = 0
  const second = await begin(user)
  for (const token of [first.new, first.old]) expect((await confirm(token)).status).toBe(400)
  await confirm(second.new)
  await confirm(second.old)
  expect(await emailOf(user.id)).toBe(second.address)
})

test('A day later the links are void', async () => {
  const user = await addUser()
  const links = await begin(user)
  await confirm(links.new)
  await self.catalog.query('update address_changes set expires_at = now() where user_id = $1', [user.id])
  expect((await confirm(links.old)).status).toBe(400)
  await self.catalog.query('delete from address_changes where user_id = $1', [user.id])
})

test('A revocation, a new password and a disabled account end a change that is under way', async () => {
  const ends = [
    (id: string) => self.tenancy.revokeUserTokens({ user: id }),
    (id: string) => self.tenancy.disableUser({ user: id }),
    (id: string) => self.accounts.provider.changePassword(id, 'correct horse battery', 'another horse battery'),
  ]
  for (const end of ends) {
    const user = await addUser()
    const links = await begin(user)
    await confirm(links.new)
    await end(user.id)
    expect((await confirm(links.old)).status).toBe(400)
    expect(await emailOf(user.id)).toBe(user.email)
  }
})

test('Of a change and a registration of the same address at once, exactly one has it', async () => {
  for (let round = 0; round < 10; round += 1) {
    const user = await addUser()
    const address = someEmail()
    await self.accounts.provider.register({ email: address, password: 'third horse battery' })
    const registration = tokenIn(await mailTo(address, /^Confirm your e-mail/), 'verify-email')
    const links = await begin(user, address)
    await confirm(links.new)
    const [registered, changed] = await Promise.all([
      self.call('POST', '/verify-email', { json: { token: registration, password: 'third horse battery' } }),
      confirm(links.old),
    ])
    expect(registered.status + changed.status).toBe(600)
    expect([registered.status, changed.status]).toContain(200)
    expect((await self.tenancy.findUserByEmail(address))?.id === user.id).toBe(changed.status === 200)
    expect(await emailOf(user.id)).toBe(changed.status === 200 ? address : user.email)
  }
})

test('Both mailboxes agreeing at once change the address once', async () => {
  for (let round = 0; round < 10; round += 1) {
    const user = await addUser()
    const links = await begin(user)
    const states = await Promise.all([confirm(links.new), confirm(links.old)])
    expect(states.map((answer) => answer.json<{ state: string }>().state).toSorted()).toEqual(['changed', 'waiting'])
    expect(await emailOf(user.id)).toBe(links.address)
  }
})

test('The pages of the links change nothing until their button is pressed', async () => {
  const user = await addUser()
  const links = await begin(user)
  for (const page of [`/email/confirm?token=${links.new}`, `/email/stop?token=${links.stop}`]) {
    const shown = await self.call('GET', page)
    expect([shown.status, shown.headers['referrer-policy']]).toEqual([200, 'no-referrer'])
    expect(shown.body).toContain('<button>')
  }
  const press = (token: string) => self.call('POST', '/email/confirm', { form: { token } })
  expect((await press(links.new)).body).toContain('link in the mail to the other address')
  expect((await press(links.old)).body).toContain('The e-mail address is changed')
  expect((await press(links.old)).status).toBe(400)
})

test('Invitations of the old address do not follow, and nobody gets more than three mails an hour', async () => {
  const [owner, user] = [await addUser(), await addUser()]
  const tenant = await self.tenancy.createTenant({ name: 'T', slug: 'invites', owner: owner.id })
  const { token } = await self.tenancy.createInvitation({ tenant: tenant.id, email: user.email, roles: [] })
  const links = await begin(user)
  await confirm(links.new)
  await confirm(links.old)
  await expect(self.tenancy.acceptInvitation({ token, user: user.id })).rejects.toMatchObject({
    code: 'TENANCY_INVITATION_INVALID',
  })
  const victim = someEmail()
  for (let count = 0; count < 5; count += 1) await begin(await addUser(), count < 3 ? victim : someEmail())
  const late = await addUser()
  expect((await ask(late, victim)).status).toBe(202)
  await self.app.close()
  await self.tenancy.close()
  expect(sent.filter(({ to, subject }) => to === victim && /Confirm your new/.test(subject))).toHaveLength(3)
})
