import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { createMemberships, type Memberships } from '../../../src/catalog/members/memberships.js'
import { createAccessCatalog, type AccessCatalog } from './fixture.js'

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
const above = { code: 'TENANCY_ACCESS_CHANGE_REFUSED' }
const entries = async () =>
  (await catalog.one<{ count: number }>('select count(*)::int as count from audit_log where tenant_id = $1', [tenant]))
    .count

/** Tells whether a call is refused for the actor, with nothing written, and then succeeds for the actor `may`. */
async function isRefused(
  give: (by: string | undefined) => Promise<unknown>,
  may: string | undefined,
  why = refused,
): Promise<boolean> {
  const before = await entries()
  const raised = await catalog.raisedBy(() => expect(give(actor)).rejects.toMatchObject(why))
  const isUnchanged = raised.length === 0 && (await entries()) === before
  await give(may)
  return isUnchanged && (await entries()) === before + 1
}

// The catalog's function has the rule of effective access in its own text.
test('an actor lacks exactly those active permissions that the directory of members does not list for them', async () => {
  const names: string[] = []
  for (const kind of ['a', 'b', 'c', 'd']) {
    const name = `compare:${kind}`
    await catalog.addPermission(name)
    names.push(name)
  }
  const id = async (name: string) =>
    (await catalog.one<{ id: number }>('select id from permissions where name = $1', [name])).id
  const [a, b, c, d] = (await Promise.all(names.map(id))) as [number, number, number, number]
  // Every combination of: a role that is active or not, one that it includes, and an override, in force or over.
  const states = [true, false]
  const overrides = [undefined, ['allow', '1 day'], ['allow', '-1 day'], ['deny', '1 day'], ['deny', '-1 day']] as const
  let compared = 0
  for (const isActive of states) {
    for (const isIncludedActive of states) {
      const suffix = `${isActive}-${isIncludedActive}`
      const outer = await catalog.addRole(tenant, `Outer-${suffix}`, a, b)
      const inner = await catalog.addRole(tenant, `Inner-${suffix}`, c)
      await catalog.pool.query('insert into role_inclusions (role_id, included_role_id) values ($1, $2)', [
        outer,
        inner,
      ])
      await catalog.pool.query('update roles set is_active = $2 where id = $1', [outer, isActive])
      await catalog.pool.query('update roles set is_active = $2 where id = $1', [inner, isIncludedActive])
      for (const override of overrides) {
        for (const permission of [a, c, d]) {
          const member = await catalog.addMember(tenant, `Outer-${suffix}`)
          if (override !== undefined) {
            await catalog.pool.query(
              `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect, expires_at)
               values ($1, $2, $3, $4, now() + $5::interval)`,
              [member, tenant, permission, ...override],
            )
          }
          const held = await catalog.held(member, tenant)
          const lacked = async (form: string) =>
            (
              await catalog.one<{ lacked: string[] }>(
                `select missing_permissions as lacked from missing_access($1, $2, '{}', $3, null${form})`,
                [tenant, member, names],
              )
            ).lacked
          const lacking = names.filter((name) => !held.includes(name))
          // The form without a moment is for processes of the release before.
          expect(await lacked('')).toEqual(lacking)
          expect(await lacked(", '-infinity'")).toEqual(lacking)
          compared += 1
        }
      }
    }
  }
  expect(compared).toBe(60)
})

