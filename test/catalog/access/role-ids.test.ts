import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import type { Permission } from '../../../src/catalog/access/permissions.js'
import type { Role } from '../../../src/catalog/access/roles/role-row.js'
import type { RouteRule } from '../../../src/catalog/access/route-rules.js'
import { type AccessCatalog, createAccessCatalog } from './fixture.js'

// Roles named by their ids: the rules are those of names.

let catalog: AccessCatalog
let access: AccessAdministration
let tenant: string
let other: string
let owner: string
/** Holds `notes:read`, and not `secrets:read`. */
let actor: string
let user: string
let ownerRole: string
/** Grants `secrets:read`. */
let agent: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  access = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  const notes = await catalog.addPermission('notes:read')
  await catalog.addPermission('secrets:read')
  await catalog.addRole(null, 'Member', notes)
  for (const permission of ['notes:read', 'secrets:read']) {
    await access.grantPermission({ tenant: null, role: 'Owner', permission })
  }
  ownerRole = (await access.getRole({ tenant: null, role: 'Owner' })).id
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  tenant = (await catalog.addTenant()).id
  other = (await catalog.addTenant()).id
  owner = await catalog.addMember(tenant, 'Owner')
  actor = await catalog.addMember(tenant, 'Member')
  user = await catalog.addMember(tenant)
  agent = await catalog.addRole(tenant, 'Agent', 2)
})

const refused = { code: 'TENANCY_ACCESS_GRANT_REFUSED' }
const above = { code: 'TENANCY_ACCESS_CHANGE_REFUSED' }
const missing = { code: 'TENANCY_ACCESS_ROLE_NOT_FOUND' }

test('A role is changed by its id, in either case, and still after it was renamed', async () => {
  const role = { tenant, role: agent.toUpperCase(), actor: owner }
  await access.updateRole({ ...role, name: 'Renamed' })
  await access.grantPermission({ ...role, permission: 'notes:read' })
  await access.revokePermission({ ...role, permission: 'secrets:read' })
  await access.includeRole({ ...role, included: ownerRole })
  const found = () => access.getRole({ tenant, role: role.role })
  expect(await found()).toMatchObject({
    ...{ id: agent, name: 'Renamed', permissions: ['notes:read'], includes: ['Owner'] },
  })
  await access.excludeRole({ ...role, included: ownerRole })
  await access.assignRole({ ...role, user })
  await access.unassignRole({ ...role, user })
  await access.deleteRole(role)
  await expect(found()).rejects.toMatchObject(missing)
})

describe('what an actor does not hold', () => {
  test('cannot be assigned, included or switched on by the id of a role', async () => {
    await expect(access.assignRole({ tenant, user, role: agent, actor })).rejects.toMatchObject(refused)
    await expect(access.assignRole({ tenant, user: actor, role: ownerRole, actor })).rejects.toMatchObject(refused)
    const own = await catalog.addRole(tenant, 'Own', 1)
    const include = access.includeRole({ tenant, role: own, included: agent, actor })
    await expect(include).rejects.toMatchObject(refused)
    const empty = await catalog.addRole(tenant, 'Empty')
    await access.includeRole({ tenant, role: empty, included: agent })
    await access.updateRole({ tenant, role: empty, isActive: false })
    const switchOn = { tenant, role: empty, isActive: true, actor }
    await expect(access.updateRole(switchOn)).rejects.toMatchObject(above)
    await expect(access.setRoleActive(switchOn)).rejects.toMatchObject(above)
    expect((await access.getRole({ tenant, role: empty })).isActive).toBe(false)
  })

  test('protects a role that grants it, by its id', async () => {
    const role = { tenant, role: agent, actor }
    await expect(access.updateRole({ ...role, description: 'x' })).rejects.toMatchObject(above)
    await expect(access.revokePermission({ ...role, permission: 'secrets:read' })).rejects.toMatchObject(above)
    await expect(access.deleteRole(role)).rejects.toMatchObject(above)
  })
})

test('The last Owner cannot be demoted by the id of the role', async () => {
  const demote = () => access.unassignRole({ tenant, user: owner, role: ownerRole, actor: owner })
  await expect(demote()).rejects.toMatchObject({ code: 'TENANCY_MEMBER_LAST_OWNER' })
  expect(await catalog.held(owner, tenant)).toEqual(['notes:read', 'secrets:read'])
  await access.assignRole({ tenant, user, role: ownerRole, actor: owner })
  await demote()
})

