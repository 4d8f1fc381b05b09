import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createInvitationCatalog, type InvitationCatalog } from './fixture.js'

let catalog: InvitationCatalog
let tenant: string
let owner: string
/** An Admin, who is a Member by inclusion. */
let admin: string
let ada: { id: string; email: string }

beforeAll(async () => {
  catalog = await createInvitationCatalog()
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  tenant = (await catalog.addTenant()).id
  owner = await catalog.addMember(tenant, 'Owner')
  admin = await catalog.addMember(tenant, 'Admin')
  ada = await catalog.addPerson()
})

const invite = (input: object = {}) =>
  catalog.invitations.createInvitation({ tenant, email: ada.email, roles: ['Member'], actor: owner, ...input })
const accept = (token: string, user = ada.id) => catalog.invitations.acceptInvitation({ token, user })
const rolesOf = async (user: string) => (await catalog.memberships.getMember({ tenant, user })).roles
const stateOf = async (id: string) =>
  (await catalog.invitations.listInvitations({ tenant })).find((each) => each.id === id)?.state
const entries = async () =>
  (
    await catalog.pool.query(
      'select actor_id as actor, action, subject, before, after from audit_log where tenant_id = $1 order by id',
      [tenant],
    )
  ).rows
const setStatus = (status: string) =>
  catalog.pool.query('update tenants set status = $2 where id = $1', [tenant, status])
const expire = (id: string, age = '1 second') =>
  catalog.pool.query('update invitations set expires_at = now() - $2::interval where id = $1', [id, age])
const invalid = { code: 'TENANCY_INVITATION_INVALID' }

test('an invited user joins with the roles of the invitation, once, and the catalog never has the token', async () => {
  const { invitation, token } = await invite({ roles: ['Member', 'Admin', 'Member'], email: ada.email.toUpperCase() })
  expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(invitation).toEqual({
    id: expect.any(String),
    tenantId: tenant,
    email: ada.email,
    roles: ['Admin', 'Member'],
    invitedBy: owner,
    state: 'open',
    sends: 1,
    sentAt: expect.any(Date),
    expiresAt: expect.any(Date),
    acceptedBy: null,
    refusedAt: null,
    createdAt: expect.any(Date),
  })
  expect(invitation.expiresAt.getTime() - invitation.createdAt.getTime()).toBe(7 * 86_400_000)
  const { stored } = await catalog.one<{ stored: string }>(
    `select (select string_agg(invitations::text, ' ') from invitations) || (select string_agg(audit_log::text, ' ') from audit_log) as stored`,
  )
  expect(stored).not.toContain(token)

  expect(await accept(token)).toMatchObject({ userId: ada.id, tenantId: tenant, isActive: true, isDefault: true })
  expect(await rolesOf(ada.id)).toEqual(['Admin', 'Member'])
  expect(await catalog.invitations.listInvitations({ tenant })).toMatchObject([
    { id: invitation.id, state: 'accepted', acceptedBy: ada.id },
  ])
  await expect(accept(token)).rejects.toMatchObject(invalid)
  const masked = `${ada.email[0]}…@example.com`
  expect(await entries()).toEqual([
    {
      actor: owner,
      action: 'invitation.create',
      subject: `invitation:${invitation.id}`,
      before: null,
      after: { email: masked, roles: ['Admin', 'Member'], expiresInSeconds: 604_800 },
    },
    {
      actor: ada.id,
      action: 'invitation.accept',
      subject: `user:${ada.id}`,
      before: null,
      after: { invitation: invitation.id, roles: ['Admin', 'Member'], isDefault: true },
    },
  ])
})

