import { describe, expect, test } from 'vitest'
import { defineAccess, parseAccessDefinition } from '../../src/access/define-access.js'
import type { PermissionOf } from '../../src/access/define-access.js'
import { devAccess } from '../../src/access/seeds/dev.js'
import { prodAccess } from '../../src/access/seeds/prod.js'
import { findTenancyError, isTenancyError } from '../../src/core/errors/errors.js'

function problemsOf(json: unknown): string[] {
  try {
    parseAccessDefinition(json)
    return []
  } catch (error) {
    if (!isTenancyError(error, 'TENANCY_ACCESS_DEFINITION_INVALID')) throw error
    return findTenancyError(error, 'TENANCY_ACCESS_DEFINITION_INVALID')?.details?.problems as string[]
  }
}

describe('defineAccess', () => {
  const access = defineAccess({
    categories: { Reports: 'What the tenant reports' },
    permissions: {
      'reports:read': { description: 'Read reports', category: 'Reports' },
      'reports:create': 'Write reports',
    },
    routes: { 'GET /reports/{id}': 'reports:read', '* /reports': ['reports:read', 'reports:create'] },
    version: 3,
    roles: {
      Clerk: ['reports:read'],
      Boss: { description: 'Runs it', permissions: '*', includes: ['Clerk', 'Owner'] },
    },
  })

  test('defineAccess gives checked plain data, with an Owner who holds everything', () => {
    expect(access).toEqual({
      version: 3,
      categories: [{ name: 'Reports', description: 'What the tenant reports' }],
      permissions: [
        { name: 'reports:read', description: 'Read reports', category: 'Reports' },
        { name: 'reports:create', description: 'Write reports', category: null },
      ],
      routes: [
        { method: 'GET', path: '/reports/{id}', permission: 'reports:read' },
        { method: '*', path: '/reports', permission: 'reports:read' },
        { method: '*', path: '/reports', permission: 'reports:create' },
      ],
      roles: [
        { name: 'Owner', description: '', permissions: '*', includes: [] },
        { name: 'Clerk', description: '', permissions: ['reports:read'], includes: [] },
        { name: 'Boss', description: 'Runs it', permissions: '*', includes: ['Clerk', 'Owner'] },
      ],
    })
  })

  test('A misspelled name in a definition does not compile', () => {
    const known: PermissionOf<typeof access> = 'reports:read'
    // @ts-expect-error no such permission
    const unknown: PermissionOf<typeof access> = 'reports:raed'
    expect([known, unknown]).toHaveLength(2)
    const wrong = [
      // @ts-expect-error a role's grant
      () => defineAccess({ permissions: { 'a:read': '' }, roles: { Clerk: ['a:raed'] } }),
      // @ts-expect-error a role's grant, long form
      () => defineAccess({ permissions: { 'a:read': '' }, roles: { Clerk: { permissions: ['a:raed'] } } }),
      // @ts-expect-error a route's permission
      () => defineAccess({ permissions: { 'a:read': '' }, routes: { 'GET /a': 'a:raed' } }),
      // @ts-expect-error one of a route's permissions
      () => defineAccess({ permissions: { 'a:read': '' }, routes: { 'GET /a': ['a:read', 'a:raed'] } }),
      // @ts-expect-error a permission without an action
      () => defineAccess({ permissions: { reports: '' } }),
      // @ts-expect-error a method in lower case
      () => defineAccess({ permissions: { 'a:read': '' }, routes: { 'get /a': 'a:read' } }),
      // @ts-expect-error a route without a method
      () => defineAccess({ permissions: { 'a:read': '' }, routes: { '/a': 'a:read' } }),
      // @ts-expect-error an included role
      () => defineAccess({ permissions: { 'a:read': '' }, roles: { A: { includes: ['B'] } } }),
      // @ts-expect-error a category
      () => defineAccess({ categories: { A: '' }, permissions: { 'a:read': { category: 'B' } } }),
    ]
    for (const define of wrong) expect(define).toThrow(/Invalid access definition/)
  })
})

