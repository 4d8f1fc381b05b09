import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { createAccessCatalog, type AccessCatalog } from './fixture.js'

let catalog: AccessCatalog
let admin: AccessAdministration
let tenant: string
let slug: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  ;({ id: tenant, slug } = await catalog.addTenant())
})

const rejected = (code: string) => ({ code })

/** Returns the audit entries that `work` wrote. */
async function audited(work: () => Promise<unknown>): Promise<object[]> {
  const { last } = await catalog.one<{ last: string }>('select coalesce(max(id), 0) as last from audit_log')
  await work()
  const { rows } = await catalog.pool.query<object>(
    'select tenant_id, action, subject, before, after from audit_log where id > $1 order by id',
    [last],
  )
  return rows
}

describe('permissions', () => {
  test('permissions are created, described, put into categories and listed', async () => {
    await admin.createCategory({ name: 'Notes', description: 'About notes' })
    const entry = { tenant_id: null, subject: 'permission:notes:read' }
    const made = { description: 'Read', category: 'Notes' }
    expect(await catalog.raisedBy(() => admin.createPermission({ name: 'notes:list' }))).toEqual(['r'])
    expect(await audited(() => admin.createPermission({ name: 'notes:read', ...made }))).toEqual([
      { ...entry, action: 'permission.create', before: null, after: made },
    ])
    const update = { permission: 'notes:read', category: null }
    expect(await audited(() => admin.updatePermission(update))).toEqual([
      { ...entry, action: 'permission.update', before: made, after: { ...made, category: null } },
    ])
    expect(await audited(() => admin.updatePermission(update))).toEqual([])
    expect(await catalog.raisedBy(() => admin.updatePermission({ ...update, description: 'See' }))).toEqual([])
    await admin.setPermissionActive({ permission: 'notes:read', isActive: false })
    expect(await admin.listPermissions()).toEqual([
      { name: 'notes:list', description: '', category: null, isActive: true, isSystem: false },
      { name: 'notes:read', description: 'See', category: null, isActive: false, isSystem: false },
    ])
  })

  test('a permission with a taken or malformed name or an unknown category is refused', async () => {
    await admin.createPermission({ name: 'taken:name' })
    await expect(admin.createPermission({ name: 'taken:name' })).rejects.toMatchObject(
      rejected('TENANCY_ACCESS_PERMISSION_EXISTS'),
    )
    for (const name of ['', 'notes', 'Notes:read', 'notes:read:all', 'notes: read', 'n\0:read']) {
      await expect(admin.createPermission({ name })).rejects.toMatchObject(rejected('TENANCY_REQUEST_INVALID'))
    }
    const category = 'Nowhere'
    await expect(admin.createPermission({ name: 'a:b', category })).rejects.toMatchObject(
      rejected('TENANCY_ACCESS_CATEGORY_NOT_FOUND'),
    )
    await expect(admin.updatePermission({ permission: 'taken:name', category })).rejects.toMatchObject(
      rejected('TENANCY_ACCESS_CATEGORY_NOT_FOUND'),
    )
    await expect(admin.updatePermission({ permission: 'no:such', description: '' })).rejects.toMatchObject(
      rejected('TENANCY_ACCESS_PERMISSION_NOT_FOUND'),
    )
  })
})

test('categories are created, renamed and deleted, and a permission of a deleted category has none', async () => {
  await admin.createCategory({ name: 'Old' })
  await admin.createCategory({ name: 'Other' })
  await admin.createPermission({ name: 'cat:read', category: 'Old' })
  await expect(admin.createCategory({ name: 'Old' })).rejects.toMatchObject(rejected('TENANCY_ACCESS_CATEGORY_EXISTS'))
  await expect(admin.updateCategory({ category: 'Old', name: 'Other' })).rejects.toMatchObject(
    rejected('TENANCY_ACCESS_CATEGORY_EXISTS'),
  )
  expect(await audited(() => admin.updateCategory({ category: 'Old', name: 'New' }))).toMatchObject([
    { action: 'category.update', subject: 'category:Old', before: { name: 'Old' }, after: { name: 'New' } },
  ])
  const ofPermission = async () => (await admin.listPermissions()).find(({ name }) => name === 'cat:read')?.category
  expect(await ofPermission()).toBe('New')
  await admin.deleteCategory({ category: 'New' })
  expect(await ofPermission()).toBeNull()
  expect((await admin.listCategories()).map(({ name }) => name)).not.toContain('New')
  await expect(admin.deleteCategory({ category: 'New' })).rejects.toMatchObject(
    rejected('TENANCY_ACCESS_CATEGORY_NOT_FOUND'),
  )
})