test('every reason why an invitation cannot be used gives one and the same error, and writes nothing', async () => {
  const other = await catalog.addPerson()
  const unproven = await catalog.addUser()
  const disabled = await catalog.addPerson()
  await catalog.pool.query('update users set disabled_at = now() where id = $1', [disabled.id])
  const unprovenAddress = (await catalog.one<{ email: string }>('select email from users where id = $1', [unproven]))
    .email
  const tokenOf = async (email: string) => (await invite({ email })).token
  const used = await tokenOf(ada.email)
  await accept(used)
  const mine = await catalog.addPerson()
  const [withdrawn, expired] = [await catalog.addPerson(), await catalog.addPerson()]
  const { invitation, token: withdrawnToken } = await invite({ email: withdrawn.email })
  await catalog.invitations.withdrawInvitation({ tenant, invitation: invitation.id })
  const late = await invite({ email: expired.email })
  await expire(late.invitation.id)
  const calls = [
    ['x'.repeat(43), mine.id],
    ['', mine.id],
    ['\0', mine.id],
    [used, ada.id],
    [withdrawnToken, withdrawn.id],
    [late.token, expired.id],
    [await tokenOf(mine.email), other.id],
    [await tokenOf(unprovenAddress), unproven],
    [await tokenOf(disabled.email), disabled.id],
    [await tokenOf(other.email), randomUUID()],
  ] as const
  const before = await entries()
  const messages = new Set<string>()
  for (const [token, user] of calls) {
    const error = await accept(token, user).then(
      () => ({ code: 'none', message: 'none' }),
      (caught: { code: string; message: string }) => caught,
    )
    expect(error).toMatchObject(invalid)
    messages.add(error.message)
  }
  expect(messages.size).toBe(1)
  expect(await entries()).toEqual(before)
})

test('an invitation of a suspended or deleted tenant is neither made, nor shown, nor accepted', async () => {
  const { token, invitation } = await invite()
  for (const status of ['suspended', 'deleted']) {
    await setStatus(status)
    await expect(accept(token)).rejects.toMatchObject(invalid)
    expect(await catalog.invitations.findInvitation({ token })).toBeUndefined()
    const refused = { code: 'TENANCY_TENANT_STATE_CONFLICT' }
    await expect(invite({ actor: undefined })).rejects.toMatchObject(refused)
    await expect(catalog.invitations.resendInvitation({ tenant, invitation: invitation.id })).rejects.toMatchObject(
      refused,
    )
  }
  await setStatus('active')
  await accept(token)
})

test('a second invitation of an address is the same one, with new roles and a new token; the old token is void', async () => {
  const first = await invite({ roles: ['Admin'] })
  const second = await invite({ email: ` ${ada.email.toUpperCase()} `, roles: ['Member'], expiresInSeconds: 3600 })
  expect(second.invitation).toMatchObject({ id: first.invitation.id, roles: ['Member'], sends: 2 })
  expect(second.token).not.toBe(first.token)
  expect(await catalog.invitations.listInvitations({ tenant })).toHaveLength(1)
  await expect(accept(first.token)).rejects.toMatchObject(invalid)
  expect(await catalog.invitations.findInvitation({ token: first.token })).toBeUndefined()
  await accept(second.token)
  expect(await rolesOf(ada.id)).toEqual(['Member'])
})

test('an address can be invited again after it was withdrawn, has expired, or has left', async () => {
  const first = await invite()
  await catalog.invitations.withdrawInvitation({ tenant, invitation: first.invitation.id, actor: owner })
  const second = await invite()
  expect(second.invitation.id).not.toBe(first.invitation.id)
  await expire(second.invitation.id)
  expect(await stateOf(second.invitation.id)).toBe('expired')
  await accept((await invite()).token)
  await catalog.memberships.leaveTenant({ tenant, user: ada.id })
  await accept((await invite()).token)
})

test('a member is not invited, and the answer does not depend on who has an account', async () => {
  await catalog.memberships.addMember({ tenant, user: ada.id })
  await expect(invite()).rejects.toMatchObject({ code: 'TENANCY_MEMBER_EXISTS' })
  const known = await catalog.addPerson()
  const shapes = await Promise.all([invite({ email: known.email }), invite({ email: 'nobody@example.com' })])
  const [withAccount, without] = shapes.map(({ invitation, token }) => [Object.keys(invitation), token.length])
  expect(withAccount).toEqual(without)
})

test('a user who has become a member meanwhile keeps the roles they have', async () => {
  const { token } = await invite({ roles: ['Admin'] })
  await catalog.memberships.addMember({ tenant, user: ada.id })
  await expect(accept(token)).rejects.toMatchObject({ code: 'TENANCY_MEMBER_EXISTS' })
  expect(await rolesOf(ada.id)).toEqual(['Member'])
})

