import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAccessRules } from '../../../../src/access/access-rules.js'
import { defineAccess } from '../../../../src/access/define-access.js'
import { devAccess } from '../../../../src/access/seeds/dev.js'
import { createAccessAdministration } from '../../../../src/catalog/access/administration.js'
import { seedAccess } from '../../../../src/catalog/access/seed/seed.js'
import { createAccessCatalog } from '../fixture.js'
import type { AccessCatalog } from '../fixture.js'
import { findMember } from '../../../support/find-member.js'

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

  test('tenants’ own roles give way to a new built-in role of their name, and their members keep what they had', async () => {
    const [tenant, other] = [await catalog.addTenant(), await catalog.addTenant()]
    const own = await catalog.addRole(tenant.id, 'auditor', 1)
    await catalog.addRole(tenant.id, 'Auditor 2', 1)
    await catalog.addRole(other.id, 'AUDITOR', 1)
    const member = await catalog.addMember(tenant.id, 'auditor')
    const before = await catalog.held(member, tenant.id)
    const definition = defineAccess({
      permissions: { 'notes:read': { category: 'Notes' }, 'notes:write': '', 'notes:delete': '', 'audit:read': '' },
      categories: { Notes: '' },
      routes: { 'GET /notes': 'notes:read', 'DELETE /notes/{id}': 'notes:delete' },
      roles: { Member: ['notes:read', 'notes:write'], Clerk: ['notes:write'], Auditor: ['audit:read'] },
    })
    expect(await catalog.raisedBy(() => seedAccess(catalog.pool, definition))).toEqual(
      ['r', `t:${tenant.id}`, `t:${other.id}`].toSorted(),
    )
    const { rows } = await catalog.pool.query(
      `select tenants.slug, roles.name from roles left join tenants on tenants.id = tenant_id
       where roles.name ilike 'auditor%' order by roles.name collate "C", tenants.slug`,
    )
    expect(rows).toEqual([
      { slug: other.slug, name: 'AUDITOR 2' },
      { slug: null, name: 'Auditor' },
      { slug: tenant.slug, name: 'Auditor 2' },
      { slug: tenant.slug, name: 'auditor 3' },
    ])
    expect(before).toEqual(['notes:read'])
    expect(await catalog.held(member, tenant.id)).toEqual(before)
    expect(
      await catalog.one('select actor_id, action, subject, before, after from audit_log where tenant_id = $1', [
        tenant.id,
      ]),
    ).toEqual({
      ...{ actor_id: null, action: 'role.update', subject: `role:${own}`, before: { name: 'auditor' } },
      after: { name: 'auditor 3', reason: 'a built-in role has the name' },
    })
    expect(await seedAccess(catalog.pool, definition)).toEqual({ applied: 0, retired: 0 })
  })

  test('a tenant that takes the name at the same moment does not keep the definition from being applied', async () => {
    const tenant = await catalog.addTenant()
    const admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate: () => undefined })
    for (let round = 0; round < 20; round += 1) {
      const name = `Race ${round}`
      const definition = defineAccess({
        permissions: { 'notes:read': '' },
        roles: { [name]: ['notes:read'] },
        version: 2 + round,
      })
      const [made] = await Promise.allSettled([
        admin.createRole({ tenant: tenant.id, name }),
        seedAccess(catalog.pool, definition),
      ])
      const { rows } = await catalog.pool.query<{ name: string; builtIn: boolean }>(
        `select name, tenant_id is null as "builtIn" from roles where lower(name) like lower($1) || '%' order by name`,
        [name],
      )
      const found = rows.filter((role) => role.name === name || role.name.startsWith(`${name} `))
      expect(found[0]).toEqual({ name, builtIn: true })
      expect(found).toHaveLength(made.status === 'fulfilled' ? 2 : 1)
    }
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
