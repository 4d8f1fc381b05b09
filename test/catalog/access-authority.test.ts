import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { problemOfTemplate } from '../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../src/catalog/access.js'
import { createMemberships, type Memberships } from '../../src/catalog/memberships.js'
import { createAccessCatalog, type AccessCatalog } from './access-fixture.js'

let catalog: AccessCatalog
let admin: AccessAdministration
let memberships: Memberships
let tenant: string
let owner: string
/** An Admin, who is a Member by inclusion and does not hold `secrets:read`. */
let actor: string
let user: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  memberships = createMemberships({ catalog: catalog.pool })
  const notes = await catalog.addPermission('notes:read')
  const secrets = await catalog.addPermission('secrets:read')
  await catalog.addRole(null, 'Member', notes)
  await catalog.addRole(null, 'Admin')
  await catalog.addRole(null, 'Auditor')
  await admin.includeRole({ tenant: null, role: 'Admin', included: 'Member' })
  for (const permission of ['notes:read', 'secrets:read']) {
    await admin.grantPermission({ tenant: null, role: 'Owner', permission })
  }
  expect([notes, secrets]).toEqual([1, 2])
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  tenant = (await catalog.addTenant()).id
  owner = await catalog.addMember(tenant, 'Owner')
  actor = await catalog.addMember(tenant, 'Admin')
  user = await catalog.addMember(tenant)
  await catalog.addRole(tenant, 'Empty')
  await catalog.addRole(tenant, 'Agent', 2)
})

const refused = { code: 'TENANCY_ACCESS_GRANT_REFUSED' }
const entries = async () =>
  (await catalog.one<{ count: number }>('select count(*)::int as count from audit_log where tenant_id = $1', [tenant]))
    .count

/** Whether it is refused to the actor, with nothing written, and then done by whoever `may`. */
async function isRefused(
  give: (by: string | undefined) => Promise<unknown>,
  may: string | undefined,
): Promise<boolean> {
  const before = await entries()
  const raised = await catalog.raisedBy(() => expect(give(actor)).rejects.toMatchObject(refused))
  const isUnchanged = raised.length === 0 && (await entries()) === before
  await give(may)
  return isUnchanged && (await entries()) === before + 1
}

describe('an actor who does not hold it', () => {
  test('grants no permission to a role; an Owner and an operator do', async () => {
    const grant = (role: string) => (by: string | undefined) =>
      admin.grantPermission({ tenant, role, permission: 'secrets:read', actor: by })
    expect(await isRefused(grant('Empty'), owner)).toBe(true)
    await admin.createRole({ tenant, name: 'Other', actor })
    expect(await isRefused(grant('Other'), undefined)).toBe(true)
  })

  test('allows no permission to a member, themselves included', async () => {
    const allow = (to: string) => (by: string | undefined) =>
      admin.setOverride({ tenant, user: to, permission: 'secrets:read', effect: 'allow', actor: by })
    expect(await isRefused(allow(user), owner)).toBe(true)
    expect(await isRefused(allow(actor), owner)).toBe(true)
  })

  test('lifts no deny of it: by clearing, by replacing, by letting it end sooner', async () => {
    const override = { tenant, user, permission: 'secrets:read' } as const
    await admin.setOverride({ ...override, effect: 'deny', actor })
    const expiresAt = new Date(Date.now() + 60_000)
    expect(
      await isRefused((by) => admin.setOverride({ ...override, effect: 'deny', expiresAt, actor: by }), owner),
    ).toBe(true)
    expect(await isRefused((by) => admin.clearOverride({ ...override, actor: by }), owner)).toBe(true)
  })

  test('assigns no role that holds it, itself or by inclusion, also while role or permission are switched off', async () => {
    const assign = (role: string) => (by: string | undefined) => admin.assignRole({ tenant, user, role, actor: by })
    expect(await isRefused(assign('Agent'), owner)).toBe(true)
    await admin.includeRole({ tenant, role: 'Empty', included: 'Agent' })
    expect(await isRefused(assign('Empty'), owner)).toBe(true)
    await admin.unassignRole({ tenant, user, role: 'Empty' })
    await admin.setRoleActive({ tenant, role: 'Agent', isActive: false })
    expect(await isRefused(assign('Empty'), undefined)).toBe(true)
    await admin.unassignRole({ tenant, user, role: 'Empty' })
    await admin.setRoleActive({ tenant, role: 'Agent', isActive: true })
    await admin.setPermissionActive({ permission: 'secrets:read', isActive: false })
    try {
      expect(await isRefused(assign('Empty'), owner)).toBe(true)
    } finally {
      await admin.setPermissionActive({ permission: 'secrets:read', isActive: true })
    }
  })

  test('includes no role that holds it, and switches none on', async () => {
    expect(
      await isRefused((by) => admin.includeRole({ tenant, role: 'Empty', included: 'Agent', actor: by }), owner),
    ).toBe(true)
    await admin.setRoleActive({ tenant, role: 'Empty', isActive: false, actor })
    expect(
      await isRefused((by) => admin.setRoleActive({ tenant, role: 'Empty', isActive: true, actor: by }), owner),
    ).toBe(true)
  })

  test('adds no member with such a role, and lets none come back', async () => {
    const stranger = await catalog.addUser()
    expect(
      await isRefused((by) => memberships.addMember(tenant, stranger, { roles: ['Agent'], actor: by }), owner),
    ).toBe(true)
    await memberships.setMemberActive(tenant, stranger, false, { actor })
    expect(await isRefused((by) => memberships.setMemberActive(tenant, stranger, true, { actor: by }), owner)).toBe(
      true,
    )
  })

  test('gives no built-in role that they don’t hold, whatever it holds; an Owner gives any', async () => {
    for (const role of ['Owner', 'Auditor']) {
      expect(await isRefused((by) => admin.assignRole({ tenant, user, role, actor: by }), owner)).toBe(true)
    }
    await admin.assignRole({ tenant, user, role: 'Member', actor })
    await admin.assignRole({ tenant, user, role: 'Admin', actor })
  })
})

