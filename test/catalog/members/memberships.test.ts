import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createMemberDirectory } from '../../../src/catalog/members/member-directory.js'
import { createMemberships, type Memberships } from '../../../src/catalog/members/memberships.js'
import type { Tenants } from '../../../src/catalog/tenants/tenants.js'
import { createInstallation, type Installation } from '../../databases/fixture.js'
import { findMember } from '../../support/find-member.js'

let installation: Installation
let tenants: Tenants
let memberships: Memberships
let owner: string
let slug: string
let count = 0

beforeAll(async () => {
  installation = await createInstallation()
  tenants = installation.open().tenants
  memberships = createMemberships({ catalog: installation.catalog.pool })
  await sql("insert into roles (name) values ('Member'), ('Admin') on conflict do nothing")
})
afterAll(() => installation.drop())
beforeEach(async () => {
  count += 1
  slug = `tenant-${count}`
  owner = await installation.createUser()
  await tenants.createTenant({ name: slug, slug, owner, maxUsers: 5 })
})

const sql = async (text: string, values: unknown[] = []) => (await installation.catalog.pool.query(text, values)).rows
const memberCount = async () =>
  (
    await sql('select count(*)::int as count from user_tenants join tenants on id = tenant_id where slug = $1', [slug])
  )[0].count as number

test('a new member gets the role Member, their first tenant as default, and an audit entry', async () => {
  const user = await installation.createUser()
  const membership = await memberships.addMember({ tenant: slug, user, actor: owner })
  const { id } = await tenants.getTenant(slug)
  expect(membership).toMatchObject({
    userId: user,
    tenantId: id,
    isActive: true,
    isDefault: true,
    createdAt: expect.any(Date),
  })
  expect(await memberships.listMemberships(user)).toMatchObject([
    { slug, tenantName: slug, status: 'active', roles: ['Member'], isDefault: true },
  ])
  expect(
    await sql('select actor_id, action, after from audit_log where tenant_id is not null and subject = $1', [
      `user:${user}`,
    ]),
  ).toEqual([{ actor_id: owner, action: 'member.add', after: { roles: ['Member'], isDefault: true } }])
})

test('a new member gets the named roles, built in or the tenant’s own', async () => {
  const { id } = await tenants.getTenant(slug)
  await sql('insert into roles (tenant_id, name) values ($1, $2)', [id, 'Accountant'])
  const user = await installation.createUser()
  await memberships.addMember({ tenant: slug, user, roles: ['Admin', 'Accountant', 'Admin'] })
  expect((await memberships.listMemberships(user))[0]?.roles).toEqual(['Accountant', 'Admin'])
  const none = await installation.createUser()
  await memberships.addMember({ tenant: slug, user: none, roles: [] })
  expect((await memberships.listMemberships(none))[0]?.roles).toEqual([])
})

test('addMember with an unknown role or another tenant’s role adds no member', async () => {
  const other = await tenants.createTenant({ name: 'Other', slug: `other-${count}`, owner })
  await sql('insert into roles (tenant_id, name) values ($1, $2)', [other.id, 'Theirs'])
  const user = await installation.createUser()
  for (const role of ['Theirs', 'Nothing', '']) {
    await expect(memberships.addMember({ tenant: slug, user, roles: ['Member', role] })).rejects.toMatchObject({
      code: 'TENANCY_ACCESS_ROLE_NOT_FOUND',
    })
  }
  expect(await memberships.listMemberships(user)).toEqual([])
})

test('maxUsers is not exceeded when twenty users join at once', async () => {
  const users = await Promise.all(Array.from({ length: 20 }, () => installation.createUser()))
  const results = await Promise.allSettled(users.map((user) => memberships.addMember({ tenant: slug, user })))
  const codes = results
    .filter((result) => result.status === 'rejected')
    .map((result) => (result.reason as { code: string }).code)
  expect(codes).toEqual(Array.from({ length: 16 }, () => 'TENANCY_MEMBER_LIMIT_REACHED'))
  expect(await memberCount()).toBe(5)
})

test('a user who joins one tenant ten times at once is a member once', async () => {
  const user = await installation.createUser()
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, () => memberships.addMember({ tenant: slug, user })),
  )
  const codes = results
    .filter((result) => result.status === 'rejected')
    .map((result) => (result.reason as { code: string }).code)
  expect(codes).toEqual(Array.from({ length: 9 }, () => 'TENANCY_MEMBER_EXISTS'))
})

