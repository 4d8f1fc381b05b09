import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createMemberships, type Memberships } from '../../../src/catalog/members/memberships.js'
import { type AccessCatalog, createAccessCatalog } from '../access/fixture.js'

let catalog: AccessCatalog
let memberships: Memberships
let tenant: string
let owner: string
let user: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  memberships = createMemberships({ catalog: catalog.pool })
  for (const role of ['Member', 'Admin']) await catalog.addRole(null, role)
  await catalog.addPermission('notes:read')
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  tenant = (await catalog.addTenant()).id
  owner = await catalog.addMember(tenant, 'Owner')
  user = await catalog.addMember(tenant, 'Member', 'Admin')
})

const entries = async () =>
  (
    await catalog.pool.query(
      'select actor_id as actor, action, subject, before, after from audit_log where tenant_id = $1',
      [tenant],
    )
  ).rows
const name = (id: string, text: string) => catalog.pool.query('update users set name = $2 where id = $1', [id, text])

test('a member is read with roles, profile, number of overrides and a version', async () => {
  await catalog.pool.query(
    `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect) values ($1, $2, 1, 'deny')`,
    [user, tenant],
  )
  expect(await memberships.getMember({ tenant, user: user.toUpperCase() })).toEqual({
    userId: user,
    tenantId: tenant,
    isActive: true,
    isDefault: false,
    createdAt: expect.any(Date),
    updatedAt: expect.any(Date),
    email: expect.stringContaining('@example.com'),
    name: '',
    image: null,
    position: null,
    department: null,
    attributes: {},
    roles: ['Admin', 'Member'],
    overrides: 1,
    version: expect.stringMatching(/^[0-9a-f]{32}$/),
  })
})