test('what the actor holds by a role, by inclusion or by a direct allow they give', async () => {
  const grant = (permission: string) => admin.grantPermission({ tenant, role: 'Empty', permission, actor })
  await grant('notes:read')
  await admin.setOverride({ tenant, user: actor, permission: 'secrets:read', effect: 'allow', actor: owner })
  await grant('secrets:read')
  await admin.setOverride({ tenant, user: actor, permission: 'notes:read', effect: 'deny', actor: owner })
  await expect(admin.assignRole({ tenant, user, role: 'Empty', actor })).rejects.toMatchObject({
    ...refused,
    details: { permissions: ['notes:read'], roles: [] },
    message: expect.stringContaining(actor),
  })
})

test('the error names everything that is missing', async () => {
  await admin.includeRole({ tenant, role: 'Agent', included: 'Auditor' })
  await expect(admin.assignRole({ tenant, user, role: 'Agent', actor })).rejects.toMatchObject({
    details: { permissions: ['secrets:read'], roles: ['Auditor'] },
  })
})

test('an override that has expired gives its holder nothing to give', async () => {
  await catalog.pool.query(
    `insert into user_tenant_permissions values ($1, $2, 2, 'allow', now() - interval '1 second')`,
    [actor, tenant],
  )
  const allow = { tenant, user, permission: 'secrets:read', effect: 'allow', actor } as const
  await expect(admin.setOverride(allow)).rejects.toMatchObject(refused)
})

test('an actor gives nothing who is no member, inactive, disabled, or whose tenant is suspended', async () => {
  const give = (by: string) => admin.assignRole({ tenant, user, role: 'Empty', actor: by })
  const elsewhere = await catalog.addMember((await catalog.addTenant()).id, 'Owner')
  await expect(give(elsewhere)).rejects.toMatchObject(refused)
  await expect(give('00000000-0000-4000-8000-000000000000')).rejects.toMatchObject(refused)
  const stranger = await catalog.addUser()
  for (const by of ['', 'nobody', elsewhere]) {
    await expect(memberships.addMember(tenant, stranger, { actor: by })).rejects.toMatchObject(refused)
  }
  const states = [
    ['update user_tenants set is_active = $2 where user_id = $1', false, true],
    ['update users set disabled_at = case when $2 then now() end where id = $1', true, false],
    [
      'update tenants set status = $2 where id = (select tenant_id from user_tenants where user_id = $1)',
      'suspended',
      'active',
    ],
  ] as const
  for (const [text, off, on] of states) {
    await catalog.pool.query(text, [owner, off])
    await expect(give(owner)).rejects.toMatchObject(refused)
    await catalog.pool.query(text, [owner, on])
  }
  await give(owner)
})

test('who loses a right while they give it away either gave it before or is refused', async () => {
  await admin.setOverride({ tenant, user: actor, permission: 'secrets:read', effect: 'allow' })
  const client = await catalog.pool.connect()
  try {
    await client.query('begin')
    await client.query('select from tenants where id = $1 for no key update', [tenant])
    await client.query('delete from user_tenant_permissions where user_id = $1', [actor])
    const outcome = admin.setOverride({ tenant, user, permission: 'secrets:read', effect: 'allow', actor }).then(
      () => 'given',
      (error: { code: string }) => error.code,
    )
    await Promise.race([outcome, catalog.untilSomebodyWaits()])
    await client.query('commit')
    expect(await outcome).toBe('TENANCY_ACCESS_GRANT_REFUSED')
  } finally {
    client.release()
  }
})

describe('the last Owner', () => {
  const last = { code: 'TENANCY_MEMBER_LAST_OWNER' }

  test('is not deactivated, demoted or removed, even with others who hold Owner by inclusion', async () => {
    await admin.includeRole({ tenant, role: 'Empty', included: 'Owner' })
    await admin.assignRole({ tenant, user, role: 'Empty' })
    await expect(memberships.setMemberActive(tenant, owner, false)).rejects.toMatchObject(last)
    await expect(admin.unassignRole({ tenant, user: owner, role: 'Owner' })).rejects.toMatchObject(last)
    await expect(memberships.removeMember(tenant, owner)).rejects.toMatchObject(last)
  })

  test('stays when two Owners take each other away at once, in whatever way', async () => {
    const ways = [
      (of: string, by: string) => admin.unassignRole({ tenant, user: of, role: 'Owner', actor: by }),
      (of: string, by: string) => memberships.setMemberActive(tenant, of, false, { actor: by }),
      (of: string, by: string) => memberships.removeMember(tenant, of, { actor: by }),
    ]
    for (const one of ways) {
      for (const other of ways) {
        tenant = (await catalog.addTenant()).id
        const [a, b] = [await catalog.addMember(tenant, 'Owner'), await catalog.addMember(tenant, 'Owner')]
        const outcomes = await Promise.allSettled([one(a, b), other(b, a)])
        expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
      }
    }
  })

  test('keeps the role Owner: it is not renamed, switched off or deleted, by nobody', async () => {
    const role = { tenant: null, role: 'Owner' }
    const code = 'TENANCY_ACCESS_ROLE_PROTECTED'
    await expect(admin.updateRole({ ...role, name: 'Boss' })).rejects.toMatchObject({ code })
    await expect(admin.setRoleActive({ ...role, isActive: false })).rejects.toMatchObject({ code })
    await expect(admin.deleteRole(role)).rejects.toMatchObject({ code })
  })
})
