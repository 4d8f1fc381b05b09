import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAccessRules } from '../../../src/access/access-rules.js'
import { defineAccess } from '../../../src/access/define-access.js'
import { devAccess } from '../../../src/access/seeds/dev.js'
import { seedAccess } from '../../../src/catalog/access/seed.js'
import { createAccessCatalog } from './fixture.js'
import type { AccessCatalog } from './fixture.js'
import { findMember } from '../../support/find-member.js'

const first = defineAccess({
  categories: { Notes: '' },
  permissions: { 'notes:read': { category: 'Notes' }, 'notes:write': '' },
  routes: { 'GET /notes': 'notes:read' },
  roles: { Member: ['notes:read'], Clerk: ['notes:write'] },
})
const second = defineAccess({
  categories: { Notes: '' },
  permissions: { 'notes:read': { category: 'Notes' }, 'notes:write': '', 'notes:delete': '' },
  routes: { 'GET /notes': 'notes:read', 'DELETE /notes/{id}': 'notes:delete' },
  roles: { Member: ['notes:read', 'notes:write'], Clerk: ['notes:write'] },
})

const grantsQuery = `
  select roles.name || ' ' || permissions.name as grant from role_permissions
  join roles on roles.id = role_id join permissions on permissions.id = permission_id order by 1`

async function grantsOf(catalog: AccessCatalog): Promise<string[]> {
  const { rows } = await catalog.pool.query<{ grant: string }>(grantsQuery)
  return rows.map((row) => row.grant)
}

describe('seedAccess', () => {
  let catalog: AccessCatalog
  beforeAll(async () => {
    catalog = await createAccessCatalog()
  })
  afterAll(() => catalog.drop())

  test('seedAccess inserts the definition and lets the Owner hold everything', async () => {
    expect(await seedAccess(catalog.pool, first)).toEqual({ applied: 11, retired: 0 })
    expect(await grantsOf(catalog)).toEqual([
      'Clerk notes:write',
      'Member notes:read',
      'Owner notes:read',
      'Owner notes:write',
    ])
    const ruleSet = await catalog.rules.readRuleSet()
    expect(ruleSet.permissions.map(({ id, name }) => `${id} ${name}`)).toEqual(['1 notes:read', '2 notes:write'])
    expect(ruleSet.routes).toEqual([{ method: 'GET', path: '/notes', permissionId: 1, isActive: true }])
    expect(ruleSet.roles).toEqual(['Clerk', 'Member', 'Owner'])
    expect(await catalog.one("select category from permissions where name = 'notes:read'")).toEqual({
      category: 'Notes',
    })
  })

  test('a second run of seedAccess writes nothing and raises no epoch', async () => {
    const before = await catalog.one('select count(*)::int as entries from audit_log')
    expect(await catalog.raisedBy(() => seedAccess(catalog.pool, first))).toEqual([])
    expect(await seedAccess(catalog.pool, first)).toEqual({ applied: 0, retired: 0 })
    expect(await catalog.one('select count(*)::int as entries from audit_log')).toEqual(before)
  })

  test('a later version of the definition adds new entries and keeps what an administrator changed', async () => {
    await catalog.pool.query(
      "update permissions set is_active = false, description = 'mine' where name = 'notes:write'",
    )
    await catalog.pool.query('delete from route_rules')
    await catalog.pool.query("delete from role_permissions where role_id = (select id from roles where name = 'Owner')")
    await catalog.pool.query("delete from roles where name = 'Clerk'")
    await catalog.pool.query("update roles set is_active = false where name = 'Member'")
    const byHand = await catalog.addPermission('by:hand')
    await catalog.pool.query("insert into role_permissions select id, $1 from roles where name = 'Member'", [byHand])

    expect(await seedAccess(catalog.pool, second)).toEqual({ applied: 4, retired: 0 })
    expect(await grantsOf(catalog)).toEqual([
      'Member by:hand',
      'Member notes:read',
      'Member notes:write',
      'Owner notes:delete',
    ])
    const ruleSet = await catalog.rules.readRuleSet()
    expect(ruleSet.routes.map(({ method, path }) => `${method} ${path}`)).toEqual(['DELETE /notes/{id}'])
    expect(ruleSet.roles).toEqual(['Owner'])
    // There is no gap: by:hand took 3, and existing entries used up no number.
    expect(ruleSet.permissions.map(({ id, isActive }) => [id, isActive])).toEqual([
      [1, true],
      [2, false],
      [3, true],
      [4, true],
    ])
    expect(await catalog.one("select description from permissions where name = 'notes:write'")).toEqual({
      description: 'mine',
    })
  })

  test('a built-in role whose name a tenant’s role has is refused, and nothing is written', async () => {
    const tenant = await catalog.addTenant()
    await catalog.addRole(tenant.id, 'auditor')
    const definition = defineAccess({
      permissions: { 'notes:read': { category: 'Notes' }, 'notes:write': '', 'notes:delete': '', 'audit:read': '' },
      categories: { Notes: '' },
      routes: { 'GET /notes': 'notes:read', 'DELETE /notes/{id}': 'notes:delete' },
      roles: { Member: ['notes:read', 'notes:write'], Clerk: ['notes:write'], Auditor: ['audit:read'] },
    })
    await expect(seedAccess(catalog.pool, definition)).rejects.toMatchObject({ code: 'TENANCY_ACCESS_ROLE_EXISTS' })
    const { rows } = await catalog.pool.query("select from permissions where name = 'audit:read'")
    expect(rows).toEqual([])
    await catalog.pool.query("update roles set name = 'Our auditor' where name = 'auditor'")
    expect(await seedAccess(catalog.pool, definition)).toEqual({ applied: 4, retired: 0 })
  })
})

