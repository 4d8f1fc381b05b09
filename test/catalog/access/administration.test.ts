import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import type { AccessAdministration } from '../../../src/catalog/access/administration.js'
import { createAccessCatalog } from './fixture.js'
import type { AccessCatalog } from './fixture.js'
import { findMember } from '../../support/find-member.js'

let catalog: AccessCatalog
let admin: AccessAdministration
let tenantId: string
let otherTenantId: string
let owner: string
let userId: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  const read = await catalog.addPermission('notes:read')
  await catalog.addPermission('notes:write')
  await catalog.addRole(null, 'Member', read)
  await catalog.pool.query(
    "insert into role_permissions select roles.id, permissions.id from roles, permissions where roles.name = 'Owner'",
  )
})
afterAll(() => catalog.drop())

beforeEach(async () => {
  tenantId = (await catalog.addTenant()).id
  otherTenantId = (await catalog.addTenant()).id
  owner = await catalog.addMember(tenantId, 'Owner')
  userId = await catalog.addMember(tenantId)
})

const nobody = '00000000-0000-4000-8000-000000000000'
const held = () => catalog.held(userId, tenantId)
const rejected = (code: string) => ({ code })

async function audited(): Promise<object[]> {
  const { rows } = await catalog.pool.query<object>(
    'select actor_id, action, subject, before, after from audit_log where tenant_id = $1 order by id',
    [tenantId],
  )
  return rows
}

describe('roles of members', () => {
  test('assigning or unassigning a role changes what the member holds, raises the user’s epoch once each, and is audited', async () => {
    const input = { user: userId, tenant: tenantId, role: 'Member', actor: owner }
    expect(await catalog.raisedBy(() => admin.assignRole(input))).toEqual([`u:${userId}`])
    expect(await held()).toEqual(['notes:read'])
    expect(await catalog.raisedBy(() => admin.assignRole(input))).toEqual([])
    expect(await catalog.raisedBy(() => admin.unassignRole(input))).toEqual([`u:${userId}`])
    expect(await held()).toEqual([])
    expect(await catalog.raisedBy(() => admin.unassignRole(input))).toEqual([])
    const entry = { actor_id: owner, subject: `user:${userId}` }
    expect(await audited()).toEqual([
      { ...entry, action: 'member.role.assign', before: null, after: { role: 'Member' } },
      { ...entry, action: 'member.role.unassign', before: { role: 'Member' }, after: null },
    ])
  })

  test('a role cannot be assigned to a user who is no member, and an unknown role or another tenant’s role cannot be assigned', async () => {
    await catalog.addRole(otherTenantId, 'Spy')
    await expect(admin.assignRole({ user: nobody, tenant: tenantId, role: 'Member' })).rejects.toMatchObject(
      rejected('TENANCY_MEMBER_NOT_FOUND'),
    )
    await expect(admin.assignRole({ user: userId, tenant: otherTenantId, role: 'Spy' })).rejects.toMatchObject(
      rejected('TENANCY_MEMBER_NOT_FOUND'),
    )
    for (const role of ['Spy', 'member', 'No such', "' or true --"]) {
      await expect(admin.assignRole({ user: userId, tenant: tenantId, role })).rejects.toMatchObject(
        rejected('TENANCY_ACCESS_ROLE_NOT_FOUND'),
      )
    }
    expect(await audited()).toEqual([])
  })

  test('the last Owner cannot be demoted, and an inactive or disabled second Owner does not count', async () => {
    const demote = () => admin.unassignRole({ user: owner, tenant: tenantId, role: 'Owner' })
    await expect(demote()).rejects.toMatchObject(rejected('TENANCY_MEMBER_LAST_OWNER'))
    await admin.assignRole({ user: userId, tenant: tenantId, role: 'Owner' })
    await catalog.pool.query('update user_tenants set is_active = false where user_id = $1', [userId])
    await expect(demote()).rejects.toMatchObject(rejected('TENANCY_MEMBER_LAST_OWNER'))
    await catalog.pool.query('update user_tenants set is_active = true where user_id = $1', [userId])
    await catalog.pool.query('update users set disabled_at = now() where id = $1', [userId])
    await expect(demote()).rejects.toMatchObject(rejected('TENANCY_MEMBER_LAST_OWNER'))
    await catalog.pool.query('update users set disabled_at = null where id = $1', [userId])
    await demote()
  })

  test('two Owners who demote each other at the same moment leave one', async () => {
    for (let round = 0; round < 5; round += 1) {
      await admin.assignRole({ user: owner, tenant: tenantId, role: 'Owner' })
      await admin.assignRole({ user: userId, tenant: tenantId, role: 'Owner' })
      const outcomes = await Promise.allSettled([
        admin.unassignRole({ user: owner, tenant: tenantId, role: 'Owner', actor: userId }),
        admin.unassignRole({ user: userId, tenant: tenantId, role: 'Owner', actor: owner }),
      ])
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    }
  })
})

