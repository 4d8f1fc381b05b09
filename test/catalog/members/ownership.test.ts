import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { createMemberships, type Memberships } from '../../../src/catalog/members/memberships.js'
import { type AccessCatalog, createAccessCatalog } from '../access/fixture.js'

let catalog: AccessCatalog
let admin: AccessAdministration
let memberships: Memberships
let tenant: string
let owner: string
let user: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  memberships = createMemberships({ catalog: catalog.pool })
  for (const role of ['Member', 'Admin']) await catalog.addRole(null, role)
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  tenant = (await catalog.addTenant()).id
  owner = await catalog.addMember(tenant, 'Owner')
  user = await catalog.addMember(tenant, 'Member')
})

const rolesOf = async (id: string) => (await memberships.getMember({ tenant, user: id })).roles
const actions = async () =>
  (
    await catalog.pool.query<{ actor: string; action: string }>(
      'select actor_id as actor, action from audit_log where tenant_id = $1 order by id',
      [tenant],
    )
  ).rows.map(({ actor, action }) => [actor, action])
const offer = (keep?: string) => memberships.offerOwnership({ tenant, from: owner, to: user, keep })
const none = { code: 'TENANCY_OWNERSHIP_OFFER_NOT_FOUND' }

test('an offer is open for seven days, and the other member accepts it', async () => {
  const made = await offer()
  expect(made).toMatchObject({ tenant, from: owner, to: user, keep: 'Admin' })
  expect(made.expiresAt.getTime() - made.createdAt.getTime()).toBe(7 * 86_400_000)
  expect(await memberships.findOwnershipOffer(tenant)).toEqual(made)
  expect(await rolesOf(user)).toEqual(['Member'])
  expect(await memberships.acceptOwnership({ tenant, user })).toEqual(made)
  expect([await rolesOf(owner), await rolesOf(user)]).toEqual([['Admin'], ['Member', 'Owner']])
  expect(await memberships.findOwnershipOffer(tenant)).toBeUndefined()
  expect(await actions()).toEqual([
    [owner, 'ownership.offer'],
    [user, 'ownership.transfer'],
  ])
  await expect(memberships.acceptOwnership({ tenant, user })).rejects.toMatchObject(none)
})

test('the giver keeps the role that was chosen, and the other roles', async () => {
  await catalog.addRole(tenant, 'Founder')
  await admin.assignRole({ tenant, user: owner, role: 'Admin' })
  await offer('Founder')
  await memberships.acceptOwnership({ tenant, user })
  expect(await rolesOf(owner)).toEqual(['Admin', 'Founder'])
})

test('one offer is open at a time; one that is over gives way', async () => {
  await offer()
  await expect(offer()).rejects.toMatchObject({ code: 'TENANCY_OWNERSHIP_OFFER_EXISTS' })
  await catalog.pool.query(`update ownership_offers set expires_at = now() where tenant_id = $1`, [tenant])
  expect(await memberships.findOwnershipOffer(tenant)).toBeUndefined()
  await expect(memberships.acceptOwnership({ tenant, user })).rejects.toMatchObject(none)
  await expect(memberships.withdrawOwnership({ tenant })).rejects.toMatchObject(none)
  await offer('Member')
  expect((await memberships.findOwnershipOffer(tenant))?.keep).toBe('Member')
})

test('the receiver declines, and the giver, another Owner or the installation withdraws; nobody else does', async () => {
  await offer()
  const bystander = await catalog.addMember(tenant, 'Admin')
  for (const answer of [memberships.acceptOwnership, memberships.declineOwnership]) {
    for (const by of [bystander, owner]) await expect(answer({ tenant, user: by })).rejects.toMatchObject(none)
  }
  for (const actor of [bystander, user]) {
    await expect(memberships.withdrawOwnership({ tenant, actor })).rejects.toMatchObject({
      code: 'TENANCY_ACCESS_CHANGE_REFUSED',
    })
  }
  await memberships.declineOwnership({ tenant, user })
  const second = await catalog.addMember(tenant, 'Owner')
  for (const actor of [owner, second, undefined]) {
    await offer()
    await memberships.withdrawOwnership({ tenant, actor })
    await expect(memberships.withdrawOwnership({ tenant, actor })).rejects.toMatchObject(none)
  }
  expect(await rolesOf(owner)).toEqual(['Owner'])
})

test('only an Owner offers, to another active member, and keeps a role that exists', async () => {
  const other = await catalog.addMember(tenant, 'Admin')
  await expect(memberships.offerOwnership({ tenant, from: other, to: user })).rejects.toMatchObject({
    code: 'TENANCY_ACCESS_GRANT_REFUSED',
  })
  const stranger = await catalog.addUser()
  await memberships.setMemberActive({ tenant, user: other, isActive: false })
  const disabled = await catalog.addMember(tenant, 'Member')
  await catalog.pool.query('update users set disabled_at = now() where id = $1', [disabled])
  for (const to of [stranger, other, disabled]) {
    await expect(memberships.offerOwnership({ tenant, from: owner, to })).rejects.toMatchObject({
      code: 'TENANCY_MEMBER_NOT_FOUND',
    })
  }
  await expect(offer('Nothing')).rejects.toMatchObject({ code: 'TENANCY_ACCESS_ROLE_NOT_FOUND' })
  await expect(offer('Owner')).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  await expect(memberships.offerOwnership({ tenant, from: owner, to: owner })).rejects.toMatchObject({
    code: 'TENANCY_REQUEST_INVALID',
  })
  expect(await memberships.findOwnershipOffer(tenant)).toBeUndefined()
})

test('an offer of somebody who is an Owner no more cannot be accepted', async () => {
  await catalog.addMember(tenant, 'Owner')
  await offer()
  await admin.unassignRole({ tenant, user: owner, role: 'Owner' })
  await expect(memberships.acceptOwnership({ tenant, user })).rejects.toMatchObject({
    code: 'TENANCY_ACCESS_GRANT_REFUSED',
  })
  expect(await rolesOf(user)).toEqual(['Member'])
})

test('an offer ends with the membership of either side, and with the role that was to be kept', async () => {
  await catalog.addMember(tenant, 'Owner')
  await offer()
  await memberships.removeMember({ tenant, user })
  expect(await memberships.findOwnershipOffer(tenant)).toBeUndefined()
  await memberships.addMember({ tenant, user })
  await catalog.addRole(tenant, 'Founder')
  await offer('Founder')
  await admin.deleteRole({ tenant, role: 'Founder' })
  expect(await memberships.findOwnershipOffer(tenant)).toBeUndefined()
  await offer()
  await memberships.leaveTenant({ tenant, user: owner })
  expect(await memberships.findOwnershipOffer(tenant)).toBeUndefined()
})

test('a member leaves by themselves, with an entry of their own; the last Owner and an inactive member do not', async () => {
  await memberships.leaveTenant({ tenant, user: user.toUpperCase() })
  await expect(memberships.getMember({ tenant, user })).rejects.toMatchObject({ code: 'TENANCY_MEMBER_NOT_FOUND' })
  expect(await actions()).toEqual([[user, 'member.leave']])
  const inactive = await catalog.addMember(tenant, 'Member')
  await memberships.setMemberActive({ tenant, user: inactive, isActive: false })
  for (const id of [user, inactive, 'nobody']) {
    await expect(memberships.leaveTenant({ tenant, user: id })).rejects.toMatchObject({
      code: 'TENANCY_MEMBER_NOT_FOUND',
    })
  }
  await expect(memberships.leaveTenant({ tenant, user: owner })).rejects.toMatchObject({
    code: 'TENANCY_MEMBER_LAST_OWNER',
  })
})
