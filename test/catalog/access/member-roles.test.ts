import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { createMemberships, type Memberships } from '../../../src/catalog/members/memberships.js'
import { type AccessCatalog, createAccessCatalog } from './fixture.js'

let catalog: AccessCatalog
let admin: AccessAdministration
let memberships: Memberships
let tenant: string
let owner: string
/** An Admin. */
let actor: string
let user: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  memberships = createMemberships({ catalog: catalog.pool })
  const secrets = await catalog.addPermission('secrets:read')
  expect(secrets).toBe(1)
  await catalog.addRole(null, 'Member')
  await catalog.addRole(null, 'Admin')
  await admin.includeRole({ tenant: null, role: 'Admin', included: 'Member' })
  await admin.grantPermission({ tenant: null, role: 'Owner', permission: 'secrets:read' })
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  tenant = (await catalog.addTenant()).id
  owner = await catalog.addMember(tenant, 'Owner')
  actor = await catalog.addMember(tenant, 'Admin')
  user = await catalog.addMember(tenant, 'Member')
  await catalog.addRole(tenant, 'Agent', 1)
  await catalog.addRole(tenant, 'Empty')
})

const rolesOf = async (id: string) => (await memberships.getMember({ tenant, user: id })).roles
const entries = async () =>
  (await catalog.pool.query('select action, subject, before, after from audit_log where tenant_id = $1', [tenant])).rows

test('the roles of a member are replaced in one transaction, with one audit entry and the epoch of this member alone', async () => {
  const raised = await catalog.raisedBy(() =>
    admin.setMemberRoles({ tenant, user, roles: ['Empty', 'Admin', 'Empty'], actor: owner }),
  )
  expect(await rolesOf(user)).toEqual(['Admin', 'Empty'])
  expect(raised.length).toBeGreaterThan(0)
  expect(raised.every((message) => message.includes(user))).toBe(true)
  expect(await entries()).toEqual([
    {
      action: 'member.roles.set',
      subject: `user:${user}`,
      before: { roles: ['Member'] },
      after: { roles: ['Admin', 'Empty'] },
    },
  ])
  await admin.setMemberRoles({ tenant, user, roles: [] })
  expect(await rolesOf(user)).toEqual([])
})

test('the same roles write nothing', async () => {
  const raised = await catalog.raisedBy(() => admin.setMemberRoles({ tenant, user, roles: ['Member'], actor }))
  expect(raised).toEqual([])
  expect(await entries()).toEqual([])
})

test('an actor gives no role that they do not hold, and takes none from somebody who holds more', async () => {
  for (const roles of [['Owner'], ['Member', 'Agent']]) {
    await expect(admin.setMemberRoles({ tenant, user, roles, actor })).rejects.toMatchObject({
      code: 'TENANCY_ACCESS_GRANT_REFUSED',
    })
  }
  const agent = await catalog.addMember(tenant, 'Agent', 'Member')
  for (const roles of [[], ['Member'], ['Agent', 'Admin']]) {
    await expect(admin.setMemberRoles({ tenant, user: agent, roles, actor })).rejects.toMatchObject({
      code: 'TENANCY_ACCESS_CHANGE_REFUSED',
    })
  }
  expect(await rolesOf(user)).toEqual(['Member'])
  expect(await rolesOf(agent)).toEqual(['Agent', 'Member'])
  expect(await entries()).toEqual([])
  await admin.setMemberRoles({ tenant, user, roles: ['Admin'], actor })
  expect(await rolesOf(user)).toEqual(['Admin'])
})

test('members may give up roles of their own and gain none, and keep one that is switched off', async () => {
  await admin.setRoleActive({ tenant, role: 'Empty', isActive: false })
  await admin.assignRole({ tenant, user: actor, role: 'Empty' })
  await admin.setMemberRoles({ tenant, user: actor, roles: ['Empty', 'Member'], actor })
  expect(await rolesOf(actor)).toEqual(['Empty', 'Member'])
  await expect(admin.setMemberRoles({ tenant, user: actor, roles: ['Admin'], actor })).rejects.toMatchObject({
    code: 'TENANCY_ACCESS_GRANT_REFUSED',
  })
})

test('the last Owner keeps the role, whoever asks', async () => {
  for (const by of [owner, undefined]) {
    await expect(admin.setMemberRoles({ tenant, user: owner, roles: ['Admin'], actor: by })).rejects.toMatchObject({
      code: 'TENANCY_MEMBER_LAST_OWNER',
    })
  }
  await admin.setMemberRoles({ tenant, user: owner, roles: ['Owner', 'Admin'], actor: owner })
  await admin.setMemberRoles({ tenant, user: actor, roles: ['Owner'], actor: owner })
  await admin.setMemberRoles({ tenant, user: owner, roles: ['Member'], actor: owner })
  expect([await rolesOf(owner), await rolesOf(actor)]).toEqual([['Member'], ['Owner']])
})

test('an unknown role, another tenant’s role and a user who is no member change nothing', async () => {
  await catalog.addRole((await catalog.addTenant()).id, 'Theirs')
  for (const role of ['Theirs', 'Nothing', 'member']) {
    await expect(admin.setMemberRoles({ tenant, user, roles: ['Member', role] })).rejects.toMatchObject({
      code: 'TENANCY_ACCESS_ROLE_NOT_FOUND',
    })
  }
  const stranger = await catalog.addUser()
  await expect(admin.setMemberRoles({ tenant, user: stranger, roles: ['Member'] })).rejects.toMatchObject({
    code: 'TENANCY_MEMBER_NOT_FOUND',
  })
  expect(await rolesOf(user)).toEqual(['Member'])
})
