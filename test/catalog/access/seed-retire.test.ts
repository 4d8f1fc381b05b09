import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { defineAccess } from '../../../src/access/define-access.js'
import { seedAccess } from '../../../src/catalog/access/seed/seed.js'
import type { AccessDefinition } from '../../../src/core/access/access.js'
import { createAccessCatalog, type AccessCatalog } from './fixture.js'

let catalog: AccessCatalog
beforeEach(async () => {
  catalog = await createAccessCatalog()
})
afterEach(() => catalog.drop())

const first = defineAccess({
  version: 1,
  categories: { Notes: '' },
  permissions: { 'notes:read': { category: 'Notes' }, 'notes:write': '', 'notes:share': '' },
  routes: {
    'GET /notes': ['notes:read', 'notes:share'],
    'GET /notes/{id}': 'notes:read',
    'PUT /notes/{id}': 'notes:write',
  },
  roles: {
    Owner: { permissions: '*', includes: ['Team lead'] },
    'Team lead': { permissions: ['notes:write', 'notes:share'], includes: ['Member'] },
    Member: ['notes:read'],
  },
})
/** A definition without sharing and team leads, and with a wider rule in place of the narrow one. */
const second = defineAccess({
  version: 2,
  permissions: { 'notes:read': '', 'notes:write': '' },
  routes: { 'GET /notes': 'notes:read', '* /notes/{id}': 'notes:write' },
  roles: { Owner: { permissions: '*', includes: ['Member'] }, Member: ['notes:read'] },
})

async function state() {
  const { rows } = await catalog.pool.query<{ line: string }>(
    `select name || case when is_active then '' else ' (off)' end as line from permissions
     union all select name || case when is_active then '' else ' (off)' end from roles
     union all select method || ' ' || path || ' ' || name from route_rules join permissions on permissions.id = permission_id
     union all select roles.name || ': ' || permissions.name from role_permissions
       join roles on roles.id = role_id join permissions on permissions.id = permission_id
     union all select roles.name || ' > ' || included.name from role_inclusions
       join roles on roles.id = role_id join roles as included on included.id = included_role_id`,
  )
  return rows.map(({ line }) => line).toSorted()
}
const seed = (definition: AccessDefinition = second) => seedAccess(catalog.pool, definition)
const sql = (text: string) => catalog.pool.query(text)

const afterSecond = [
  '* /notes/{id} notes:write',
  'GET /notes notes:read',
  'Member',
  'Member: notes:read',
  'Owner',
  'Owner > Member',
  'Owner: notes:read',
  'Owner: notes:write',
  'Team lead (off)',
  'notes:read',
  'notes:share (off)',
  'notes:write',
]

describe('entries that leave the definition', () => {
  test('retiring an entry removes grants, inclusions and rules, and deactivates permissions and roles', async () => {
    await seed(first)
    const tenant = await catalog.addTenant()
    const userId = await catalog.addMember(tenant.id, 'Team lead')
    expect(await catalog.held(userId, tenant.id)).toEqual(['notes:read', 'notes:share', 'notes:write'])
    expect(await catalog.raisedBy(() => seed())).toEqual(['r'])
    expect(await state()).toEqual(afterSecond)
    expect(await catalog.held(userId, tenant.id)).toEqual([])
    const { after } = await catalog.one<{ after: { retired: string[]; left: string[]; version: number } }>(
      "select after from audit_log where action = 'access.seed' order by id desc limit 1",
    )
    expect(after).toMatchObject({ version: 2, left: [] })
    expect(after.retired.toSorted()).toEqual([
      'grant Owner notes:share',
      'grant Team lead notes:share',
      'grant Team lead notes:write',
      'include Owner > Team lead',
      'include Team lead > Member',
      'permission notes:share',
      'role Team lead',
      'route GET /notes notes:share',
      'route GET /notes/{id} notes:read',
      'route PUT /notes/{id} notes:write',
    ])
  })

  test('an entry is retired once, and the next start writes nothing', async () => {
    await seed(first)
    expect(await seed()).toEqual({ applied: 2, retired: 10 })
    const entries = 'select count(*)::int as entries, sum(xmin::text::bigint)::text as writes from access_seed_entries'
    const before = await catalog.one(entries)
    expect(await catalog.raisedBy(seed)).toEqual([])
    expect(await seed()).toEqual({ applied: 0, retired: 0 })
    expect(await catalog.one(entries)).toEqual(before)
    expect(await catalog.one("select count(*)::int as seeds from audit_log where action = 'access.seed'")).toEqual({
      seeds: 2,
    })
  })

  test('a retired entry is restored when the definition contains it again', async () => {
    await seed(first)
    const before = await state()
    await seed()
    expect(await seed({ ...first, version: 3 })).toMatchObject({ applied: 10 })
    expect(await state()).toEqual(before)
    await seed({ ...second, version: 4 })
    expect(await state()).toEqual(afterSecond)
  })

  test('an entry is not retired without a higher version, because two definitions of one version have no order', async () => {
    await seed(first)
    const before = await state()
    await seed({ ...second, version: 1 })
    const merged = await state()
    expect(merged).toEqual(expect.arrayContaining(before))
    await seed({ permissions: [], routes: [], roles: [], categories: [], version: 0 })
    expect(await state()).toEqual(merged)
  })
})

