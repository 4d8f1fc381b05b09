import { defineAccess } from 'tenants2fast'
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

test('Without a registered definition, permissions and roles are any text', () => {
  expectTypeOf<UnregisteredPermission>().toEqualTypeOf<string>()
  expectTypeOf<UnregisteredRole>().toEqualTypeOf<string>()
})