test('nobody invites with a role that they do not hold', async () => {
  const member = await catalog.addMember(tenant, 'Member')
  const stranger = await catalog.addUser()
  for (const [actor, role] of [
    [admin, 'Owner'],
    [member, 'Admin'],
    [stranger, 'Member'],
  ]) {
    await expect(invite({ actor, roles: [role] })).rejects.toMatchObject({ code: 'TENANCY_ACCESS_GRANT_REFUSED' })
  }
  await expect(invite({ roles: ['Nothing'] })).rejects.toMatchObject({ code: 'TENANCY_ACCESS_ROLE_NOT_FOUND' })
  expect(await catalog.invitations.listInvitations({ tenant })).toEqual([])
  await invite({ actor: admin, roles: ['Admin'] })
})

test('nobody replaces or withdraws the invitation of somebody else with roles that they do not hold', async () => {
  const { invitation } = await invite({ roles: ['Owner'] })
  const key = { tenant, invitation: invitation.id }
  const refused = { code: 'TENANCY_ACCESS_CHANGE_REFUSED' }
  await expect(invite({ actor: admin })).rejects.toMatchObject(refused)
  await expect(catalog.invitations.withdrawInvitation({ ...key, actor: admin })).rejects.toMatchObject(refused)
  await expect(catalog.invitations.resendInvitation({ ...key, actor: admin })).rejects.toMatchObject({
    code: 'TENANCY_ACCESS_GRANT_REFUSED',
  })
  expect(await catalog.invitations.withdrawInvitation({ ...key, actor: owner })).toMatchObject({ state: 'withdrawn' })
  await expect(catalog.invitations.withdrawInvitation({ ...key, actor: owner })).rejects.toMatchObject({
    code: 'TENANCY_INVITATION_NOT_FOUND',
  })
})

test('an inviter withdraws what they have sent with roles that they no longer hold, unless they are no member any more', async () => {
  const second = await catalog.addMember(tenant, 'Owner')
  const { invitation } = await invite({ roles: ['Owner'], actor: second })
  await catalog.pool.query('delete from user_tenant_roles where user_id = $1', [second])
  const other = await invite({ email: 'other@example.com', roles: [], actor: second })
  await catalog.invitations.withdrawInvitation({ tenant, invitation: invitation.id, actor: second })
  await catalog.memberships.removeMember({ tenant, user: second })
  await expect(
    catalog.invitations.withdrawInvitation({ tenant, invitation: other.invitation.id, actor: second }),
  ).rejects.toMatchObject({ code: 'TENANCY_ACCESS_CHANGE_REFUSED' })
})

test.each<[string, (inviter: string) => Promise<unknown>]>([
  ['lost the role', (id) => catalog.pool.query('delete from user_tenant_roles where user_id = $1', [id])],
  ['was deactivated', (user) => catalog.memberships.setMemberActive({ tenant, user, isActive: false })],
  ['has left', (user) => catalog.memberships.leaveTenant({ tenant, user })],
  ['was disabled', (id) => catalog.pool.query('update users set disabled_at = now() where id = $1', [id])],
])('an invitation is not accepted when its inviter %s, until somebody else sends it again', async (_, lose) => {
  const { invitation, token } = await invite({ roles: ['Admin'], actor: admin })
  await lose(admin)
  await expect(accept(token)).rejects.toMatchObject({ code: 'TENANCY_INVITATION_AUTHORITY_LOST' })
  const again = await catalog.invitations.resendInvitation({ tenant, invitation: invitation.id, actor: owner })
  expect(again.invitation).toMatchObject({ id: invitation.id, invitedBy: owner, sends: 2, roles: ['Admin'] })
  await expect(accept(token)).rejects.toMatchObject(invalid)
  await accept(again.token)
  expect(await rolesOf(ada.id)).toEqual(['Admin'])
})

test('the invitations of a user who is erased go with them', async () => {
  const { token } = await invite({ actor: admin })
  await catalog.pool.query('delete from users where id = $1', [admin])
  await expect(accept(token)).rejects.toMatchObject(invalid)
})

