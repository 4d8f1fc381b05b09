import { defineAccess, type Member, type Tenancy } from 'tenants2fast'
import { requirePermission, requireRole } from 'tenants2fast/fastify'
import { expect, expectTypeOf, test } from 'vitest'
import type {
  RegisteredPermission as UnregisteredPermission,
  RegisteredRole as UnregisteredRole,
} from '../../src/core/access/access.js'

// Registers as an application does, by the package's public name. Other tests import the sources and stay unregistered.
const access = defineAccess({
  permissions: { 'reports:read': 'Read reports', 'reports:create': 'Write reports' },
  routes: { 'GET /reports': 'reports:read' },
  roles: { Clerk: ['reports:read'] },
})
declare module 'tenants2fast' {
  interface Register {
    access: typeof access
  }
}

test('With a registered definition, a misspelled permission or role does not compile', () => {
  const guards = [
    requirePermission('reports:read'),
    requirePermission('/reports', 'GET'),
    requirePermission(),
    // @ts-expect-error no such permission
    requirePermission('reports:raed'),
    requireRole('Clerk'),
    requireRole('Owner'),
    // @ts-expect-error no such role
    requireRole('Clark'),
  ]
  expect(guards.every((guard) => typeof guard === 'function')).toBe(true)
  // @ts-expect-error a path without a method
  expect(() => requirePermission('/reports')).toThrow(/needs a method/)
})

test('With a registered definition, functions take its permissions alone, and its roles beside tenants’ own', () => {
  type Access = Tenancy['access']
  type Permission = 'reports:read' | 'reports:create'
  type Role = 'Clerk' | 'Owner'
  expectTypeOf<Parameters<Access['setOverride']>[0]['permission']>().toEqualTypeOf<Permission>()
  expectTypeOf<Parameters<Access['clearOverride']>[0]['permission']>().toEqualTypeOf<Permission>()
  expectTypeOf<Parameters<Access['grantPermission']>[0]['permission']>().toEqualTypeOf<Permission>()
  expectTypeOf<Parameters<Access['revokePermission']>[0]['permission']>().toEqualTypeOf<Permission>()
  // Not called: only compiled.
  const calls = (tenancy: Tenancy, member: Member, own: string) => [
    tenancy.can(member, 'reports:read'),
    tenancy.can(member, 'GET', '/reports'),
    // @ts-expect-error no such permission
    tenancy.can(member, 'reports:raed'),
    tenancy.access.assignRole({ tenant: 't', user: 'u', role: own }),
  ]
  expect(calls).toBeTypeOf('function')
  // The literal names are part of the type, for editors to offer, and any other text is taken.
  expectTypeOf<Role>().toExtend<Parameters<Access['assignRole']>[0]['role']>()
  expectTypeOf<string>().toExtend<Parameters<Access['setMemberRoles']>[0]['roles'][number]>()
  expectTypeOf<Extract<Parameters<Access['assignRole']>[0]['role'], Role>>().toEqualTypeOf<Role>()
  expectTypeOf<Extract<Parameters<Tenancy['createInvitation']>[0]['roles'][number], Role>>().toEqualTypeOf<Role>()
})

test('Without a registered definition, permissions and roles are any text', () => {
  expectTypeOf<UnregisteredPermission>().toEqualTypeOf<string>()
  expectTypeOf<UnregisteredRole>().toEqualTypeOf<string>()
})