describe('an actor who does not hold a permission', () => {
  test('an actor cannot grant a permission they do not hold to a role; an Owner and an operator can', async () => {
    const grant = (role: string) => (by: string | undefined) =>
      admin.grantPermission({ tenant, role, permission: 'secrets:read', actor: by })
    expect(await isRefused(grant('Empty'), owner)).toBe(true)
    await admin.createRole({ tenant, name: 'Other', actor })
    expect(await isRefused(grant('Other'), undefined)).toBe(true)
  })

  test('an actor cannot allow a permission they do not hold to any member, themselves included', async () => {
    const allow = (to: string) => (by: string | undefined) =>
      admin.setOverride({ tenant, user: to, permission: 'secrets:read', effect: 'allow', actor: by })
    expect(await isRefused(allow(user), owner)).toBe(true)
    expect(await isRefused(allow(actor), owner)).toBe(true)
  })

  test('an actor cannot lift a deny of a permission they do not hold, whether by clearing it, replacing it or letting it end sooner', async () => {
    const override = { tenant, user, permission: 'secrets:read' } as const
    await admin.setOverride({ ...override, effect: 'deny', actor })
    const expiresAt = new Date(Date.now() + 60_000)
    expect(
      await isRefused((by) => admin.setOverride({ ...override, effect: 'deny', expiresAt, actor: by }), owner),
    ).toBe(true)
    expect(await isRefused((by) => admin.clearOverride({ ...override, actor: by }), owner)).toBe(true)
  })

  test('an actor cannot assign a role with a permission they do not hold, itself or by inclusion, even while the role or permission is inactive', async () => {
    const assign = (role: string) => (by: string | undefined) => admin.assignRole({ tenant, user, role, actor: by })
    const unassign = (role: string) => admin.unassignRole({ tenant, user, role })
    expect(await isRefused(assign('Agent'), owner)).toBe(true)
    await unassign('Agent')
    await admin.includeRole({ tenant, role: 'Empty', included: 'Agent' })
    expect(await isRefused(assign('Empty'), owner)).toBe(true)
    await unassign('Empty')
    await admin.setRoleActive({ tenant, role: 'Agent', isActive: false })
    expect(await isRefused(assign('Empty'), undefined)).toBe(true)
    await unassign('Empty')
    await admin.setRoleActive({ tenant, role: 'Agent', isActive: true })
    await admin.setPermissionActive({ permission: 'secrets:read', isActive: false })
    try {
      expect(await isRefused(assign('Empty'), owner)).toBe(true)
    } finally {
      await admin.setPermissionActive({ permission: 'secrets:read', isActive: true })
    }
  })

  test('an actor cannot include or activate a role with a permission they do not hold', async () => {
    expect(
      await isRefused((by) => admin.includeRole({ tenant, role: 'Empty', included: 'Agent', actor: by }), owner),
    ).toBe(true)
    await admin.setRoleActive({ tenant, role: 'Empty', isActive: false })
    expect(
      await isRefused((by) => admin.setRoleActive({ tenant, role: 'Empty', isActive: true, actor: by }), owner, above),
    ).toBe(true)
  })

  test('an actor cannot add or reactivate a member whose role has a permission they do not hold', async () => {
    const stranger = await catalog.addUser()
    expect(
      await isRefused((by) => memberships.addMember({ tenant, user: stranger, roles: ['Agent'], actor: by }), owner),
    ).toBe(true)
    await memberships.setMemberActive({ tenant, user: stranger, isActive: false })
    expect(
      await isRefused(
        (by) => memberships.setMemberActive({ tenant, user: stranger, isActive: true, actor: by }),
        owner,
        above,
      ),
    ).toBe(true)
  })

  test('an actor cannot grant a built-in role that they do not hold, whatever it holds; an Owner can grant any', async () => {
    for (const role of ['Owner', 'Auditor']) {
      const to = await catalog.addMember(tenant)
      expect(await isRefused((by) => admin.assignRole({ tenant, user: to, role, actor: by }), owner)).toBe(true)
    }
    await admin.assignRole({ tenant, user, role: 'Member', actor })
    await admin.assignRole({ tenant, user, role: 'Admin', actor })
  })
})