test('an invitation is not accepted when its inviter may no longer invite, which its administrators see until it is sent again', async () => {
  const permission = 'members:create'
  await catalog.pool.query('insert into permissions (name) values ($1)', [permission])
  const override = (user: string, effect: string, end: string | null = null) =>
    catalog.pool.query(
      `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect, expires_at)
       select $1, $2, id, $3, now() + $4::interval from permissions where name = $5
       on conflict (user_id, tenant_id, permission_id) do update set effect = excluded.effect, expires_at = excluded.expires_at`,
      [user, tenant, effect, end, permission],
    )
  const lost = { code: 'TENANCY_INVITATION_AUTHORITY_LOST' }
  try {
    // Whoever invites by another rule of the application is not asked for this permission.
    const other = await catalog.addPerson()
    await accept((await invite({ actor: admin, email: other.email })).token, other.id)

    await override(admin, 'allow')
    const { invitation, token } = await invite({ actor: admin })
    for (const [effect, end] of [
      ['deny', null],
      ['allow', '-1 second'],
    ] as const) {
      await override(admin, effect, end)
      await expect(accept(token)).rejects.toMatchObject(lost)
    }
    const found = async () =>
      (await catalog.invitations.listInvitations({ tenant })).find(({ id }) => id === invitation.id)
    expect(await found()).toMatchObject({ state: 'open', refusedAt: expect.any(Date) })
    expect((await entries()).filter(({ action }) => action === 'invitation.refuse')).toEqual([
      {
        actor: ada.id,
        action: 'invitation.refuse',
        subject: `invitation:${invitation.id}`,
        before: null,
        after: { invitedBy: admin, lacks: [permission] },
      },
    ])
    await override(owner, 'allow', '1 hour')
    const again = await catalog.invitations.resendInvitation({ tenant, invitation: invitation.id, actor: owner })
    expect(again.invitation.refusedAt).toBeNull()
    // Inviting is a deed: who may for an hour may, and gives only what has no end.
    await accept(again.token)
  } finally {
    await catalog.pool.query('delete from permissions where name = $1', [permission])
  }
})

test('an invitation with a role is not accepted when its inviter holds the permissions of that role for a while only', async () => {
  const name = `hourly-${randomUUID().slice(0, 8)}:read`
  const roleId = await catalog.addRole(tenant, 'Hourly')
  const { token } = await invite({ roles: ['Hourly'], actor: admin })
  await catalog.pool.query('insert into role_permissions values ($1, $2)', [roleId, await catalog.addPermission(name)])
  await catalog.pool.query(
    `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect, expires_at)
     select $1, $2, id, 'allow', now() + interval '1 hour' from permissions where name = $3`,
    [admin, tenant, name],
  )
  await expect(accept(token)).rejects.toMatchObject({ code: 'TENANCY_INVITATION_AUTHORITY_LOST' })
  const other = await catalog.addPerson()
  await expect(invite({ email: other.email, roles: ['Hourly'], actor: admin })).rejects.toMatchObject({
    code: 'TENANCY_ACCESS_GRANT_REFUSED',
  })
})

test('an operator invites with any role, and nobody’s authority is asked for at acceptance', async () => {
  const { invitation, token } = await invite({ actor: undefined, roles: ['Owner'] })
  expect(invitation.invitedBy).toBeNull()
  await accept(token)
  expect(await rolesOf(ada.id)).toEqual(['Owner'])
})

test('a role that was deleted meanwhile is not given', async () => {
  const roleId = await catalog.addRole(tenant, 'Clerk')
  const { invitation, token } = await invite({ roles: ['Clerk', 'Member'] })
  await catalog.pool.query('delete from roles where id = $1', [roleId])
  expect(await catalog.invitations.listInvitations({ tenant })).toMatchObject([
    { id: invitation.id, roles: ['Member'] },
  ])
  await accept(token)
  expect(await rolesOf(ada.id)).toEqual(['Member'])
})