describe('overrides', () => {
  test('a deny override takes a permission away, an allow grants it, and clearing both restores what the roles grant', async () => {
    await admin.assignRole({ user: userId, tenant: tenantId, role: 'Member' })
    const target = { user: userId, tenant: tenantId, actor: owner }
    const deny = () => admin.setOverride({ ...target, permission: 'notes:read', effect: 'deny' })
    expect(await catalog.raisedBy(deny)).toEqual([`u:${userId}`])
    await admin.setOverride({ ...target, permission: 'notes:write', effect: 'allow' })
    expect(await held()).toEqual(['notes:write'])
    expect(await catalog.raisedBy(deny)).toEqual([])
    expect(await catalog.raisedBy(() => admin.clearOverride({ ...target, permission: 'notes:read' }))).toEqual([
      `u:${userId}`,
    ])
    expect(await catalog.raisedBy(() => admin.clearOverride({ ...target, permission: 'notes:read' }))).toEqual([])
    expect(await held()).toEqual(['notes:read', 'notes:write'])
    const override = { permission: 'notes:read', effect: 'deny', expiresAt: null }
    expect((await audited()).slice(1)).toMatchObject([
      { action: 'member.override.set', before: null, after: override },
      { action: 'member.override.set', after: { permission: 'notes:write', effect: 'allow' } },
      { action: 'member.override.clear', before: override, after: null },
    ])
  })

  test('setting an override again replaces its effect and its end', async () => {
    const target = { user: userId, tenant: tenantId, permission: 'notes:read' }
    const expiresAt = new Date(Date.now() + 3_600_000)
    await admin.setOverride({ ...target, effect: 'allow', expiresAt })
    const member = await findMember(catalog.directory, userId, { kind: 'id', value: tenantId })
    expect(member?.grants.changesAtMs).toBe(expiresAt.getTime())
    await admin.setOverride({ ...target, effect: 'deny' })
    expect(await held()).toEqual([])
    expect((await audited())[1]).toMatchObject({
      before: { effect: 'allow', expiresAt: expiresAt.toISOString() },
      after: { effect: 'deny', expiresAt: null },
    })
  })

  test('overrides are refused for users who are no members and for unknown permissions', async () => {
    const target = { user: userId, tenant: tenantId, permission: 'notes:read', effect: 'allow' } as const
    await expect(admin.setOverride({ ...target, user: nobody })).rejects.toMatchObject(
      rejected('TENANCY_MEMBER_NOT_FOUND'),
    )
    await expect(admin.setOverride({ ...target, permission: 'no:such' })).rejects.toMatchObject(
      rejected('TENANCY_ACCESS_PERMISSION_NOT_FOUND'),
    )
    await expect(admin.clearOverride({ user: userId, tenant: tenantId, permission: 'no:such' })).rejects.toMatchObject(
      rejected('TENANCY_ACCESS_PERMISSION_NOT_FOUND'),
    )
  })
})