test('a user who joins several tenants at once has one default tenant', async () => {
  const others = ['a', 'b', 'c'].map((letter) => `many-${letter}-${count}`)
  for (const other of others) await tenants.createTenant({ name: other, slug: other, owner })
  const user = await installation.createUser()
  await Promise.all([slug, ...others].map((tenant) => memberships.addMember({ tenant, user })))
  const list = await memberships.listMemberships(user)
  expect(list).toHaveLength(4)
  expect(list.filter((membership) => membership.isDefault)).toHaveLength(1)
})

test('addMember refuses unknown users, disabled users and deleted tenants', async () => {
  const disabled = await installation.createUser()
  await sql('update users set disabled_at = now() where id = $1', [disabled])
  for (const user of [disabled, '00000000-0000-4000-8000-000000000000', 'nobody', '']) {
    await expect(memberships.addMember({ tenant: slug, user })).rejects.toMatchObject({
      code: 'TENANCY_USER_NOT_FOUND',
    })
  }
  await expect(memberships.addMember({ tenant: 'nowhere', user: owner })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
  await tenants.deleteTenant({ tenant: slug })
  await expect(memberships.addMember({ tenant: slug, user: await installation.createUser() })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_STATE_CONFLICT',
  })
})

test('a removed member loses roles and overrides, and no longer counts towards maxUsers', async () => {
  const users = await Promise.all(Array.from({ length: 4 }, () => installation.createUser()))
  for (const user of users) await memberships.addMember({ tenant: slug, user })
  const [first = '', ...others] = users
  const late = await installation.createUser()
  await expect(memberships.addMember({ tenant: slug, user: late })).rejects.toMatchObject({
    code: 'TENANCY_MEMBER_LIMIT_REACHED',
  })
  await memberships.removeMember({ tenant: slug, user: first, actor: owner })
  await memberships.addMember({ tenant: slug, user: late })
  expect(others).toHaveLength(3)
  expect(await sql('select 1 from user_tenant_roles where user_id = $1', [first])).toEqual([])
  expect(
    await sql("select actor_id, before from audit_log where action = 'member.remove' and subject = $1", [
      `user:${first}`,
    ]),
  ).toEqual([{ actor_id: owner, before: { roles: ['Member'] } }])
  await expect(memberships.removeMember({ tenant: slug, user: first })).rejects.toMatchObject({
    code: 'TENANCY_MEMBER_NOT_FOUND',
  })
  await expect(memberships.removeMember({ tenant: slug, user: 'nobody' })).rejects.toMatchObject({
    code: 'TENANCY_MEMBER_NOT_FOUND',
  })
})

test('the last Owner cannot be removed, even when two Owners remove each other at once', async () => {
  await expect(memberships.removeMember({ tenant: slug, user: owner })).rejects.toMatchObject({
    code: 'TENANCY_MEMBER_LAST_OWNER',
  })
  const second = await installation.createUser()
  await memberships.addMember({ tenant: slug, user: second, roles: ['Owner'] })
  const results = await Promise.allSettled([
    memberships.removeMember({ tenant: slug, user: owner }),
    memberships.removeMember({ tenant: slug, user: second }),
  ])
  expect(results.map((result) => result.status).toSorted()).toEqual(['fulfilled', 'rejected'])
  expect(results.find((result) => result.status === 'rejected')?.reason).toMatchObject({
    code: 'TENANCY_MEMBER_LAST_OWNER',
  })
})

test('setDefaultTenant moves the default to the chosen tenant, and only for a member of it', async () => {
  const other = `chosen-${count}`
  const otherOwner = await installation.createUser()
  await tenants.createTenant({ name: other, slug: other, owner: otherOwner })
  for (const stranger of [owner, randomUUID(), 'nobody']) {
    const chosen = memberships.setDefaultTenant({ tenant: other, user: stranger })
    await expect(chosen).rejects.toMatchObject({ code: 'TENANCY_MEMBER_NOT_FOUND' })
  }
  expect(await memberships.listMemberships(owner)).toMatchObject([{ slug, isDefault: true }])
  await memberships.addMember({ tenant: other, user: owner })
  expect(await memberships.setDefaultTenant({ tenant: other, user: owner })).toMatchObject({ isDefault: true })
  expect((await memberships.listMemberships(owner)).map((entry) => [entry.slug, entry.isDefault])).toEqual([
    [other, true],
    [slug, false],
  ])
  await Promise.all([slug, other, slug, other].map((tenant) => memberships.setDefaultTenant({ tenant, user: owner })))
  expect((await memberships.listMemberships(owner)).filter((entry) => entry.isDefault)).toHaveLength(1)
})