describe('route rules', () => {
  const rule = { method: 'GET', path: '/things/{id}', permission: 'things:read' }
  beforeAll(() => admin.createPermission({ name: 'things:read' }))

  test('route rules are created, deactivated, activated, listed and deleted, and each change raises the rules epoch', async () => {
    const subject = 'route:GET /things/{id}'
    expect(await catalog.raisedBy(() => admin.createRouteRule(rule))).toEqual(['r'])
    await expect(admin.createRouteRule(rule)).rejects.toMatchObject(rejected('TENANCY_ACCESS_RULE_EXISTS'))
    expect(await audited(() => admin.setRouteRuleActive({ ...rule, isActive: false }))).toMatchObject([
      { action: 'route.update', subject, before: { isActive: true }, after: { isActive: false } },
    ])
    expect(await audited(() => admin.setRouteRuleActive({ ...rule, isActive: false }))).toEqual([])
    expect(await admin.listRouteRules()).toEqual([{ ...rule, isActive: false, isSystem: false }])
    expect(await catalog.raisedBy(() => admin.setRouteRuleActive({ ...rule, isActive: true }))).toEqual(['r'])
    expect(await audited(() => admin.deleteRouteRule(rule))).toMatchObject([
      { action: 'route.delete', subject, before: { permission: 'things:read', isActive: true } },
    ])
    expect(await admin.listRouteRules()).toEqual([])
    await expect(admin.deleteRouteRule(rule)).rejects.toMatchObject(rejected('TENANCY_ACCESS_RULE_NOT_FOUND'))
  })

  test('malformed route rules are refused', async () => {
    for (const path of ['', 'things', '/things/', '/things/*', '//', '/a/../b', '/%2e', '/ä', `/${'a'.repeat(1001)}`]) {
      await expect(admin.createRouteRule({ ...rule, path })).rejects.toMatchObject(rejected('TENANCY_REQUEST_INVALID'))
    }
    for (const method of ['get', '', 'GET POST', '**']) {
      await expect(admin.createRouteRule({ ...rule, method })).rejects.toMatchObject(
        rejected('TENANCY_REQUEST_INVALID'),
      )
    }
    await expect(admin.createRouteRule({ ...rule, permission: 'no:such' })).rejects.toMatchObject(
      rejected('TENANCY_ACCESS_PERMISSION_NOT_FOUND'),
    )
  })
})