test('a user who is no member, and a member of another tenant, are not found', async () => {
  const other = (await catalog.addTenant()).id
  const stranger = await catalog.addMember(other, 'Owner')
  for (const id of [stranger, randomUUID()]) {
    const missing = { code: 'TENANCY_MEMBER_NOT_FOUND' }
    await expect(memberships.getMember({ tenant, user: id })).rejects.toMatchObject(missing)
    await expect(memberships.updateMember({ tenant, user: id, position: 'x' })).rejects.toMatchObject(missing)
  }
  await expect(memberships.getMember({ tenant: 'nowhere', user })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
})

test('a profile is changed field by field, in this tenant only, without raising the epoch of the user', async () => {
  const other = (await catalog.addTenant()).id
  await catalog.join(user, other)
  const raised = await catalog.raisedBy(async () => {
    await memberships.updateMember({ tenant, user, position: ' Clerk ', attributes: { level: 3, tags: ['a'] } })
    await memberships.updateMember({ tenant, user, department: 'Sales', actor: owner })
  })
  expect(raised).toEqual([])
  expect(await memberships.getMember({ tenant, user })).toMatchObject({
    position: 'Clerk',
    department: 'Sales',
    attributes: { level: 3, tags: ['a'] },
  })
  expect(await memberships.updateMember({ tenant, user, position: null, attributes: {} })).toMatchObject({
    position: null,
    department: 'Sales',
    attributes: {},
  })
  expect(await memberships.getMember({ tenant: other, user })).toMatchObject({ department: null })
  expect(await entries()).toMatchObject([
    {
      actor: null,
      action: 'member.profile.update',
      subject: `user:${user}`,
      before: null,
      after: { fields: ['position', 'attributes'] },
    },
    { actor: owner, after: { fields: ['department'] } },
    { actor: null, after: { fields: ['position', 'attributes'] } },
  ])
})

test('a change that changes nothing writes nothing, also with the keys in another order', async () => {
  const first = await memberships.updateMember({
    tenant,
    user,
    position: 'Clerk',
    attributes: { b: 1, a: { d: 1, c: 2 } },
  })
  const again = await memberships.updateMember({
    tenant,
    user,
    position: 'Clerk',
    attributes: { a: { c: 2, d: 1 }, b: 1 },
  })
  expect(again).toEqual(first)
  expect(await memberships.updateMember({ tenant, user })).toEqual(first)
  expect(await entries()).toHaveLength(1)
})

test('a change with an old version is refused, and so is the second of two with the same version', async () => {
  const { version } = await memberships.getMember({ tenant, user })
  const results = await Promise.allSettled(
    ['One', 'Two', 'Three'].map((position) => memberships.updateMember({ tenant, user, position, version })),
  )
  expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
  for (const result of results) {
    if (result.status === 'rejected')
      expect(result.reason).toMatchObject({ code: 'TENANCY_MEMBER_VERSION_CONFLICT', statusCode: 412 })
  }
  expect(await entries()).toHaveLength(1)
})

test('the version changes with profile, name, activity, roles and overrides, and not with the default tenant', async () => {
  const version = async () => (await memberships.getMember({ tenant, user })).version
  const seen = [await version()]
  await memberships.setDefaultTenant({ tenant, user })
  expect(await version()).toBe(seen[0])
  const changes = [
    () => memberships.updateMember({ tenant, user, attributes: { a: 1 } }),
    () => name(user, 'Ada'),
    () => memberships.setMemberActive({ tenant, user, isActive: false }),
    () => catalog.pool.query('delete from user_tenant_roles where user_id = $1', [user]),
    () =>
      catalog.pool.query(
        `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect) values ($1, $2, 1, 'deny')`,
        [user, tenant],
      ),
    () => catalog.pool.query(`update user_tenant_permissions set effect = 'allow' where user_id = $1`, [user]),
  ]
  for (const change of changes) {
    await change()
    seen.push(await version())
  }
  expect(new Set(seen).size).toBe(changes.length + 1)
})

test('an actor changes the profile of nobody who holds more, and members change their own', async () => {
  const member = await catalog.addMember(tenant, 'Member')
  await expect(memberships.updateMember({ tenant, user: owner, position: 'x', actor: member })).rejects.toMatchObject({
    code: 'TENANCY_ACCESS_CHANGE_REFUSED',
  })
  await expect(memberships.updateMember({ tenant, user: member, position: 'x', actor: member })).resolves.toMatchObject(
    {
      position: 'x',
    },
  )
})

test('what cannot be stored as a profile is refused', async () => {
  let deep: object = {}
  for (let level = 0; level < 100_000; level += 1) deep = { deep }
  const wrong = [
    { position: '' },
    { position: 'two\nlines' },
    { department: 'x'.repeat(201) },
    { attributes: { text: 'x'.repeat(8192) } },
    { attributes: { text: '\0' } },
    { attributes: { '\uD800': 1 } },
    { attributes: { at: new Date() } },
    { attributes: { count: 1n } },
    { attributes: { none: undefined } },
    { attributes: deep },
    { attributes: [] },
    { attributes: null },
  ]
  for (const [index, given] of wrong.entries()) {
    await expect(memberships.updateMember({ tenant, user, ...given } as never), `${index}`).rejects.toMatchObject({
      code: 'TENANCY_REQUEST_INVALID',
    })
  }
  const largest = { text: 'x'.repeat(8192 - '{"text":""}'.length) }
  expect((await memberships.updateMember({ tenant, user, attributes: largest })).attributes).toEqual(largest)
})

test('a profile goes with the membership', async () => {
  await memberships.updateMember({ tenant, user, position: 'Clerk' })
  await memberships.removeMember({ tenant, user })
  await memberships.addMember({ tenant, user })
  expect((await memberships.getMember({ tenant, user })).position).toBeNull()
})

test('members are found by name and address, literally, in any case, with their number', async () => {
  const found = async (search: string) =>
    (await memberships.searchMembers({ tenant, search })).members.map(({ userId }) => userId)
  const other = await catalog.addMember((await catalog.addTenant()).id)
  const percent = await catalog.addMember(tenant)
  await Promise.all([name(owner, 'Ada Lovelace'), name(percent, '100%_\\'), name(other, 'Ada Other')])
  const { email } = await memberships.getMember({ tenant, user })
  expect(await found('LOVE')).toEqual([owner])
  expect(await found(email.toUpperCase())).toEqual([user])
  for (const text of ['%', '_', '\\', '0%_']) expect(await found(text)).toEqual([percent])
  expect(await found('nobody')).toEqual([])
  expect(await found('')).toHaveLength(3)
  expect(await memberships.searchMembers({ tenant, search: 'Other' })).toEqual({ members: [], total: 0, next: null })
})

test('members are found by activity and by a role that they hold directly', async () => {
  await memberships.setMemberActive({ tenant, user, isActive: false })
  await catalog.addRole(tenant, 'Clerk')
  const clerk = await catalog.addMember(tenant, 'Clerk')
  const ids = async (input: object) =>
    (await memberships.searchMembers({ tenant, ...input })).members.map(({ userId }) => userId)
  expect(await ids({ status: 'inactive' })).toEqual([user])
  expect(await ids({ status: 'active' })).toEqual([owner, clerk].toSorted())
  expect(await ids({ role: 'Clerk' })).toEqual([clerk])
  expect(await ids({ role: 'Owner', status: 'inactive' })).toEqual([])
  expect(await ids({ role: 'Nothing' })).toEqual([])
})

test('pages have every member once and the number of all, whoever joins or leaves meanwhile', async () => {
  const others = await Promise.all(Array.from({ length: 5 }, () => catalog.addMember(tenant, 'Member')))
  const all = [owner, user, ...others].toSorted()
  const first = await memberships.searchMembers({ tenant, limit: 3 })
  expect(first).toMatchObject({ total: 7, next: all[2], members: all.slice(0, 3).map((userId) => ({ userId })) })
  await catalog.pool.query('delete from user_tenants where user_id = $1', [all[2]])
  const second = await memberships.searchMembers({ tenant, limit: 4, after: first.next! })
  expect(second).toMatchObject({ total: 6, next: null, members: all.slice(3).map((userId) => ({ userId })) })
  expect(await memberships.searchMembers({ tenant, after: all.at(-1)! })).toEqual({ members: [], total: 6, next: null })
})

test('a member that was found has their roles and their position', async () => {
  await memberships.updateMember({ tenant, user, position: 'Clerk' })
  const { members } = await memberships.searchMembers({ tenant, role: 'Admin' })
  expect(members).toEqual([
    {
      userId: user,
      tenantId: tenant,
      isActive: true,
      isDefault: false,
      createdAt: expect.any(Date),
      updatedAt: expect.any(Date),
      email: expect.any(String),
      name: '',
      position: 'Clerk',
      department: null,
      roles: ['Admin', 'Member'],
    },
  ])
})