test('every change of a membership raises the user’s epoch', async () => {
  const user = await installation.createUser()
  const epoch = async () => Number((await sql('select access_epoch from users where id = $1', [user]))[0].access_epoch)
  const epochs = [await epoch()]
  await memberships.addMember({ tenant: slug, user })
  epochs.push(await epoch())
  await memberships.setDefaultTenant({ tenant: slug, user })
  epochs.push(await epoch())
  await memberships.removeMember({ tenant: slug, user })
  epochs.push(await epoch())
  expect(epochs).toEqual([...new Set(epochs)].toSorted((a, b) => a - b))
})

test('deleted tenants are not listed as memberships, but suspended ones are', async () => {
  await tenants.suspendTenant({ tenant: slug })
  expect(await memberships.listMemberships(owner)).toMatchObject([{ slug, status: 'suspended' }])
  await tenants.deleteTenant({ tenant: slug })
  expect(await memberships.listMemberships(owner)).toEqual([])
  expect(await memberships.listMemberships('nobody')).toEqual([])
})

test('an inactive member is treated as no member, keeps roles and overrides, and has them again when activated', async () => {
  const user = await installation.createUser()
  await memberships.addMember({ tenant: slug, user })
  const { id } = await tenants.getTenant(slug)
  const found = async () =>
    (await findMember(createMemberDirectory(installation.catalog.pool), user, { kind: 'slug', value: slug }))?.grants
      .roles
  expect(await memberships.setMemberActive({ tenant: slug, user, isActive: false, actor: owner })).toMatchObject({
    isActive: false,
  })
  expect(await found()).toBeUndefined()
  expect(await memberships.setMemberActive({ tenant: slug, user, isActive: false })).toMatchObject({ isActive: false })
  expect(await memberships.setMemberActive({ tenant: slug, user, isActive: true, actor: owner })).toMatchObject({
    isActive: true,
  })
  expect(await found()).toEqual(['Member'])
  expect(
    await sql(
      "select actor_id, before, after from audit_log where tenant_id = $1 and action = 'member.update' order by seq",
      [id],
    ),
  ).toEqual([
    { actor_id: owner, before: { isActive: true }, after: { isActive: false } },
    { actor_id: owner, before: { isActive: false }, after: { isActive: true } },
  ])
  const stranger = await installation.createUser()
  for (const nobody of [stranger, 'nobody']) {
    await expect(memberships.setMemberActive({ tenant: slug, user: nobody, isActive: false })).rejects.toMatchObject({
      code: 'TENANCY_MEMBER_NOT_FOUND',
    })
  }
  await expect(memberships.setMemberActive({ tenant: slug, user: owner, isActive: false })).rejects.toMatchObject({
    code: 'TENANCY_MEMBER_LAST_OWNER',
  })
})

test('members are listed page by page, with their roles, inactive ones included', async () => {
  const users = (await Promise.all(Array.from({ length: 3 }, () => installation.createUser()))).toSorted()
  for (const user of users) await memberships.addMember({ tenant: slug, user })
  await memberships.setMemberActive({ tenant: slug, user: users[0] as string, isActive: false })
  const everybody = [owner, ...users].toSorted()
  const listed = await memberships.listMembers({ tenant: slug })
  expect(listed.map(({ userId }) => userId)).toEqual(everybody)
  expect(listed.find(({ userId }) => userId === users[0])).toMatchObject({ isActive: false, roles: ['Member'] })
  expect(listed[0]?.email).toMatch(/@/)
  const after = everybody[1]
  expect((await memberships.listMembers({ tenant: slug, after, limit: 1 })).map(({ userId }) => userId)).toEqual([
    everybody[2],
  ])
  await expect(memberships.listMembers({ tenant: 'nowhere' })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
  await expect(memberships.listMembers({ tenant: slug, limit: 0 })).rejects.toMatchObject({
    code: 'TENANCY_REQUEST_INVALID',
  })
})

test('concurrent changes of one user in two tenants wait for each other and never deadlock', async () => {
  const other = `${slug}-other`
  await tenants.createTenant({ name: other, slug: other, owner, maxUsers: 5 })
  const user = await installation.createUser()
  for (const tenant of [slug, other]) await memberships.addMember({ tenant, user })
  const toggle = async (isActive: boolean) => {
    await Promise.all([
      memberships.setMemberActive({ tenant: slug, user, isActive }),
      memberships.setDefaultTenant({ tenant: other, user }),
      memberships.setMemberActive({ tenant: other, user, isActive }),
      memberships.setDefaultTenant({ tenant: slug, user }),
    ])
  }
  for (let round = 0; round < 25; round += 1) await toggle(round % 2 === 1)
  expect((await memberships.listMemberships(user)).filter(({ isDefault }) => isDefault)).toHaveLength(1)
})