test('A built-in role and the role of another tenant are not changed, and the latter is as one that does not exist', async () => {
  const protectedRole = { code: 'TENANCY_ACCESS_ROLE_PROTECTED' }
  await expect(access.updateRole({ tenant, role: ownerRole, name: 'x' })).rejects.toMatchObject(protectedRole)
  const others = await catalog.addRole(other, 'Theirs')
  const messages: string[] = []
  for (const role of [others, randomUUID()]) {
    const calls = [
      () => access.getRole({ tenant, role }),
      () => access.updateRole({ tenant, role, name: 'x' }),
      () => access.deleteRole({ tenant, role }),
      () => access.grantPermission({ tenant, role, permission: 'notes:read' }),
      () => access.includeRole({ tenant, role: agent, included: role }),
      () => access.excludeRole({ tenant, role: agent, included: role }),
      () => access.assignRole({ tenant, user, role }),
      () => access.unassignRole({ tenant, user, role }),
    ]
    for (const call of calls) {
      const error = (await call().catch((refusal: unknown) => refusal)) as Error
      expect(error).toMatchObject(missing)
      messages.push(error.message.replace(role, '<id>'))
    }
  }
  expect(new Set(messages).size).toBe(1)
})

test('No role gets a name in the form of an id', async () => {
  const invalid = { code: 'TENANCY_REQUEST_INVALID' }
  await expect(access.createRole({ tenant, name: randomUUID() })).rejects.toMatchObject(invalid)
  await expect(access.updateRole({ tenant, role: agent, name: agent })).rejects.toMatchObject(invalid)
})

test('One entry records a new name and the switch together, and a change to what is there records nothing', async () => {
  const role = { tenant, role: agent, actor: owner }
  await access.updateRole({ ...role, name: 'Off', isActive: false })
  await access.updateRole({ ...role, name: 'Off', isActive: false })
  await access.updateRole({ ...role, isActive: true })
  const { rows } = await catalog.pool.query<object>(
    "select before, after from audit_log where tenant_id = $1 and action = 'role.update' order by seq",
    [tenant],
  )
  const description = ''
  expect(rows).toEqual([
    { before: { name: 'Agent', description, isActive: true }, after: { name: 'Off', description, isActive: false } },
    { before: { isActive: false }, after: { isActive: true } },
  ])
})

test('Roles, permissions and route rules are listed in pages, without gaps', async () => {
  const pagesOf = async <Item extends object>(read: (after: Item | undefined) => Promise<Item[]>): Promise<Item[]> => {
    const all: Item[] = []
    for (;;) {
      const page = await read(all.at(-1))
      all.push(...page)
      if (page.length === 0) return all
    }
  }
  for (const path of ['/b', '/a']) {
    for (const permission of ['secrets:read', 'notes:read']) {
      await access.createRouteRule({ method: 'GET', path, permission })
    }
  }
  const roles = await access.listRoles({ tenant })
  expect(roles.map(({ name }) => name)).toEqual(['Agent', 'Member', 'Owner'])
  expect(await pagesOf<Role>((last) => access.listRoles({ tenant, limit: 1, after: last?.name }))).toEqual(roles)
  const permissions = await access.listPermissions()
  expect(await pagesOf<Permission>((last) => access.listPermissions({ limit: 1, after: last?.name }))).toEqual(
    permissions,
  )
  const rules = await access.listRouteRules()
  expect(rules.map(({ path, permission }) => `${path} ${permission}`)).toEqual([
    ...['/a notes:read', '/a secrets:read', '/b notes:read', '/b secrets:read'],
  ])
  const key = (rule: RouteRule | undefined) =>
    rule && { method: rule.method, path: rule.path, permission: rule.permission }
  expect(await pagesOf<RouteRule>((last) => access.listRouteRules({ limit: 1, after: key(last) }))).toEqual(rules)
})

test('Overrides of a user who is no member are refused, and a member without any has none', async () => {
  expect(await access.listOverrides({ tenant, user })).toEqual([])
  const stranger = await catalog.addMember(other)
  for (const nobody of [stranger, randomUUID()]) {
    await expect(access.listOverrides({ tenant, user: nobody })).rejects.toMatchObject({
      code: 'TENANCY_MEMBER_NOT_FOUND',
    })
  }
})