describe('roles', () => {
  test('roles are renamed, described, listed with what they hold, and deleted', async () => {
    await admin.createPermission({ name: 'desk:use' })
    await admin.createRole({ tenant: slug, name: 'Clerk', description: 'At the desk' })
    await admin.createRole({ tenant, name: 'Boss' })
    await admin.grantPermission({ tenant, role: 'Clerk', permission: 'desk:use' })
    await admin.includeRole({ tenant: slug, role: 'Boss', included: 'Clerk' })
    const user = await catalog.addMember(tenant, 'Clerk')
    const rename = { tenant, role: 'Clerk', name: 'Scribe' }
    expect(await catalog.raisedBy(() => admin.updateRole(rename))).toEqual([`t:${tenant}`])
    const described = { tenant, role: 'Scribe', description: 'Writes' }
    expect(await audited(() => admin.updateRole(described))).toMatchObject([
      {
        tenant_id: tenant,
        action: 'role.update',
        before: { description: 'At the desk' },
        after: { description: 'Writes' },
      },
    ])
    expect(await audited(() => admin.updateRole(described))).toEqual([])
    const roles = await admin.listRoles({ tenant: slug })
    expect(roles.map(({ name, tenantId }) => [name, tenantId])).toEqual([
      ['Boss', tenant],
      ['Owner', null],
      ['Scribe', tenant],
    ])
    expect(roles[0]).toMatchObject({ permissions: [], includes: ['Scribe'] })
    expect(roles[2]).toMatchObject({ description: 'Writes', permissions: ['desk:use'], includes: [], isActive: true })
    expect((await admin.listRoles({ tenant: null })).map(({ name }) => name)).toEqual(['Owner'])

    const raised = await catalog.raisedBy(async () => {
      expect(await audited(() => admin.deleteRole({ tenant, role: 'Scribe' }))).toMatchObject([
        { action: 'role.delete', before: { name: 'Scribe', permissions: ['desk:use'] }, after: null },
      ])
    })
    expect(raised).toEqual([`t:${tenant}`, `u:${user}`].toSorted())
    expect(await catalog.held(user, tenant)).toEqual([])
  })

  test('a tenant cannot rename, describe or delete built-in roles or another tenant’s roles', async () => {
    const other = (await catalog.addTenant()).id
    await catalog.addRole(other, 'Theirs')
    for (const [role, code] of [
      ['Owner', 'TENANCY_ACCESS_ROLE_PROTECTED'],
      ['Theirs', 'TENANCY_ACCESS_ROLE_NOT_FOUND'],
    ] as const) {
      await expect(admin.updateRole({ tenant, role, name: 'Mine' })).rejects.toMatchObject({ code })
      await expect(admin.updateRole({ tenant, role, description: 'Mine' })).rejects.toMatchObject({ code })
      await expect(admin.deleteRole({ tenant, role })).rejects.toMatchObject({ code })
    }
  })

  test('a role cannot take a name that is taken in any case', async () => {
    await admin.createRole({ tenant, name: 'Clerk' })
    await admin.createRole({ tenant, name: 'Cook' })
    for (const name of ['clerk', 'OWNER']) {
      await expect(admin.updateRole({ tenant, role: 'Cook', name })).rejects.toMatchObject(
        rejected('TENANCY_ACCESS_ROLE_EXISTS'),
      )
    }
    expect(await admin.updateRole({ tenant, role: 'Cook', name: 'COOK' })).toMatchObject({ name: 'COOK' })
  })

  test('a tenant’s role cannot have a name that reads like a built-in one', async () => {
    await admin.createRole({ tenant, name: 'Waiter' })
    // Accents, full width, Cyrillic and Greek letters, digits, two letters for one, punctuation.
    for (const name of [
      'Öwner',
      'Ｏｗｎｅｒ',
      'Оwner',
      'Οwner',
      '0wner',
      'Ovvner',
      'Aclmin',
      'Adm1n',
      'Adrnin',
      'Mem-ber',
      'ADMINISTRATOR',
    ]) {
      await expect(admin.createRole({ tenant, name }), name).rejects.toMatchObject(
        rejected('TENANCY_ACCESS_ROLE_EXISTS'),
      )
      await expect(admin.updateRole({ tenant, role: 'Waiter', name }), name).rejects.toMatchObject(
        rejected('TENANCY_ACCESS_ROLE_EXISTS'),
      )
    }
    for (const name of ['Owners', 'Co-owner', 'Administration', 'Membership', 'Владелец']) {
      await admin.createRole({ tenant, name })
    }
  })

  test('tenants’ own roles give way to a built-in role that an operator makes or renames', async () => {
    const own = (await admin.createRole({ tenant, name: 'Steward' })).id
    await admin.createRole({ tenant: null, name: 'STEWARD' })
    expect(await admin.getRole({ tenant, role: own })).toMatchObject({ name: 'Steward 2' })
    const second = (await admin.createRole({ tenant, name: 'Porter' })).id
    expect(await audited(() => admin.updateRole({ tenant: null, role: 'STEWARD', name: 'Porter' }))).toMatchObject([
      { tenant_id: tenant, action: 'role.update', subject: `role:${second}`, after: { name: 'Porter 2' } },
      { tenant_id: null, action: 'role.update' },
    ])
  })

  test('a role is changed in the version that was read, which every change of what it shows ends', async () => {
    await admin.createPermission({ name: 'shown:read' })
    let { version } = await admin.createRole({ tenant, name: 'Guide' })
    await admin.createRole({ tenant, name: 'Guest' })
    const key = { tenant, role: 'Guide' }
    for (const work of [
      () => admin.updateRole({ ...key, description: 'x' }),
      () => admin.grantPermission({ ...key, permission: 'shown:read' }),
      () => admin.includeRole({ ...key, included: 'Guest' }),
      () => admin.setRoleActive({ ...key, isActive: false }),
    ]) {
      await work()
      await expect(admin.updateRole({ ...key, description: 'y', version })).rejects.toMatchObject(
        rejected('TENANCY_CHANGE_OUTDATED'),
      )
      const read = await admin.getRole(key)
      expect(read.version).not.toBe(version)
      ;({ version } = read)
    }
    expect(await admin.updateRole({ ...key, description: 'y', version })).toMatchObject({ description: 'y' })
  })
})

