import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CompiledRuleSet } from '../../../src/access/compiled-rule-set.js'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessExplainer, createAccessExplainer } from '../../../src/catalog/access/explain.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { createAccessCatalog, type AccessCatalog } from './fixture.js'

let catalog: AccessCatalog
let admin: AccessAdministration
let explainer: AccessExplainer
let tenant: string
let slug: string
let user: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  explainer = createAccessExplainer({
    catalog: catalog.pool,
    findRule: (ruleSet, method, path) => new CompiledRuleSet(ruleSet).matchTemplate(method, path)?.rule,
  })
  await catalog.addRole(null, 'Reader', await catalog.addPermission('notes:read'))
  await catalog.addPermission('notes:write')
  await admin.createRouteRule({ method: 'GET', path: '/notes/{id}', permission: 'notes:read' })
  await admin.createRouteRule({ method: 'GET', path: '/notes/{note}', permission: 'notes:write' })
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  ;({ id: tenant, slug } = await catalog.addTenant())
  user = await catalog.addUser()
  await catalog.pool.query('update users set email_verified = true where id = $1', [user])
  await catalog.join(user, tenant)
})

const explain = (permission = 'notes:read') => explainer.explain({ tenant: slug, user, permission })
const explainRoute = (path: string, method = 'GET') => explainer.explain({ tenant, user, method, path })
const override = (effect: 'allow' | 'deny', expiresAt?: Date) =>
  admin.setOverride({ tenant, user, permission: 'notes:read', effect, expiresAt })

describe('explanations of granted access', () => {
  test('the explanation of granted access names the role that grants it', async () => {
    await admin.assignRole({ tenant, user, role: 'Reader' })
    expect(await explain()).toEqual({
      allowed: true,
      reason: 'granted',
      rule: undefined,
      permissions: [
        {
          permission: 'notes:read',
          state: 'granted',
          through: [{ roles: ['Reader'], inactive: [] }],
          override: undefined,
        },
      ],
    })
  })

  test('the explanation of granted access shows the shortest chain of roles that grants it', async () => {
    for (const name of ['Boss', 'Chief', 'Clerk']) await catalog.addRole(tenant, name)
    for (const [role, included] of [
      ['Boss', 'Chief'],
      ['Chief', 'Reader'],
      ['Boss', 'Clerk'],
      ['Clerk', 'Chief'],
    ] as const) {
      await admin.includeRole({ tenant, role, included })
    }
    await admin.assignRole({ tenant, user, role: 'Boss' })
    const through = async () => (await explain()).permissions[0]?.through
    expect(await through()).toEqual([{ roles: ['Boss', 'Chief', 'Reader'], inactive: [] }])
    await admin.excludeRole({ tenant, role: 'Boss', included: 'Chief' })
    expect(await through()).toEqual([{ roles: ['Boss', 'Clerk', 'Chief', 'Reader'], inactive: [] }])
  })

  test('the explanation of granted access shows the override that grants it, with its end', async () => {
    const expiresAt = new Date(Date.now() + 60_000)
    await override('allow', expiresAt)
    expect(await explain()).toMatchObject({
      allowed: true,
      permissions: [{ through: [], override: { effect: 'allow', expiresAt, isExpired: false } }],
    })
  })

  test('the explanation of a granted route names the rule that decides, for a concrete path or the template, whatever its parameter is called', async () => {
    await admin.setOverride({ tenant, user, permission: 'notes:write', effect: 'allow' })
    for (const path of ['/notes/42', '/notes/{id}', '/notes/{anything}']) {
      const answer = await explainRoute(path)
      expect(answer).toMatchObject({ allowed: true, reason: 'granted', rule: 'GET /notes/{id}' })
      expect(answer.permissions.map(({ permission, state }) => [permission, state])).toEqual([
        ['notes:read', 'not-granted'],
        ['notes:write', 'granted'],
      ])
    }
    expect(await explainRoute('/notes/42', 'HEAD')).toMatchObject({ allowed: true, rule: 'GET /notes/{id}' })
  })
})

