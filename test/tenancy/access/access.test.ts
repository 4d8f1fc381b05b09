import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { requireRole, tenancyPlugin } from '../../../src/adapters/fastify/index.js'
import { defineAccess, type Tenancy, type User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

let installation: Installation
let tenancy: Tenancy
let app: FastifyInstance
let owner: User
let member: User
let token: string

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
  owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  member = await tenancy.createUser({ email: 'member@example.com', emailVerified: true })
  await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
  await tenancy.addMember({ tenant: 'acme', user: member.id, roles: [], actor: owner.id })
  token = (await tenancy.issueAccessToken({ user: member.id })).token
  app = await createNotesApp(tenancy)
})
afterAll(async () => {
  await app?.close()
  await installation.drop()
})

const reports = async () => outcome(await app.inject({ url: '/reports', headers: bearer(token) }))
const explain = () => tenancy.access.explain({ tenant: 'acme', user: member.id, method: 'GET', path: '/reports' })

test('every change of a role applies to the next request of the process that made it, and is explained', async () => {
  const role = { tenant: 'acme', role: 'Analyst', actor: owner.id }
  expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
  await tenancy.access.createRole({ tenant: 'acme', name: 'Analyst', actor: owner.id })
  await tenancy.access.assignRole({ ...role, user: member.id })
  expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
  expect(await explain()).toMatchObject({ allowed: false, reason: 'not-granted', rule: 'GET /reports' })

  await tenancy.access.includeRole({ ...role, included: 'Admin' })
  expect(await reports()).toBe('200')
  expect(await explain()).toMatchObject({
    allowed: true,
    permissions: [{ permission: 'reports:read', through: [{ roles: ['Analyst', 'Admin'], inactive: [] }] }],
  })
  await tenancy.access.setRoleActive({ ...role, isActive: false })
  expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
  await tenancy.access.setRoleActive({ ...role, isActive: true })
  expect(await reports()).toBe('200')
  await tenancy.access.excludeRole({ ...role, included: 'Admin' })
  expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
  await tenancy.access.grantPermission({ ...role, permission: 'reports:read' })
  expect(await reports()).toBe('200')
  await tenancy.access.deleteRole(role)
  expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
})

test('every change of a rule or a membership applies to the next request of the process that made it', async () => {
  const rule = { method: 'GET', path: '/reports', permission: 'reports:read' }
  await tenancy.access.setOverride({ tenant: 'acme', user: member.id, permission: 'reports:read', effect: 'allow' })
  expect(await reports()).toBe('200')
  await tenancy.access.setRouteRuleActive({ ...rule, isActive: false })
  expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
  await tenancy.access.setRouteRuleActive({ ...rule, isActive: true })
  expect(await reports()).toBe('200')
  await tenancy.access.deleteRouteRule(rule)
  expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
  await tenancy.access.createRouteRule(rule)
  expect(await reports()).toBe('200')
  await tenancy.setMemberActive({ tenant: 'acme', user: member.id, isActive: false })
  expect(await reports()).toBe('403 TENANCY_TENANT_NONE')
  await tenancy.setMemberActive({ tenant: 'acme', user: member.id, isActive: true })
  expect(await reports()).toBe('200')
})

test('an Admin of the shipped definition can add Members but make nobody an Owner', async () => {
  const admin = await tenancy.createUser({ email: 'admin@example.com', emailVerified: true })
  const guest = await tenancy.createUser({ email: 'guest@example.com', emailVerified: true })
  await tenancy.addMember({ tenant: 'acme', user: admin.id, roles: ['Admin'], actor: owner.id })
  await expect(
    tenancy.addMember({ tenant: 'acme', user: guest.id, roles: ['Owner'], actor: admin.id }),
  ).rejects.toMatchObject({
    code: 'TENANCY_ACCESS_GRANT_REFUSED',
  })
  await tenancy.addMember({ tenant: 'acme', user: guest.id, actor: admin.id })
  expect((await tenancy.listMembers({ tenant: 'acme' })).find(({ userId }) => userId === guest.id)?.roles).toEqual([
    'Member',
  ])
})

