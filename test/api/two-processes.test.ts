import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

// Two instances of the API share a catalog, and nothing else: what one has counted or begun counts for the other.

/** Rounds of each race; 1,000 with T2F_RACE_ROUNDS=1000. */
const rounds = Number(process.env['T2F_RACE_ROUNDS'] ?? 3)
const timeout = 60_000 + rounds * 2000

const limits = { changesPerUser: 100_000, changesPerTenant: 100_000, invitationsPerTenant: 100_000 }
let app: ApiApp
let both: readonly Api[]
beforeAll(async () => {
  app = await createApiApp({ ...limits, secondsBetweenInvitations: 0 })
  const other = await app.openAnother({})
  both = [app.api, createApi({ tenancy: other, limits, platform: true })]
})
afterAll(() => app.close())

interface Sent {
  readonly as: Caller
  readonly body?: object
  readonly key?: string
}

async function send(api: Api, target: string, { as, body, key }: Sent) {
  const [method = '', path = ''] = target.split(' ')
  const answer = await api.handle(
    new Request(`http://localhost${path}`, {
      method,
      headers: {
        authorization: `Bearer ${as.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
    { remoteAddress: '127.0.0.1' },
  )
  const text = await answer.text()
  // oxlint-disable-next-line typescript/no-explicit-any -- a document of any shape
  return { status: answer.status, headers: answer.headers, json: text === '' ? undefined : JSON.parse(text) }
}

/** Sends to both instances in turn, all at once. */
const race = (count: number, each: (api: Api, index: number) => ReturnType<typeof send>) =>
  Promise.all(Array.from({ length: count }, (_, index) => each(both[index % 2]!, index)))

const tally = (
  answers: readonly { readonly status: number; readonly json: { readonly code?: string } | undefined }[],
) => {
  const counts: Record<string, number> = {}
  for (const { status, json } of answers) {
    const name = json?.code ?? String(status)
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

/** An access token lives 15 minutes at most, and 1,000 rounds take longer on a busy machine: every 20 rounds, new ones. */
async function renewed(callers: readonly Caller[], round: number): Promise<readonly Caller[]> {
  if (round % 20 !== 0) return callers
  const renew = async ({ id }: Caller) => ({ id, token: (await app.tenancy.issueAccessToken({ user: id })).token })
  return Promise.all(callers.map(renew))
}

const emailOf = async (user: Caller): Promise<string> => (await app.tenancy.getUser(user.id)).email

test('One Idempotency-Key at once in both makes one service account, and one API key', { timeout }, async () => {
  let owner = await app.createUser()
  const tenant = await app.createTenant(owner)
  const path = `/tenants/${tenant.id}`
  for (let round = 0; round < rounds; round += 1) {
    ;[owner] = (await renewed([owner], round)) as [Caller]
    const key = randomUUID()
    const accounts = await race(6, (api) =>
      send(api, `POST ${path}/service-accounts`, { as: owner, body: { name: key }, key }),
    )
    const ids = new Set(accounts.filter(({ status }) => status === 201).map(({ json }) => json.id as string))
    expect(ids.size).toBe(1)
    const [serviceAccount = ''] = ids
    const body = { serviceAccount, name: key, permissions: [] }
    const answers = await race(6, (api) => send(api, `POST ${path}/keys`, { as: owner, body, key }))
    const made = answers.filter(({ status }) => status === 201)
    expect(made.length).toBeGreaterThan(0)
    expect(new Set(made.map(({ json }) => json.apiKey.id as string)).size).toBe(1)
    // The key is shown to one of them.
    expect(made.filter(({ json }) => json.key !== null)).toHaveLength(1)
    const refused = answers.filter(({ status }) => status !== 201)
    for (const { json } of refused) expect(json.code).toBe('TENANCY_REQUEST_IN_PROGRESS')
    const again = await send(both[round % 2]!, `POST ${path}/keys`, { as: owner, body, key })
    expect([again.json.apiKey.id, again.json.key]).toEqual([made[0]?.json.apiKey.id, null])
    expect(await app.tenancy.listApiKeys({ tenant: tenant.id, serviceAccount })).toHaveLength(1)
    expect(await app.tenancy.listServiceAccounts({ tenant: tenant.id })).toHaveLength(1)
    await app.tenancy.deleteServiceAccount({ tenant: tenant.id, serviceAccount, actor: owner.id })
  }
})

test('An invitation that is accepted twice at once, in both, makes one member', { timeout }, async () => {
  const owner = await app.createUser()
  const tenant = await app.createTenant(owner)
  for (let round = 0; round < rounds; round += 1) {
    const guest = await app.createUser()
    const invited = { tenant: tenant.id, email: await emailOf(guest), roles: ['Member'], actor: owner.id }
    const { token } = await app.tenancy.createInvitation(invited)
    const answers = await race(2, (api) => send(api, 'POST /invitations/accept', { as: guest, body: { token } }))
    expect(tally(answers)).toEqual({ 200: 1, TENANCY_INVITATION_INVALID: 1 })
  }
  const [asOwner] = (await renewed([owner], 0)) as [Caller]
  const listed = await send(both[1]!, `GET /tenants/${tenant.id}/members?limit=1`, { as: asOwner })
  expect(listed.json.total).toBe(rounds + 1)
})

test('Of the last two Owners who leave from two browsers at once, one stays', { timeout }, async () => {
  for (let round = 0; round < rounds; round += 1) {
    const owner = await app.createUser()
    const tenant = await app.createTenant(owner)
    const second = await app.join(tenant, ['Owner'])
    const answers = await race(2, (api, index) =>
      send(api, `POST /tenants/${tenant.id}/leave`, { as: index === 0 ? owner : second }),
    )
    expect(tally(answers)).toEqual({ 204: 1, TENANCY_MEMBER_LAST_OWNER: 1 })
    await app.tenancy.deleteTenant({ tenant: tenant.id })
    await app.tenancy.purgeTenant({ tenant: tenant.id })
  }
})

test('maxUsers is reached, and not exceeded, by twenty acceptances at once', { timeout }, async () => {
  const owner = await app.createUser()
  const tenant = await app.createTenant(owner)
  let guests: readonly Caller[] = await Promise.all(Array.from({ length: 20 }, () => app.createUser()))
  await app.tenancy.updateTenant({ tenant: tenant.id, maxUsers: 6 })
  for (let round = 0; round < rounds; round += 1) {
    guests = await renewed(guests, round)
    const tokens: string[] = []
    for (const guest of guests) {
      const invited = { tenant: tenant.id, email: await emailOf(guest), roles: [], actor: owner.id }
      tokens.push((await app.tenancy.createInvitation(invited)).token)
    }
    const answers = await race(20, (api, index) =>
      send(api, 'POST /invitations/accept', { as: guests[index]!, body: { token: tokens[index] } }),
    )
    expect(tally(answers)).toEqual({ 200: 5, TENANCY_MEMBER_LIMIT_REACHED: 15 })
    const { members, total } = await app.tenancy.searchMembers({ tenant: tenant.id, limit: 100 })
    expect(total).toBe(6)
    for (const { userId } of members) {
      if (userId !== owner.id) await app.tenancy.removeMember({ tenant: tenant.id, user: userId })
    }
  }
})

test('One slug that fifty ask for at once is one tenant’s', { timeout }, async () => {
  let users: readonly Caller[] = await Promise.all(Array.from({ length: 50 }, () => app.createUser()))
  for (let round = 0; round < rounds; round += 1) {
    users = await renewed(users, round)
    const slug = `race-${randomUUID().slice(0, 8)}`
    const answers = await race(50, (api, index) =>
      send(api, 'POST /tenants', { as: users[index]!, body: { name: slug, slug } }),
    )
    expect(tally(answers)).toEqual({ 201: 1, TENANCY_TENANT_SLUG_TAKEN: 49 })
    const { tenants, total } = await app.tenancy.searchTenants({ search: slug })
    expect(total).toBe(1)
    await app.tenancy.deleteTenant({ tenant: tenants[0]!.id })
    await app.tenancy.purgeTenant({ tenant: tenants[0]!.id })
  }
})

test('Changes in a tenant are counted over both', async () => {
  const few = await createApiApp({ changesPerTenant: 5, changesPerUser: 100 })
  try {
    const second = createApi({
      tenancy: await few.openAnother({}),
      limits: { changesPerTenant: 5, changesPerUser: 100 },
    })
    const [owner, other] = [await few.createUser(), await few.createUser()]
    const [tenant, quiet] = [await few.createTenant(owner), await few.createTenant(other)]
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        send(index % 2 === 0 ? few.api : second, `PATCH /tenants/${tenant.id}`, {
          ...{ as: owner, body: { name: `n${index}` } },
        }),
      ),
    )
    expect(tally(answers)).toEqual({ 200: 5, TENANCY_REQUEST_TOO_MANY: 7 })
    const elsewhere = await send(second, `PATCH /tenants/${quiet.id}`, { as: other, body: { name: 'n' } })
    expect(elsewhere.status).toBe(200)
  } finally {
    await few.close()
  }
})