describe('parseAccessDefinition', () => {
  test('parseAccessDefinition names every problem in one error', () => {
    expect(
      problemsOf({
        permissions: { 'Reports:Read': '', 'a:read': 7, 'b:read': { category: 'Nowhere' } },
        routes: { 'get /a': 'b:read', 'GET /a/*': 'b:read', 'GET /a': 'c:read', 'GET /b': [] },
        roles: { Clerk: ['d:read'], clerk: [], ' x': [], owner: '*' },
        extra: true,
      }),
    ).toEqual([
      'permissions.Reports:Read: is not a permission name: resource:action in lower case',
      'permissions.a:read: is neither a description nor { description, category }',
      'routes.get /a: is not a route: a method in upper case or *, a space, a path',
      expect.stringMatching(/^routes\.GET \/a\/\*: is not a route template/),
      expect.stringMatching(/^routes\.GET \/b: Too small/),
      'roles. x: is not a role name: 1 to 100 letters, digits, spaces, . _ -',
      'definition: Unrecognized key: "extra"',
      'permissions.b:read: no category "Nowhere"',
      'routes.GET /a: no permission "c:read"',
      'roles.Clerk: no permission "d:read"',
      'roles.clerk: another role differs in case only',
      'roles.owner: write it "Owner"',
    ])
  })

  test.each([undefined, null, 7, 'text', [], {}, { permissions: null }, { permissions: [] }])(
    'parseAccessDefinition refuses %j',
    (json) => {
      expect(problemsOf(json)).not.toEqual([])
    },
  )

  test('Names from Object.prototype are no permissions and no categories', () => {
    const json =
      '{"permissions":{"a:read":{"category":"constructor"}},"roles":{"Clerk":["toString"],"__proto__":["a:read"]}}'
    expect(problemsOf(JSON.parse(json))).toEqual(
      expect.arrayContaining([
        'permissions.a:read: no category "constructor"',
        'roles.Clerk: no permission "toString"',
      ]),
    )
  })

  test.each(['/a/', '//a', '/a/../b', '/a/./b', '/a/%2e', '/a/{b}{c}', '/a/{b', '/a b', '/ä'])(
    'parseAccessDefinition refuses the route template %j',
    (path) => {
      expect(problemsOf({ permissions: { 'a:read': '' }, routes: { [`GET ${path}`]: 'a:read' } })).toHaveLength(1)
    },
  )

  test('parseAccessDefinition refuses a route template of more than 1,000 characters', () => {
    const routes = { [`GET /${'a'.repeat(1000)}`]: 'a:read' }
    expect(problemsOf({ permissions: { 'a:read': '' }, routes })).toEqual([
      expect.stringContaining('is longer than 1000'),
    ])
  })

  test('parseAccessDefinition refuses a description with a NUL, which PostgreSQL could not store', () => {
    expect(problemsOf({ permissions: { 'a:read': 'a\0b' } })).toEqual([expect.stringMatching(/^permissions\.a:read: /)])
  })

  test('A definition without roles still has an Owner', () => {
    expect(parseAccessDefinition({ permissions: { 'a:read': '' } }).roles).toEqual([
      { name: 'Owner', description: '', permissions: '*', includes: [] },
    ])
    expect(parseAccessDefinition({ permissions: { 'a:read': '' } }).version).toBe(1)
  })

  test('A role that only includes others holds no permission of its own', () => {
    const { roles } = defineAccess({
      permissions: { 'a:read': '' },
      roles: { Reader: ['a:read'], Boss: { includes: ['Reader', 'Reader'] } },
    })
    expect(roles.at(-1)).toEqual({ name: 'Boss', description: '', permissions: [], includes: ['Reader'] })
  })

  test('Roles that include a missing role, or themselves, are reported by name', () => {
    const roles = {
      A: { includes: ['B'] },
      B: { includes: ['C'] },
      C: { includes: ['A'] },
      D: { includes: ['C'] },
      E: { includes: ['E', 'F', '__proto__'] },
    }
    expect(problemsOf({ permissions: {}, roles })).toEqual([
      'roles.A: includes itself',
      'roles.B: includes itself',
      'roles.C: includes itself',
      'roles.E: no role "F"',
      'roles.E: no role "__proto__"',
      'roles.E: includes itself',
    ])
  })

  test.each([0, -1, 1.5, '2', 2 ** 31, null])('parseAccessDefinition refuses the version %j', (version) => {
    expect(problemsOf({ version, permissions: {} })).toEqual([expect.stringMatching(/^version: /)])
  })
})

describe('the profiles', () => {
  test('The profile prod holds the management of a tenant and nothing else', () => {
    expect(prodAccess.permissions.map(({ name }) => name)).toEqual([
      'tenant:read',
      'tenant:update',
      'tenant:delete',
      'tenant:export',
      'settings:read',
      'settings:update',
      'audit:read',
      'members:read',
      'members:create',
      'members:update',
      'members:delete',
      'roles:read',
      'roles:manage',
      'keys:read',
      'keys:create',
      'keys:update',
      'keys:delete',
      ...['domains:read', 'domains:create', 'domains:update', 'domains:delete'],
    ])
    expect(prodAccess.roles.map(({ name }) => name)).toEqual(['Owner', 'Admin', 'Member'])
    expect(prodAccess.routes.every(({ path }) => path.startsWith('/tenants/{tenant}'))).toBe(true)
  })

  test('The profile dev adds a small application whose reports are closed to a Member', () => {
    const member = devAccess.roles.find(({ name }) => name === 'Member')
    expect(member?.permissions).toEqual(['tenant:read', 'members:read', 'notes:read', 'notes:create'])
    expect(devAccess.routes.slice(prodAccess.routes.length).map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /reports',
      'POST /reports',
      'GET /notes',
      'POST /notes',
    ])
  })
})