test('an Admin of the shipped definition can take nothing from an Owner, even if there is another Owner', async () => {
  const [admin, second] = await Promise.all(
    ['ada', 'bea'].map((name) => tenancy.createUser({ email: `${name}@example.com`, emailVerified: true })),
  )
  await tenancy.addMember({ tenant: 'acme', user: admin!.id, roles: ['Admin'], actor: owner.id })
  await tenancy.addMember({ tenant: 'acme', user: second!.id, roles: ['Owner'], actor: owner.id })
  const of = { tenant: 'acme', user: second!.id, actor: admin!.id }
  const refused = { code: 'TENANCY_ACCESS_CHANGE_REFUSED' }
  await expect(tenancy.access.unassignRole({ ...of, role: 'Owner' })).rejects.toMatchObject(refused)
  await expect(tenancy.access.setOverride({ ...of, permission: 'members:read', effect: 'deny' })).rejects.toMatchObject(
    refused,
  )
  await expect(tenancy.setMemberActive({ ...of, isActive: false })).rejects.toMatchObject(refused)
  await expect(tenancy.removeMember(of)).rejects.toMatchObject(refused)
  await tenancy.removeMember({ tenant: 'acme', user: admin!.id, actor: second!.id })
  await tenancy.removeMember({ tenant: 'acme', user: second!.id, actor: owner.id })
})

test('changes of users and signing keys are in the installation’s audit log with their actors', async () => {
  const start = (await tenancy.audit.verify({ tenant: null })).entries
  const { id } = await tenancy.createUser({ email: 'eve@example.com', actor: owner.id })
  await tenancy.disableUser({ user: id, actor: owner.id })
  await tenancy.enableUser({ user: id, actor: owner.id })
  await tenancy.revokeUserTokens({ user: id })
  await tenancy.rotateSigningKeys({ actor: owner.id })
  const found = await tenancy.audit.list({ tenant: null, after: start })
  expect(found.map(({ action, actorId }) => [action, actorId])).toEqual([
    ['user.create', owner.id],
    ['user.disable', owner.id],
    ['user.enable', owner.id],
    ['user.tokens.revoke', null],
    ['signing-key.retire', owner.id],
    ['signing-key.create', owner.id],
  ])
  expect(found.slice(0, 4).map(({ subject }) => subject)).toEqual(Array<string>(4).fill(`user:${id}`))
  for (const change of [
    tenancy.disableUser({ user: id, actor: 'eve' }),
    tenancy.rotateSigningKeys({ withdraw: true, actor: 'eve' }),
  ]) {
    await expect(change).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  }
})

test('with its own access definition, an application cannot guard by a role that the definition does not contain', async () => {
  const access = defineAccess({ permissions: {}, roles: { Clerk: [] } })
  const other = createInstallation()
  const routes = Fastify() as unknown as FastifyInstance
  try {
    await routes.register(tenancyPlugin, { tenancy: await other.open({ access }) })
    routes.get('/clerks', { preHandler: requireRole('Clerk') }, async () => 'ok')
    expect(() => routes.get('/admins', { preHandler: requireRole('Admin') }, async () => 'ok')).toThrow(
      expect.objectContaining({ code: 'TENANCY_ACCESS_DEFINITION_INVALID' }),
    )
  } finally {
    await routes.close()
    await other.drop()
  }
})

test('all changes of access are in the audit log, and its chains are intact', async () => {
  const entries = await tenancy.audit.list({ tenant: 'acme' })
  expect(entries.map(({ action }) => action)).toEqual(
    expect.arrayContaining(['tenant.create', 'role.include', 'role.exclude', 'role.delete', 'member.update']),
  )
  expect(entries.find(({ action }) => action === 'role.include')).toMatchObject({ actorId: owner.id })
  expect(await tenancy.audit.verify()).toMatchObject({ isIntact: true, chains: 2, problems: [] })
})

test('input of no shape at all is refused with a code', async () => {
  const { listPermissions: _1, listCategories: _2, listRouteRules: _3, ...services } = tenancy.access
  for (const service of Object.values(services) as ((input?: unknown) => Promise<unknown>)[]) {
    await expect(service()).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  }
  await expect(tenancy.audit.list(undefined as never)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
})

test('a start on an up-to-date catalog writes nothing', async () => {
  const before = await tenancy.audit.list({ tenant: null, limit: 1000 })
  const again = await installation.open()
  expect(await again.audit.list({ tenant: null, limit: 1000 })).toEqual(before)
})
