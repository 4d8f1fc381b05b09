import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createInvitationCatalog, type InvitationCatalog } from '../invitations/fixture.js'

/** Rounds of each race; 1,000 with T2F_RACE_ROUNDS=1000. */
const rounds = Number(process.env['T2F_RACE_ROUNDS'] ?? 3)
const timeout = 60_000 + rounds * 2000

let catalog: InvitationCatalog
let tenant: string
let owner: string

beforeAll(async () => {
  catalog = await createInvitationCatalog()
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  await newTenant()
})

async function newTenant(): Promise<void> {
  tenant = (await catalog.addTenant()).id
  owner = await catalog.addMember(tenant, 'Owner')
}

/** Runs all at once and counts how each ended: `done`, or the code of its error. */
async function outcomes(calls: readonly (() => Promise<unknown>)[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  const settled = await Promise.allSettled(calls.map((call) => call()))
  for (const result of settled) {
    const key = result.status === 'fulfilled' ? 'done' : String((result.reason as { code?: unknown }).code)
    counts[key] = (counts[key] ?? 0) + 1
  }
  return counts
}

const countOf = async (condition: string, values: unknown[] = [tenant]) =>
  (await catalog.one<{ count: number }>(`select count(*)::int as count from ${condition}`, values)).count
const members = () => countOf('user_tenants where tenant_id = $1')
const entries = (action: string) => countOf('audit_log where tenant_id = $1 and action = $2', [tenant, action])
const invite = async (email: string) =>
  (await catalog.invitations.createInvitation({ tenant, email, roles: ['Member'], actor: owner })).token

test('an invitation that is accepted several times at once makes one member', { timeout }, async () => {
  for (let round = 0; round < rounds; round += 1) {
    const { id, email } = await catalog.addPerson()
    const token = await invite(email)
    const accept = () => catalog.invitations.acceptInvitation({ token, user: id })
    expect(await outcomes([accept, accept, accept])).toEqual({ done: 1, TENANCY_INVITATION_INVALID: 2 })
  }
  expect(await members()).toBe(rounds + 1)
  expect(await entries('invitation.accept')).toBe(rounds)
})

test('an invitation that is accepted and withdrawn at once is one of both', { timeout }, async () => {
  for (let round = 0; round < rounds; round += 1) {
    const { id, email } = await catalog.addPerson()
    const { token, invitation } = await catalog.invitations.createInvitation({ tenant, email, roles: [], actor: owner })
    const before = await members()
    const counts = await outcomes([
      () => catalog.invitations.acceptInvitation({ token, user: id }),
      () => catalog.invitations.withdrawInvitation({ tenant, invitation: invitation.id, actor: owner }),
    ])
    const joined = (await members()) > before
    expect(counts).toEqual({ done: 1, [joined ? 'TENANCY_INVITATION_NOT_FOUND' : 'TENANCY_INVITATION_INVALID']: 1 })
  }
})

test('maxUsers is reached, and not exceeded, when twenty accept at once', { timeout }, async () => {
  for (let round = 0; round < rounds; round += 1) {
    await newTenant()
    await catalog.pool.query('update tenants set max_users = 6 where id = $1', [tenant])
    const people = await Promise.all(Array.from({ length: 20 }, () => catalog.addPerson()))
    const tokens: string[] = []
    for (const { email } of people) tokens.push(await invite(email))
    const calls = people.map(
      ({ id }, index) =>
        () =>
          catalog.invitations.acceptInvitation({ token: tokens[index]!, user: id }),
    )
    expect(await outcomes(calls)).toEqual({ done: 5, TENANCY_MEMBER_LIMIT_REACHED: 15 })
    expect(await members()).toBe(6)
  }
})

test('a user who is added, and accepts, five times at once is a member once', { timeout }, async () => {
  for (let round = 0; round < rounds; round += 1) {
    const { id, email } = await catalog.addPerson()
    const token = await invite(email)
    const before = await members()
    const add = () => catalog.memberships.addMember({ tenant, user: id, actor: owner })
    const counts = await outcomes([add, add, add, add, add])
    expect(counts).toEqual({ done: 1, TENANCY_MEMBER_EXISTS: 4 })
    expect(await outcomes([() => catalog.invitations.acceptInvitation({ token, user: id })])).toEqual({
      TENANCY_MEMBER_EXISTS: 1,
    })
    expect(await members()).toBe(before + 1)
  }
})

test('a user who accepts invitations of several tenants at once has one default tenant', { timeout }, async () => {
  for (let round = 0; round < rounds; round += 1) {
    const { id, email } = await catalog.addPerson()
    const tokens: string[] = []
    for (let index = 0; index < 4; index += 1) {
      await newTenant()
      tokens.push(await invite(email))
    }
    const calls = tokens.map((token) => () => catalog.invitations.acceptInvitation({ token, user: id }))
    expect(await outcomes(calls)).toEqual({ done: 4 })
    expect(await countOf('user_tenants where user_id = $1 and is_default', [id])).toBe(1)
  }
})

test('of the last two Owners who leave at once, one stays; the only one never leaves', { timeout }, async () => {
  for (let round = 0; round < rounds; round += 1) {
    await newTenant()
    const second = await catalog.addMember(tenant, 'Owner')
    const leave = (user: string) => () => catalog.memberships.leaveTenant({ tenant, user })
    expect(await outcomes([leave(owner), leave(second)])).toEqual({ done: 1, TENANCY_MEMBER_LAST_OWNER: 1 })
    const [left] = (await catalog.memberships.searchMembers({ tenant, role: 'Owner' })).members
    expect(await outcomes([leave(left!.userId), leave(left!.userId)])).toEqual({ TENANCY_MEMBER_LAST_OWNER: 2 })
    expect(await members()).toBe(1)
  }
})

test(
  'an address that is invited five times at once has one invitation, and one token that counts',
  { timeout },
  async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { id, email } = await catalog.addPerson()
      const tokens = await Promise.all(Array.from({ length: 5 }, () => invite(email)))
      expect(await countOf('invitations where tenant_id = $1 and email = $2', [tenant, email])).toBe(1)
      const calls = tokens.map((token) => () => catalog.invitations.acceptInvitation({ token, user: id }))
      expect(await outcomes(calls)).toEqual({ done: 1, TENANCY_INVITATION_INVALID: 4 })
    }
  },
)