test('overrides are listed with their end, for one member or for all', async () => {
  await admin.createPermission({ name: 'list:read' })
  const [one, two] = [await catalog.addMember(tenant), await catalog.addMember(tenant)].toSorted() as [string, string]
  const expiresAt = new Date(Date.now() + 60_000)
  await admin.setOverride({ tenant, user: one, permission: 'list:read', effect: 'allow', expiresAt })
  await admin.setOverride({ tenant, user: two.toUpperCase(), permission: 'list:read', effect: 'deny' })
  const all = [
    { user: one, permission: 'list:read', effect: 'allow', expiresAt },
    { user: two, permission: 'list:read', effect: 'deny', expiresAt: null },
  ]
  expect(await admin.listOverrides({ tenant: slug })).toEqual(all)
  expect(await admin.listOverrides({ tenant, user: two })).toEqual(all.slice(1))
  await expect(admin.listOverrides({ tenant: 'nowhere' })).rejects.toMatchObject(rejected('TENANCY_TENANT_NOT_FOUND'))
})

test('every access service refuses malformed input and an unknown tenant', async () => {
  const { listPermissions: _1, listCategories: _2, listRouteRules: _3, ...services } = admin
  for (const [name, service] of Object.entries(services) as [string, (input: unknown) => Promise<unknown>][]) {
    for (const input of [
      undefined,
      null,
      7,
      'text',
      [],
      {},
      { extra: 1 },
      { tenant: 7 },
      { tenant, actor: 'nobody' },
    ]) {
      await expect(service(input), `${name} ${JSON.stringify(input)}`).rejects.toMatchObject(
        rejected('TENANCY_REQUEST_INVALID'),
      )
    }
  }
  for (const work of [
    () => admin.assignRole({ tenant, user: '00000000-0000-4000-8000-000000000000', role: 'a\0b' }),
    () => admin.createRole({ tenant, name: 'Clerk', description: '\0' }),
    () => admin.deleteRouteRule({ method: 'GET', path: '/\0', permission: 'a:b' }),
    () => admin.setPermissionActive({ permission: '\0', isActive: true }),
  ]) {
    await expect(work()).rejects.toMatchObject(rejected('TENANCY_REQUEST_INVALID'))
  }
  const member = { tenant: 'nowhere', user: '00000000-0000-4000-8000-000000000000' }
  for (const work of [
    () => admin.assignRole({ ...member, role: 'Owner' }),
    () => admin.createRole({ tenant: 'nowhere', name: 'Clerk' }),
    () => admin.listRoles({ tenant: "' or true --" }),
  ]) {
    await expect(work()).rejects.toMatchObject(rejected('TENANCY_TENANT_NOT_FOUND'))
  }
})