describe('explanations of refused access', () => {
  test('the explanation of a refusal says that nothing grants the permission', async () => {
    expect(await explain()).toMatchObject({ allowed: false, reason: 'not-granted', permissions: [{ through: [] }] })
  })

  test('the explanation of a refusal names a direct deny until it has expired', async () => {
    await admin.assignRole({ tenant, user, role: 'Reader' })
    await override('deny')
    expect(await explain()).toMatchObject({
      allowed: false,
      reason: 'denied',
      permissions: [{ through: [{ roles: ['Reader'] }], override: { effect: 'deny', expiresAt: null } }],
    })
    await catalog.pool.query(`update user_tenant_permissions set expires_at = now() - interval '1 second'`)
    expect(await explain()).toMatchObject({ allowed: true, permissions: [{ override: { isExpired: true } }] })
  })

  test('the explanation of a refusal names an inactive role in the chain', async () => {
    await catalog.addRole(tenant, 'Boss')
    await admin.includeRole({ tenant, role: 'Boss', included: 'Reader' })
    await admin.assignRole({ tenant, user, role: 'Boss' })
    await admin.setRoleActive({ tenant, role: 'Boss', isActive: false })
    expect(await explain()).toMatchObject({
      reason: 'not-granted',
      permissions: [{ state: 'not-granted', through: [{ roles: ['Boss', 'Reader'], inactive: ['Boss'] }] }],
    })
  })

  test('the explanation of a refusal names an inactive or unknown permission', async () => {
    await admin.assignRole({ tenant, user, role: 'Reader' })
    await admin.setPermissionActive({ permission: 'notes:read', isActive: false })
    expect(await explain()).toMatchObject({ reason: 'permission-inactive', permissions: [{ through: [{}] }] })
    await admin.setPermissionActive({ permission: 'notes:read', isActive: true })
    expect(await explain('no:such')).toMatchObject({ reason: 'no-permission', allowed: false })
  })

  test('the explanation of a refusal says that no rule covers the route, or that its rule is inactive', async () => {
    await override('allow')
    for (const path of ['/nothing', '/notes/4%32', '/notes/', 'notes', '']) {
      expect(await explainRoute(path)).toEqual({ allowed: false, reason: 'no-rule', rule: undefined, permissions: [] })
    }
    const rule = { method: 'PUT', path: '/notes/{id}', permission: 'notes:read' }
    await admin.createRouteRule(rule)
    await admin.setRouteRuleActive({ ...rule, isActive: false })
    expect(await explainRoute('/notes/1', 'PUT')).toMatchObject({
      allowed: false,
      reason: 'rule-inactive',
      rule: 'PUT /notes/{id}',
    })
    await admin.deleteRouteRule(rule)
  })

  test('the explanation of a refusal names the user, the membership or the tenant that blocks access', async () => {
    await override('allow')
    const states = [
      ["update tenants set status = 'suspended' where id = $1", tenant, 'tenant-suspended'],
      ["update tenants set status = 'deleted' where id = $1", tenant, 'tenant-deleted'],
      ['update user_tenants set is_active = false where user_id = $1', user, 'member-inactive'],
      ['update users set email_verified = false where id = $1', user, 'user-unverified'],
      ['update users set disabled_at = now() where id = $1', user, 'user-disabled'],
      // Of a user who is no member, nothing else is said.
      ['delete from user_tenants where user_id = $1', user, 'not-a-member'],
      ['delete from users where id = $1', user, 'user-unknown'],
    ] as const
    for (const [text, id, reason] of states) {
      await catalog.pool.query(text, [id])
      expect(await explain()).toMatchObject({ allowed: false, reason })
      expect(await explainRoute('/notes/1')).toMatchObject({ allowed: false, reason })
    }
  })
})

test('the explanation agrees with the member directory in every state of role, permission and override', async () => {
  const held = async () => (await catalog.held(user, tenant)).includes('notes:read')
  for (const roleActive of [true, false]) {
    for (const permissionActive of [true, false]) {
      for (const effect of ['none', 'allow', 'deny'] as const) {
        for (const assigned of [true, false]) {
          await catalog.pool.query("update roles set is_active = $1 where name = 'Reader'", [roleActive])
          await catalog.pool.query("update permissions set is_active = $1 where name = 'notes:read'", [
            permissionActive,
          ])
          await admin.clearOverride({ tenant, user, permission: 'notes:read' })
          if (effect !== 'none') await override(effect)
          if (assigned) await admin.assignRole({ tenant, user, role: 'Reader' })
          else await admin.unassignRole({ tenant, user, role: 'Reader' })
          expect((await explain()).allowed).toBe(await held())
        }
      }
    }
  }
})

test('a malformed question and a question about an unknown tenant are refused', async () => {
  for (const input of [
    undefined,
    {},
    { tenant, user },
    { tenant, user, method: 'GET' },
    { tenant, user, permission: 'a:b', method: 'GET', path: '/' },
    { tenant, user: 'x', permission: 'a:b' },
  ]) {
    await expect(explainer.explain(input as never)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  }
  await expect(explainer.explain({ tenant: 'nowhere', user, permission: 'a:b' })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
  })
})