test(
  'an ownership that is accepted, declined and withdrawn at once has one outcome, and always an Owner',
  { timeout },
  async () => {
    for (let round = 0; round < rounds; round += 1) {
      await newTenant()
      const user = await catalog.addMember(tenant, 'Member')
      await catalog.memberships.offerOwnership({ tenant, from: owner, to: user })
      const counts = await outcomes([
        () => catalog.memberships.acceptOwnership({ tenant, user }),
        () => catalog.memberships.withdrawOwnership({ tenant, actor: owner }),
        () => catalog.memberships.declineOwnership({ tenant, user }),
      ])
      expect(counts).toEqual({ done: 1, TENANCY_OWNERSHIP_OFFER_NOT_FOUND: 2 })
      const owners = (await catalog.memberships.searchMembers({ tenant, role: 'Owner' })).members
      const transferred = (await entries('ownership.transfer')) === 1
      expect(owners.map(({ userId }) => userId)).toEqual([transferred ? user : owner])
    }
  },
)

test(
  'an ownership that is accepted while its giver leaves never leaves the tenant without an Owner',
  { timeout },
  async () => {
    for (let round = 0; round < rounds; round += 1) {
      await newTenant()
      const user = await catalog.addMember(tenant, 'Member')
      await catalog.memberships.offerOwnership({ tenant, from: owner, to: user })
      await outcomes([
        () => catalog.memberships.leaveTenant({ tenant, user: owner }),
        () => catalog.memberships.acceptOwnership({ tenant, user }),
        () => catalog.memberships.leaveTenant({ tenant, user }),
      ])
      expect((await catalog.memberships.searchMembers({ tenant, role: 'Owner' })).total).toBe(1)
    }
  },
)