test('a role that has got more permissions meanwhile is not given by an inviter who lacks them', async () => {
  const roleId = await catalog.addRole(tenant, 'Clerk')
  const { token } = await invite({ roles: ['Clerk'], actor: admin })
  const permission = await catalog.addPermission(`secrets-${tenant.slice(0, 8).replaceAll(/\d/g, 'x')}:read`)
  await catalog.pool.query('insert into role_permissions values ($1, $2)', [roleId, permission])
  await expect(accept(token)).rejects.toMatchObject({ code: 'TENANCY_INVITATION_AUTHORITY_LOST' })
})

test('an invitation into a full tenant waits until there is room', async () => {
  await catalog.pool.query('update tenants set max_users = 2 where id = $1', [tenant])
  const { token } = await invite()
  await expect(accept(token)).rejects.toMatchObject({ code: 'TENANCY_MEMBER_LIMIT_REACHED' })
  await catalog.memberships.removeMember({ tenant, user: admin })
  await accept(token)
})

test('a page sees tenant, masked address and expiry of a usable invitation, and nothing of another text', async () => {
  const { invitation, token } = await invite()
  expect(await catalog.invitations.findInvitation({ token })).toEqual({
    tenantName: expect.stringMatching(/^tenant-/),
    email: `${ada.email[0]}…@example.com`,
    expiresAt: invitation.expiresAt,
  })
  for (const text of ['', 'x', token.toLowerCase(), `${token} `, invitation.id, '\0']) {
    expect(await catalog.invitations.findInvitation({ token: text })).toBeUndefined()
  }
  await expire(invitation.id)
  expect(await catalog.invitations.findInvitation({ token })).toBeUndefined()
})

test('invitations of another tenant are not found', async () => {
  const { invitation } = await invite()
  const other = (await catalog.addTenant()).id
  const key = { tenant: other, invitation: invitation.id }
  for (const change of [catalog.invitations.resendInvitation, catalog.invitations.withdrawInvitation]) {
    await expect(change(key)).rejects.toMatchObject({ code: 'TENANCY_INVITATION_NOT_FOUND' })
  }
  expect(await catalog.invitations.listInvitations({ tenant: other })).toEqual([])
})

test('invitations are listed in pages, in the order of creation', async () => {
  const sent: string[] = []
  for (let index = 0; index < 3; index += 1) {
    sent.push((await invite({ email: `page-${index}@example.com` })).invitation.id)
  }
  const ids = async (input: object) =>
    (await catalog.invitations.listInvitations({ tenant, ...input })).map(({ id }) => id)
  expect(await ids({ limit: 2 })).toEqual(sent.slice(0, 2))
  expect(await ids({ limit: 2, after: sent[1] })).toEqual(sent.slice(2))
})

test('what is no address, and an expiry beyond an hour to 30 days, is refused', async () => {
  for (const email of ['', 'nobody', 'a@', 'a@identity.invalid', 'two lines\n@example.com']) {
    await expect(invite({ email })).rejects.toMatchObject({ code: 'TENANCY_ACCOUNTS_EMAIL_INVALID' })
  }
  for (const expiresInSeconds of [3599, 30 * 86_400 + 1, 3600.5, Infinity]) {
    await expect(invite({ expiresInSeconds })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  }
  const { invitation } = await invite({ expiresInSeconds: 30 * 86_400 })
  expect(invitation.expiresAt.getTime() - invitation.createdAt.getTime()).toBe(30 * 86_400_000)
})

test('an invitation that ended more than 30 days ago is removed when another is made, and no other one', async () => {
  const [kept, withdrawn, expired] = [
    await invite({ email: 'kept@example.com' }),
    await invite({ email: 'withdrawn@example.com' }),
    await invite({ email: 'expired@example.com' }),
  ].map(({ invitation }) => invitation.id) as [string, string, string]
  await expire(kept, '29 days')
  await expire(expired, '31 days')
  await catalog.invitations.withdrawInvitation({ tenant, invitation: withdrawn })
  await catalog.pool.query(`update invitations set ended_at = now() - interval '31 days' where id = $1`, [withdrawn])
  const { invitation } = await invite()
  const left = (await catalog.invitations.listInvitations({ tenant })).map(({ id }) => id)
  expect(left).toEqual([kept, invitation.id])
})
