import { defineAccess } from 'tenants2fast'
import { requirePermission } from 'tenants2fast/fastify'
import { expect, expectTypeOf, test } from 'vitest'
import type { RegisteredPermission as UnregisteredPermission } from '../../src/core/access.js'

// As an application does it, by the package's public name; the other tests import the sources and stay unregistered.
const access = defineAccess({
  permissions: { 'reports:read': 'Read reports', 'reports:create': 'Write reports' },
  routes: { 'GET /reports': 'reports:read' },
})
declare module 'tenants2fast' {
  interface Register {
    access: typeof access
  }
}

test('with a registered definition a misspelled permission does not compile', () => {
  const guards = [
    requirePermission('reports:read'),
    requirePermission('/reports', 'GET'),
    requirePermission(),
    // @ts-expect-error no such permission
    requirePermission('reports:raed'),
  ]
  expect(guards.every((guard) => typeof guard === 'function')).toBe(true)
  // @ts-expect-error a path without a method
  expect(() => requirePermission('/reports')).toThrow(/needs a method/)
})

test('without one, permissions are any text', () => {
  expectTypeOf<UnregisteredPermission>().toEqualTypeOf<string>()
})