test('ten processes that seed an empty catalog at once seed it once', async () => {
  const catalog = await createAccessCatalog()
  try {
    const runs = await Promise.all(Array.from({ length: 10 }, () => seedAccess(catalog.pool, devAccess)))
    expect(runs.filter(({ applied }) => applied > 0)).toHaveLength(1)
    expect(await seedAccess(catalog.pool, devAccess)).toEqual({ applied: 0, retired: 0 })
    const tenant = await catalog.addTenant()
    const held = async (role: string) => catalog.held(await catalog.addMember(tenant.id, role), tenant.id)
    expect(await held('Owner')).toEqual(devAccess.permissions.map(({ name }) => name).toSorted())
    expect(await held('Member')).toEqual(['members:read', 'notes:create', 'notes:read', 'tenant:read'])
  } finally {
    await catalog.drop()
  }
})

test('after seeding, a guard lets a Member read notes but no reports until an administrator changes that', async () => {
  const catalog = await createAccessCatalog()
  try {
    await seedAccess(catalog.pool, devAccess)
    const rules = createAccessRules(catalog.rules)
    await rules.refresh()
    const reports = rules.guard({ kind: 'route', method: 'GET', path: '/reports' })
    const notes = rules.guard({ kind: 'permission', name: 'notes:read' })
    const tenant = await catalog.addTenant()
    const userId = await catalog.addMember(tenant.id, 'Member')
    const answers = async () => {
      const member = await findMember(catalog.directory, userId, { kind: 'id', value: tenant.id })
      if (member === undefined) throw new Error('no such member')
      if (member.rulesEpoch > rules.epoch) await rules.refresh()
      const access = rules.compile(member.grants)
      return { reports: reports.allows(access), notes: notes.allows(access) }
    }
    const override = `
      insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect)
      select $1, $2, id, $3 from permissions where name = $4`
    expect(await answers()).toEqual({ reports: false, notes: true })
    await catalog.pool.query(override, [userId, tenant.id, 'allow', 'reports:read'])
    await catalog.pool.query(override, [userId, tenant.id, 'deny', 'notes:read'])
    expect(await answers()).toEqual({ reports: true, notes: false })
    await catalog.pool.query("update route_rules set is_active = false where path = '/reports'")
    expect(await answers()).toEqual({ reports: false, notes: false })
  } finally {
    await catalog.drop()
  }
})