describe('entries that somebody changed', () => {
  const changes: readonly (readonly [string, string, string])[] = [
    ['a described permission', "update permissions set description = 'ours' where name = 'notes:share'", 'notes:share'],
    ['a described role', "update roles set description = 'ours' where name = 'Team lead'", 'Team lead'],
    [
      'a rule that was switched off and on',
      `update route_rules set is_active = false where method = 'PUT'; update route_rules set is_active = true where method = 'PUT'`,
      'PUT /notes/{id} notes:write',
    ],
    [
      'a grant that was taken away and given again',
      `delete from role_permissions where role_id = (select id from roles where name = 'Team lead');
       insert into role_permissions select roles.id, permissions.id from roles, permissions
         where roles.name = 'Team lead' and permissions.name = 'notes:write'`,
      'Team lead: notes:write',
    ],
    [
      'an inclusion that an administrator added',
      `insert into role_inclusions select one.id, other.id from roles as one, roles as other
         where one.name = 'Member' and other.name = 'Auditor'`,
      'Member > Auditor',
    ],
  ]
  test.each(changes)('retiring entries leaves %s unchanged', async (_name, change, stays) => {
    await sql("insert into roles (name) values ('Auditor')")
    await seed(first)
    await sql(change)
    await seed()
    expect(await state()).toContain(stays)
    expect(await seed()).toEqual({ applied: 0, retired: 0 })
  })

  test('what existed before the definition had it is not retired', async () => {
    const read = await catalog.addPermission('notes:share')
    await catalog.addRole(null, 'Member', read)
    await seed(defineAccess({ permissions: { 'notes:share': '' }, roles: { Member: ['notes:share'] } }))
    await seed()
    expect(await state()).toEqual(expect.arrayContaining(['notes:share', 'Member: notes:share']))
  })

  test('what an administrator removed or deactivated does not return with its entry', async () => {
    await seed(first)
    await sql("update permissions set is_active = false where name = 'notes:share'")
    await sql("delete from route_rules where method = 'PUT'")
    await seed()
    await seed({ ...first, version: 3 })
    const now = await state()
    expect(now).toContain('notes:share (off)')
    expect(now).not.toContain('PUT /notes/{id} notes:write')
  })

  test('a change to a retired entry is kept when the entry returns', async () => {
    await seed(first)
    await seed()
    await sql("update roles set is_active = true where name = 'Team lead'")
    await sql("update roles set is_active = false where name = 'Team lead'")
    await seed({ ...first, version: 3 })
    expect(await state()).toContain('Team lead (off)')
  })

  test('retiring entries leaves tenants’ roles, grants and overrides unchanged', async () => {
    await seed(first)
    const tenant = await catalog.addTenant()
    const { id: share } = await catalog.one<{ id: number }>("select id from permissions where name = 'notes:share'")
    await catalog.addRole(tenant.id, 'Sharer', share)
    const userId = await catalog.addMember(tenant.id, 'Sharer')
    await catalog.pool.query('insert into user_tenant_permissions values ($1, $2, $3, $4)', [
      userId,
      tenant.id,
      share,
      'allow',
    ])
    await seed()
    // An inactive permission grants nothing, but the tenant's grant of it is kept and works when it is activated again.
    expect(await catalog.held(userId, tenant.id)).toEqual([])
    await seed({ ...first, version: 3 })
    expect(await catalog.held(userId, tenant.id)).toEqual(['notes:share'])
  })
})

test('a process with an older version of the definition changes nothing', async () => {
  await seed(first)
  await seed()
  const before = await state()
  expect(await catalog.raisedBy(() => seed(first))).toEqual([])
  expect(await seed(first)).toEqual({ applied: 0, retired: 0 })
  expect(await state()).toEqual(before)
  expect(await catalog.one('select access_version from installation')).toEqual({ access_version: 2 })
})

test('seeding refuses an inclusion that an administrator made the other way round, and writes nothing', async () => {
  const roles = { Member: ['a:read'], Guest: { includes: ['Member'] } } as const
  await seed(defineAccess({ permissions: { 'a:read': '' }, roles: { Member: ['a:read'], Guest: [] } }))
  await sql(
    `insert into role_inclusions select one.id, other.id from roles as one, roles as other
     where one.name = 'Member' and other.name = 'Guest'`,
  )
  const before = await state()
  await expect(seed(defineAccess({ permissions: { 'a:read': '', 'b:read': '' }, roles }))).rejects.toMatchObject({
    code: 'TENANCY_ACCESS_ROLE_CYCLE',
  })
  expect(await state()).toEqual(before)
})