describe('an actor who holds less than the member or role', () => {
  const override = (of: string) => ({ tenant, user: of, permission: 'notes:read' }) as const
  const expiresAt = new Date(Date.now() + 3_600_000)
  /** Every way to change a member, in sequence on the same member. None grants more than the actor could grant. */
  const ways: readonly (readonly [string, (of: string, by: string | undefined) => Promise<unknown>])[] = [
    ['assignRole', (of, by) => admin.assignRole({ tenant, user: of, role: 'Member', actor: by })],
    ['unassignRole', (of, by) => admin.unassignRole({ tenant, user: of, role: 'Member', actor: by })],
    ['setOverride, allow', (of, by) => admin.setOverride({ ...override(of), effect: 'allow', expiresAt, actor: by })],
    ['setOverride, deny', (of, by) => admin.setOverride({ ...override(of), effect: 'deny', actor: by })],
    ['clearOverride', (of, by) => admin.clearOverride({ ...override(of), actor: by })],
    ['setDefaultTenant', (of, by) => memberships.setDefaultTenant({ tenant, user: of, actor: by })],
    ['setMemberActive, off', (of, by) => memberships.setMemberActive({ tenant, user: of, isActive: false, actor: by })],
    ['setMemberActive, on', (of, by) => memberships.setMemberActive({ tenant, user: of, isActive: true, actor: by })],
    ['removeMember', (of, by) => memberships.removeMember({ tenant, user: of, actor: by })],
  ]

  /** Returns the ways that are refused for the actor, with nothing written, and then succeed for the actor `may`. */
  async function refusedWays(of: string, may: string | undefined): Promise<string[]> {
    const found: string[] = []
    for (const [way, change] of ways) if (await isRefused((by) => change(of, by), may, above)) found.push(way)
    return found
  }
  const all = ways.map(([way]) => way)

  test('an actor who is no Owner cannot change an Owner in any way, even if there is another Owner; an Owner and an operator can', async () => {
    expect(await refusedWays(await catalog.addMember(tenant, 'Owner'), owner)).toEqual(all)
    expect(await refusedWays(await catalog.addMember(tenant, 'Owner'), undefined)).toEqual(all)
    const demote = (by: string | undefined) => admin.unassignRole({ tenant, user: second, role: 'Owner', actor: by })
    const second = await catalog.addMember(tenant, 'Owner')
    expect(await isRefused(demote, owner, above)).toBe(true)
  })

  test('an actor cannot change a member who holds a role or permission that the actor does not hold, even if it is inactive or denied', async () => {
    expect(await refusedWays(await catalog.addMember(tenant, 'Agent'), owner)).toEqual(all)
    expect(await refusedWays(await catalog.addMember(tenant, 'Auditor'), owner)).toEqual(all)
    const allowed = await catalog.addMember(tenant)
    await admin.setOverride({ tenant, user: allowed, permission: 'secrets:read', effect: 'allow' })
    expect(await refusedWays(allowed, owner)).toEqual(all)
    const denied = await catalog.addMember(tenant, 'Agent')
    await admin.setOverride({ tenant, user: denied, permission: 'secrets:read', effect: 'deny' })
    expect(await refusedWays(denied, owner)).toEqual(all)
    await admin.setRoleActive({ tenant, role: 'Agent', isActive: false })
    expect(await refusedWays(await catalog.addMember(tenant, 'Agent'), owner)).toEqual(all)
  })

  test('an actor can change a member who holds no more than the actor does', async () => {
    for (const of of [await catalog.addMember(tenant, 'Member'), await catalog.addMember(tenant, 'Admin')]) {
      for (const [, change] of ways) await change(of, actor)
      expect(await catalog.held(of, tenant)).toEqual([])
    }
  })

  test('members can change themselves and leave, whatever they hold, but cannot grant themselves anything', async () => {
    const self = await catalog.addMember(tenant, 'Agent', 'Member')
    const deny = { tenant, user: self, permission: 'secrets:read', effect: 'deny' } as const
    await admin.setOverride({ ...deny, actor: self })
    await expect(admin.clearOverride({ tenant, user: self, permission: 'secrets:read', actor: self })).rejects.toEqual(
      expect.objectContaining(refused),
    )
    await admin.unassignRole({ tenant, user: self, role: 'Member', actor: self })
    await memberships.removeMember({ tenant, user: self, actor: self.toUpperCase() })
    await expect(memberships.removeMember({ tenant, user: owner, actor: owner })).rejects.toMatchObject({
      code: 'TENANCY_MEMBER_LAST_OWNER',
    })
  })

  test('an actor cannot change a role that grants permissions they do not hold, itself or by inclusion', async () => {
    await admin.includeRole({ tenant, role: 'Empty', included: 'Agent' })
    const role = { tenant, role: 'Empty' }
    const changes: readonly ((by: string | undefined) => Promise<unknown>)[] = [
      (by) => admin.updateRole({ ...role, description: 'x', actor: by }),
      (by) => admin.grantPermission({ ...role, permission: 'notes:read', actor: by }),
      (by) => admin.revokePermission({ ...role, permission: 'notes:read', actor: by }),
      (by) => admin.includeRole({ ...role, included: 'Member', actor: by }),
      (by) => admin.excludeRole({ ...role, included: 'Member', actor: by }),
      (by) => admin.setRoleActive({ ...role, isActive: false, actor: by }),
      (by) => admin.setRoleActive({ ...role, isActive: true, actor: by }),
      (by) => admin.deleteRole({ ...role, actor: by }),
    ]
    for (const change of changes) expect(await isRefused(change, owner, above)).toBe(true)
  })

  test('the error of a refused change names what the actor lacks', async () => {
    await admin.includeRole({ tenant, role: 'Agent', included: 'Auditor' })
    const of = await catalog.addMember(tenant, 'Agent')
    await expect(memberships.removeMember({ tenant, user: of, actor })).rejects.toMatchObject({
      ...above,
      details: { permissions: ['secrets:read'], roles: ['Auditor'] },
      message: expect.stringContaining(of),
    })
  })

  test('an Owner can change anybody, even without holding everything', async () => {
    const second = await catalog.addMember(tenant, 'Owner')
    await admin.setOverride({ tenant, user: owner, permission: 'secrets:read', effect: 'deny', actor: second })
    await memberships.removeMember({ tenant, user: second, actor: owner })
    expect(await catalog.held(second, tenant)).toEqual([])
  })

  test('anyone who is no active member counts as an actor who holds less', async () => {
    const of = await catalog.addMember(tenant)
    const elsewhere = await catalog.addMember((await catalog.addTenant()).id, 'Owner')
    await catalog.pool.query('update user_tenants set is_active = false where user_id = $1', [owner])
    for (const by of ['', 'nobody', elsewhere, owner, '00000000-0000-4000-8000-000000000000']) {
      await expect(memberships.removeMember({ tenant, user: of, actor: by })).rejects.toMatchObject(above)
      await expect(memberships.removeMember({ tenant, user: randomUUID(), actor: by })).rejects.toMatchObject(above)
    }
    await expect(admin.createRole({ tenant, name: 'Mine', actor: elsewhere })).rejects.toMatchObject(refused)
    await expect(admin.deleteRole({ tenant, role: 'Empty', actor: elsewhere })).rejects.toMatchObject(above)
  })

  test('a member who is promoted while an actor changes them is changed before the promotion or not at all', async () => {
    const client = await catalog.pool.connect()
    try {
      await client.query('begin')
      await client.query('select from tenants where id = $1 for no key update', [tenant])
      await client.query(
        `insert into user_tenant_roles (user_id, tenant_id, role_id)
         select $1, $2, id from roles where name = 'Owner' and tenant_id is null`,
        [user, tenant],
      )
      const outcome = memberships.removeMember({ tenant, user, actor }).then(
        () => 'removed',
        (error: { code: string }) => error.code,
      )
      await Promise.race([outcome, catalog.untilSomebodyWaits()])
      await client.query('commit')
      expect(await outcome).toBe('TENANCY_ACCESS_CHANGE_REFUSED')
    } finally {
      client.release()
    }
  })
})

