import { defineAccess, type Member, secret, type ShownTenantSettings, type Tenancy } from 'tenants2fast'
import { requirePermission, requireRole } from 'tenants2fast/fastify'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import type {
  RegisteredPermission as UnregisteredPermission,
  RegisteredRole as UnregisteredRole,
} from '../../src/core/access/access.js'
import type { NewApiKeyInput as UnregisteredKey } from '../../src/catalog/api-keys/key-input.js'
import type {
  TenantSettingsChanges as UnregisteredChanges,
  TenantSettingsValues as UnregisteredValues,
} from '../../src/core/tenants/tenant-settings.js'

// Registers as an application does, by the package's public name. Other tests import the sources and stay unregistered.
const access = defineAccess({
  permissions: { 'reports:read': 'Read reports', 'reports:create': 'Write reports' },
  routes: { 'GET /reports': 'reports:read' },
  roles: { Clerk: ['reports:read'] },
})
const tenantSettings = z.object({
  theme: z.enum(['light', 'dark']).default('light'),
  mail: z.object({ port: z.int().default(25), password: secret(z.string()).optional() }).prefault({}),
  tags: z.array(z.string()).default([]),
})
declare module 'tenants2fast' {
  interface Register {
    access: typeof access
    tenantSettings: typeof tenantSettings
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

test('With a registered definition, API keys have its permissions, and each function that names a role offers its roles', () => {
  type Permission = 'reports:read' | 'reports:create'
  type Role = 'Clerk' | 'Owner'
  type Input<Name extends keyof Tenancy> = Tenancy[Name] extends (input: infer First) => unknown ? First : never
  expectTypeOf<Input<'createApiKey'>['permissions']>().toEqualTypeOf<readonly Permission[]>()
  expectTypeOf<Input<'updateApiKey'>['permissions']>().toEqualTypeOf<readonly Permission[] | undefined>()
  type Access = Tenancy['access']
  // Plain text in the place of a role would take the names away from editors.
  type Offered<Named> = Extract<Named, Role>
  expectTypeOf<
    readonly [
      Offered<Parameters<Access['unassignRole']>[0]['role']>,
      Offered<Parameters<Access['updateRole']>[0]['role']>,
      Offered<Parameters<Access['getRole']>[0]['role']>,
      Offered<Parameters<Access['grantPermission']>[0]['role']>,
      Offered<Input<'searchMembers'>['role']>,
      Offered<NonNullable<Input<'addEmailDomain'>['roles']>[number]>,
      Offered<Input<'updateEmailDomain'>['roles'][number]>,
    ]
  >().toEqualTypeOf<readonly [Role, Role, Role, Role, Role, Role, Role]>()
  const key = { tenant: 't', serviceAccount: 's', name: 'Nightly' }
  // Not called: only compiled.
  const calls = (tenancy: Tenancy) => [
    tenancy.createApiKey({ ...key, permissions: ['reports:read'] }),
    // @ts-expect-error no such permission
    tenancy.createApiKey({ ...key, permissions: ['reports:raed'] }),
    // @ts-expect-error no such permission
    tenancy.updateApiKey({ tenant: 't', apiKey: 'k', permissions: ['reports:raed'] }),
  ]
  expect(calls).toBeTypeOf('function')
})

test('With a registered schema, settings and their changes are typed at any depth; null goes back to the default', () => {
  type Values = Awaited<ReturnType<Tenancy['getTenantSettings']>>['settings']
  expectTypeOf<Values>().toEqualTypeOf<z.output<typeof tenantSettings>>()
  expectTypeOf<Values['mail']['port']>().toEqualTypeOf<number>()
  expectTypeOf<keyof ShownTenantSettings['settings']>().toEqualTypeOf<'theme' | 'mail' | 'tags'>()
  const tenant = 't'
  // Not called: only compiled.
  const calls = (tenancy: Tenancy) => [
    tenancy.updateTenantSettings({ tenant, changes: {} }),
    tenancy.updateTenantSettings({ tenant, changes: { theme: 'dark', mail: { password: null }, tags: ['a'] } }),
    tenancy.updateTenantSettings({ tenant, changes: { theme: null, mail: null } }),
    // @ts-expect-error no such value
    tenancy.updateTenantSettings({ tenant, changes: { theme: 'pink' } }),
    // @ts-expect-error no such field
    tenancy.updateTenantSettings({ tenant, changes: { color: 'red' } }),
    // @ts-expect-error no such field further in
    tenancy.updateTenantSettings({ tenant, changes: { mail: { host: 'mail.example.com' } } }),
    // @ts-expect-error a list is replaced as a whole
    tenancy.updateTenantSettings({ tenant, changes: { tags: [null] } }),
  ]
  expect(calls).toBeTypeOf('function')
})

test('Without a registered definition, permissions and roles are any text', () => {
  expectTypeOf<UnregisteredPermission>().toEqualTypeOf<string>()
  expectTypeOf<UnregisteredRole>().toEqualTypeOf<string>()
  expectTypeOf<UnregisteredKey['permissions']>().toEqualTypeOf<readonly string[]>()
})

test('Without a registered schema, settings and their changes are any object', () => {
  expectTypeOf<UnregisteredValues>().toEqualTypeOf<Readonly<Record<string, unknown>>>()
  expectTypeOf<UnregisteredChanges>().toEqualTypeOf<Readonly<Record<string, unknown>>>()
})