describe('roles', () => {
  test('a tenant’s own role is created, granted permissions, deactivated and activated, and raises that tenant’s epoch only', async () => {
    const own = { tenant: tenantId, role: 'Clerk', actor: owner }
    const epoch = [`t:${tenantId}`]
    expect(await catalog.raisedBy(() => admin.createRole({ tenant: tenantId, name: 'Clerk', actor: owner }))).toEqual(
      epoch,
    )
    await admin.assignRole({ user: userId, tenant: tenantId, role: 'Clerk' })
    expect(await catalog.raisedBy(() => admin.grantPermission({ ...own, permission: 'notes:write' }))).toEqual(epoch)
    expect(await catalog.raisedBy(() => admin.grantPermission({ ...own, permission: 'notes:write' }))).toEqual([])
    expect(await held()).toEqual(['notes:write'])
    expect(await catalog.raisedBy(() => admin.setRoleActive({ ...own, isActive: false }))).toEqual(epoch)
    expect(await catalog.raisedBy(() => admin.setRoleActive({ ...own, isActive: false }))).toEqual([])
    expect(await held()).toEqual([])
    await admin.setRoleActive({ ...own, isActive: true })
    expect(await catalog.raisedBy(() => admin.revokePermission({ ...own, permission: 'notes:write' }))).toEqual(epoch)
    expect(await held()).toEqual([])
    expect(await audited()).toMatchObject([
      { action: 'role.create', after: { name: 'Clerk', description: '' } },
      { action: 'member.role.assign' },
      { action: 'role.grant', before: null, after: { permission: 'notes:write' } },
      { action: 'role.update', before: { isActive: true }, after: { isActive: false } },
      { action: 'role.update', before: { isActive: false }, after: { isActive: true } },
      { action: 'role.revoke', before: { permission: 'notes:write' }, after: null },
    ])
  })

  test('a tenant cannot change a built-in role or another tenant’s role', async () => {
    await catalog.addRole(otherTenantId, 'Theirs')
    const permission = 'notes:write'
    const attempts = [
      (role: string) => admin.grantPermission({ tenant: tenantId, role, permission }),
      (role: string) => admin.revokePermission({ tenant: tenantId, role, permission }),
      (role: string) => admin.setRoleActive({ tenant: tenantId, role, isActive: false }),
    ]
    for (const attempt of attempts) {
      await expect(attempt('Member')).rejects.toMatchObject(rejected('TENANCY_ACCESS_ROLE_PROTECTED'))
      await expect(attempt('Theirs')).rejects.toMatchObject(rejected('TENANCY_ACCESS_ROLE_NOT_FOUND'))
    }
  })

  test('an operator changes built-in roles, but cannot change a tenant’s role by leaving out the tenant', async () => {
    expect(await catalog.raisedBy(() => admin.createRole({ tenant: null, name: 'Auditor' }))).toEqual(['r'])
    const grant = { tenant: null, role: 'Auditor', permission: 'notes:read' }
    expect(await catalog.raisedBy(() => admin.grantPermission(grant))).toEqual(['r'])
    await catalog.addRole(tenantId, 'Driver')
    await expect(admin.grantPermission({ ...grant, role: 'Driver' })).rejects.toMatchObject(
      rejected('TENANCY_ACCESS_ROLE_NOT_FOUND'),
    )
  })

  test('creating a role refuses a name that is taken in any case, an unknown tenant and a malformed name', async () => {
    await admin.createRole({ tenant: tenantId, name: 'Clerk' })
    for (const name of ['Clerk', 'clerk', 'Owner', 'mEMBER']) {
      await expect(admin.createRole({ tenant: tenantId, name })).rejects.toMatchObject(
        rejected('TENANCY_ACCESS_ROLE_EXISTS'),
      )
    }
    await admin.createRole({ tenant: otherTenantId, name: 'Clerk' })
    await expect(admin.createRole({ tenant: nobody, name: 'Cook' })).rejects.toMatchObject(
      rejected('TENANCY_TENANT_NOT_FOUND'),
    )
    for (const name of ['', ' Clerk', 'a\0b', 'x'.repeat(101), '<b>']) {
      await expect(admin.createRole({ tenant: tenantId, name })).rejects.toMatchObject(
        rejected('TENANCY_REQUEST_INVALID'),
      )
    }
  })
})

test('an inactive permission is held by no member until it is activated', async () => {
  await admin.assignRole({ user: userId, tenant: tenantId, role: 'Member' })
  const turn = (isActive: boolean) =>
    catalog.raisedBy(() => admin.setPermissionActive({ permission: 'notes:read', isActive }))
  expect(await turn(false)).toEqual(['r'])
  expect(await held()).toEqual([])
  expect(await turn(false)).toEqual([])
  expect(await turn(true)).toEqual(['r'])
  expect(await held()).toEqual(['notes:read'])
})

test('input of the wrong shape is refused before the catalog is queried', async () => {
  const wrong: unknown[] = [
    undefined,
    null,
    'text',
    {},
    { user: 'x', tenant: tenantId, role: 'Member' },
    { user: userId, tenant: tenantId, role: '' },
    { user: userId, tenant: tenantId, role: 'Member', extra: 1 },
    { user: userId, tenant: tenantId, role: ['Member'] },
  ]
  for (const input of wrong) {
    await expect(admin.assignRole(input as never)).rejects.toMatchObject(rejected('TENANCY_REQUEST_INVALID'))
  }
  const target = { user: userId, tenant: tenantId, permission: 'notes:read', effect: 'allow' as const }
  const ends = [new Date(Number.NaN), new Date(Date.now() - 1000), '2100-01-01' as never]
  for (const expiresAt of ends) {
    await expect(admin.setOverride({ ...target, expiresAt })).rejects.toMatchObject(rejected('TENANCY_REQUEST_INVALID'))
  }
  await expect(admin.setOverride({ ...target, effect: 'maybe' as never })).rejects.toMatchObject(
    rejected('TENANCY_REQUEST_INVALID'),
  )
})

test('a change whose audit entry cannot be written is rolled back', async () => {
  await catalog.pool.query(
    "alter table audit_log add constraint no_more check (action <> 'member.role.assign') not valid",
  )
  try {
    const raised = await catalog.raisedBy(() =>
      expect(admin.assignRole({ user: userId, tenant: tenantId, role: 'Member' })).rejects.toThrow(/no_more/),
    )
    expect(raised).toEqual([])
    expect(await held()).toEqual([])
  } finally {
    await catalog.pool.query('alter table audit_log drop constraint no_more')
  }
})