test('an actor can grant what they hold by a role, by inclusion or by a direct allow', async () => {
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

test('the error of a refused grant names everything that is missing', async () => {
  await admin.includeRole({ tenant, role: 'Agent', included: 'Auditor' })
  await expect(admin.assignRole({ tenant, user, role: 'Agent', actor })).rejects.toMatchObject({
    details: { permissions: ['secrets:read'], roles: ['Auditor'] },
  })
})

test('an expired override does not let its holder grant its permission', async () => {
  await catalog.pool.query(
    `insert into user_tenant_permissions values ($1, $2, 2, 'allow', now() - interval '1 second')`,
    [actor, tenant],
  )
  const allow = { tenant, user, permission: 'secrets:read', effect: 'allow', actor } as const
  await expect(admin.setOverride(allow)).rejects.toMatchObject(refused)
})

test('an actor who is no member, inactive, disabled or of a suspended tenant can grant nothing and change nobody', async () => {
  const give = (by: string) => admin.assignRole({ tenant, user, role: 'Empty', actor: by })
  const elsewhere = await catalog.addMember((await catalog.addTenant()).id, 'Owner')
  await expect(give(elsewhere)).rejects.toMatchObject(above)
  await expect(give('00000000-0000-4000-8000-000000000000')).rejects.toMatchObject(above)
  const stranger = await catalog.addUser()
  for (const by of ['', 'nobody', elsewhere]) {
    await expect(memberships.addMember({ tenant, user: stranger, actor: by })).rejects.toMatchObject(refused)
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
    await expect(give(owner)).rejects.toMatchObject(above)
    await catalog.pool.query(text, [owner, on])
  }
  await give(owner)
})

test('an actor who loses a right while granting it has either granted it before or is refused', async () => {
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

  test('the last Owner cannot be deactivated, demoted or removed, even if others hold Owner by inclusion', async () => {
    await admin.includeRole({ tenant, role: 'Empty', included: 'Owner' })
    await admin.assignRole({ tenant, user, role: 'Empty' })
    await expect(memberships.setMemberActive({ tenant, user: owner, isActive: false })).rejects.toMatchObject(last)
    await expect(admin.unassignRole({ tenant, user: owner, role: 'Owner' })).rejects.toMatchObject(last)
    await expect(memberships.removeMember({ tenant, user: owner })).rejects.toMatchObject(last)
  })

  test('one Owner stays when two Owners demote, deactivate or remove each other at once', async () => {
    const ways = [
      (of: string, by: string) => admin.unassignRole({ tenant, user: of, role: 'Owner', actor: by }),
      (of: string, by: string) => memberships.setMemberActive({ tenant, user: of, isActive: false, actor: by }),
      (of: string, by: string) => memberships.removeMember({ tenant, user: of, actor: by }),
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

  test('nobody can rename, deactivate or delete the role Owner', async () => {
    const role = { tenant: null, role: 'Owner' }
    const code = 'TENANCY_ACCESS_ROLE_PROTECTED'
    await expect(admin.updateRole({ ...role, name: 'Boss' })).rejects.toMatchObject({ code })
    await expect(admin.setRoleActive({ ...role, isActive: false })).rejects.toMatchObject({ code })
    await expect(admin.deleteRole(role)).rejects.toMatchObject({ code })
  })
})

describe('an actor who holds a permission until a moment', () => {
  const soon = new Date(Date.now() + 3_600_000)
  const sooner = new Date(soon.getTime() - 60_000)
  const later = new Date(soon.getTime() + 1)
  const permission = 'secrets:read'
  beforeEach(() =>
    admin.setOverride({ tenant, user: actor, permission, effect: 'allow', expiresAt: soon, actor: owner }),
  )

  test('they give it to others and to themselves until that moment at most', async () => {
    for (const to of [user, actor]) {
      const allow = (expiresAt: Date | null | undefined) => (by: string | undefined) =>
        admin.setOverride({ tenant, user: to, permission, effect: 'allow', expiresAt, actor: by })
      await catalog.pool.query('delete from user_tenant_permissions where user_id = $1', [user])
      for (const end of [undefined, null, later]) await expect(allow(end)(actor)).rejects.toMatchObject(refused)
      await allow(soon)(actor)
      await allow(sooner)(actor)
    }
    // Their own has an earlier end now, and so has what they can give.
    await expect(
      admin.setOverride({ tenant, user, permission, effect: 'allow', expiresAt: soon, actor }),
    ).rejects.toMatchObject(refused)
  })

  test('they give it to no role, by no role, and to nobody by a membership, because these have no end', async () => {
    const stranger = await catalog.addUser()
    const give = {
      grant: (by: string) => admin.grantPermission({ tenant, role: 'Empty', permission, actor: by }),
      assign: (by: string) => admin.assignRole({ tenant, user, role: 'Agent', actor: by }),
      set: (by: string) => admin.setMemberRoles({ tenant, user, roles: ['Agent'], actor: by }),
      include: (by: string) => admin.includeRole({ tenant, role: 'Empty', included: 'Agent', actor: by }),
      add: (by: string) => memberships.addMember({ tenant, user: stranger, roles: ['Agent'], actor: by }),
    }
    for (const [name, give1] of Object.entries(give)) {
      await expect(give1(actor), name).rejects.toMatchObject(refused)
    }
    await admin.setRoleActive({ tenant, role: 'Agent', isActive: false })
    await expect(admin.setRoleActive({ tenant, role: 'Agent', isActive: true, actor })).rejects.toMatchObject(refused)
    await expect(admin.updateRole({ tenant, role: 'Agent', isActive: true, actor })).rejects.toMatchObject(refused)
    await admin.setRoleActive({ tenant, role: 'Agent', isActive: true })
    for (const give1 of Object.values(give)) await give1(owner)
  })

  test('they lift a deny that ends no later, and no other one', async () => {
    const override = { tenant, user, permission } as const
    await admin.setOverride({ ...override, effect: 'deny' })
    await expect(admin.clearOverride({ ...override, actor })).rejects.toMatchObject(refused)
    for (const effect of ['allow', 'deny'] as const) {
      await expect(admin.setOverride({ ...override, effect, expiresAt: sooner, actor })).rejects.toMatchObject(refused)
    }
    await admin.setOverride({ ...override, effect: 'deny', expiresAt: soon })
    await admin.clearOverride({ ...override, actor })
  })

  test('they activate a member whose own allow ends no later, and no other one', async () => {
    const activate = (by?: string) => memberships.setMemberActive({ tenant, user, isActive: true, actor: by })
    for (const [end, mayActivate] of [
      [sooner, true],
      [soon, true],
      [later, false],
      [null, false],
    ] as const) {
      await admin.setOverride({ tenant, user, permission, effect: 'allow', expiresAt: end })
      await memberships.setMemberActive({ tenant, user, isActive: false })
      if (mayActivate) await activate(actor)
      else await expect(activate(actor)).rejects.toMatchObject(refused)
      await activate()
    }
  })

  test('they change who holds it for good, as long as they hold it, because that gives nothing', async () => {
    await admin.setOverride({ tenant, user, permission, effect: 'allow' })
    await admin.setOverride({ tenant, user, permission: 'notes:read', effect: 'deny', actor })
    const deactivated = memberships.setMemberActive({ tenant, user, isActive: false, actor })
    await expect(deactivated).resolves.not.toBeInstanceOf(Error)
  })

  test('they give it without an end when a role of theirs has it as well', async () => {
    await admin.assignRole({ tenant, user: actor, role: 'Agent', actor: owner })
    await admin.setOverride({ tenant, user, permission, effect: 'allow', actor })
    const granted = admin.grantPermission({ tenant, role: 'Empty', permission, actor })
    await expect(granted).resolves.not.toBeInstanceOf(Error)
  })
})
