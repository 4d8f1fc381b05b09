import { describe, expect, test } from 'vitest'
import { createAccessRules } from '../../src/access/access-rules.js'
import { devAccess } from '../../src/access/index.js'
import { parseAccessDefinition } from '../../src/access/define-access.js'
import type { Requirement, RuleSet } from '../../src/core/access/access.js'
import { get, grantsOf, opens, permissions, route, rulesOf, ruleSetOf } from './rules-fixture.js'

describe('route guards', () => {
  test('A rule opens its route to members who hold its permission, and to nobody else', async () => {
    const routes = [route('GET', '/reports', 'reports:read')]
    expect(await opens(routes, get('/reports'), 'reports:read')).toBe(true)
    expect(await opens(routes, get('/reports'), 'reports:create')).toBe(false)
    expect(await opens(routes, { kind: 'route', method: 'POST', path: '/reports' }, 'reports:read')).toBe(false)
  })

  test('A route without a rule is closed to everybody and counts as undefined', async () => {
    const rules = await rulesOf(ruleSetOf([route('GET', '/reports', 'reports:read')]))
    const everything = rules.compile(grantsOf(...permissions.map(({ name }) => name)))
    for (const path of ['/', '/report', '/reports/x', '/Reports', '/reports/']) {
      expect(rules.guard(get(path)).allows(everything)).toBe(false)
      expect(rules.knows(get(path))).toBe(false)
    }
    expect(rules.knows(get('/reports'))).toBe(true)
  })

  test('A parameter in a rule matches a parameter of any name, and a literal never matches one', async () => {
    expect(await opens([route('GET', '/reports/{id}', 'reports:read')], get('/reports/{report}'), 'reports:read')).toBe(
      true,
    )
    expect(await opens([route('GET', '/reports/export', 'reports:read')], get('/reports/{id}'), 'reports:read')).toBe(
      false,
    )
  })

  test('A literal segment takes precedence over a parameter at the first position where two rules differ', async () => {
    const routes = [
      route('GET', '/{section}/export', 'admin:all'),
      route('GET', '/reports/{id}', 'reports:read'),
      route('GET', '/reports/export', 'reports:export'),
    ]
    expect(await opens(routes, get('/reports/export'), 'reports:read', 'admin:all')).toBe(false)
    expect(await opens(routes, get('/reports/export'), 'reports:export')).toBe(true)
    expect(await opens(routes.slice(0, 2), get('/reports/export'), 'reports:read')).toBe(true)
    expect(await opens(routes.slice(0, 2), get('/reports/export'), 'admin:all')).toBe(false)
  })

  test('Rules are chosen by path first, then by exact method, then by *', async () => {
    const routes = [
      route('*', '/reports/export', 'reports:export'),
      route('GET', '/reports/{id}', 'reports:read'),
      route('*', '/reports/{id}', 'admin:all'),
    ]
    expect(await opens(routes, get('/reports/export'), 'reports:read')).toBe(false)
    expect(await opens(routes, get('/reports/{id}'), 'admin:all')).toBe(false)
    expect(await opens(routes, { kind: 'route', method: 'PUT', path: '/reports/{id}' }, 'admin:all')).toBe(true)
  })

  test('HEAD is checked by the rule of GET unless it has a rule of its own', async () => {
    const head: Requirement = { kind: 'route', method: 'HEAD', path: '/reports' }
    const routes = [route('GET', '/reports', 'reports:read'), route('*', '/reports', 'admin:all')]
    expect(await opens(routes, head, 'reports:read')).toBe(true)
    expect(await opens(routes, head, 'admin:all')).toBe(false)
    expect(await opens([...routes, route('HEAD', '/reports', 'reports:export')], head, 'reports:read')).toBe(false)
  })

  test('If several rules have the same shape, any one of their permissions is enough', async () => {
    const routes = [route('GET', '/reports/{id}', 'reports:read'), route('GET', '/reports/{report}', 'admin:all')]
    expect(await opens(routes, get('/reports/{x}'), 'reports:read')).toBe(true)
    expect(await opens(routes, get('/reports/{x}'), 'admin:all')).toBe(true)
    expect(await opens(routes, get('/reports/{x}'), 'reports:export')).toBe(false)
  })

  test('Switching off a literal rule or its permission closes the route and never opens a wider rule', async () => {
    const wide = route('GET', '/reports/{id}', 'reports:read')
    expect(
      await opens(
        [wide, route('GET', '/reports/export', 'reports:export', false)],
        get('/reports/export'),
        'reports:read',
      ),
    ).toBe(false)
    const rules = await rulesOf(
      ruleSetOf([wide, route('GET', '/reports/export', 'reports:export')], {
        permissions: permissions.map((permission) => ({
          ...permission,
          isActive: permission.name !== 'reports:export',
        })),
      }),
    )
    expect(rules.guard(get('/reports/export')).allows(rules.compile(grantsOf('reports:read', 'reports:export')))).toBe(
      false,
    )
    // It is defined and switched off, so a guard on it is no mistake.
    expect(rules.knows(get('/reports/export'))).toBe(true)
  })

  test('A method in any spelling but HTTP’s own opens nothing', async () => {
    const routes = [route('*', '/reports', 'reports:read'), route('GET', '/reports', 'reports:read')]
    for (const method of ['get', 'Get', '*', '', 'GET ', 'GET\n', 'G\0T', '__proto__', 'constructor']) {
      expect(await opens(routes, { kind: 'route', method, path: '/reports' }, 'reports:read')).toBe(false)
    }
  })
})

describe('the rule set', () => {
  test('The rule set denies everybody before it is first read', () => {
    const rules = createAccessRules({ readRuleSet: async () => ruleSetOf([]) })
    const access = rules.compile(grantsOf('reports:read'))
    expect(rules.epoch).toBe(0)
    expect(rules.guard({ kind: 'permission', name: 'reports:read' }).allows(access)).toBe(false)
    expect(rules.permissionsOf(access)).toEqual([])
  })

  test('A guard follows every change of the rule set', async () => {
    let ruleSet = ruleSetOf([route('GET', '/reports', 'reports:read')])
    const rules = createAccessRules({ readRuleSet: async () => ruleSet })
    const guard = rules.guard(get('/reports'))
    const access = rules.compile(grantsOf('reports:read'))
    expect(guard.allows(access)).toBe(false)
    await rules.refresh()
    expect(guard.allows(access)).toBe(true)
    ruleSet = ruleSetOf([route('GET', '/reports', 'admin:all')], { epoch: 2 })
    expect(guard.allows(access)).toBe(true)
    await rules.refresh()
    expect(rules.epoch).toBe(2)
    expect(guard.allows(access)).toBe(false)
  })

  test('A refresh requested during a read reads once more, so it sees what the first read missed', async () => {
    const answers: ((ruleSet: RuleSet) => void)[] = []
    const rules = createAccessRules({ readRuleSet: () => new Promise((resolve) => answers.push(resolve)) })
    const answer = async (count: number, epoch: number) => {
      while (answers.length < count) await new Promise(setImmediate)
      answers[count - 1]?.(ruleSetOf([], { epoch }))
    }
    const first = rules.refresh()
    await new Promise(setImmediate)
    const second = rules.refresh()
    const third = rules.refresh()
    await answer(1, 1)
    await first
    expect(rules.epoch).toBe(1)
    await answer(2, 2)
    await Promise.all([second, third])
    expect(rules.epoch).toBe(2)
    expect(answers).toHaveLength(2)
  })

  test('A failed read is reported, keeps the last rules and does not prevent the next read', async () => {
    const ruleSet = ruleSetOf([route('GET', '/reports', 'reports:read')])
    let isDown = false
    const rules = createAccessRules({
      readRuleSet: async () => {
        if (isDown) throw new Error('down')
        return ruleSet
      },
    })
    await rules.refresh()
    isDown = true
    await expect(rules.refresh()).rejects.toThrow('down')
    expect(rules.epoch).toBe(1)
    isDown = false
    await rules.refresh()
  })

  test('requireRole matches built-in roles only, by their exact name', async () => {
    const rules = await rulesOf(ruleSetOf([]))
    const access = rules.compile({ roles: ['Member', 'Clerk'], permissionIds: [], changesAtMs: null })
    const isAllowed = (name: string) => rules.guard({ kind: 'role', name }).allows(access)
    expect(['Member', 'member', 'Owner', 'Clerk'].filter(isAllowed)).toEqual(['Member'])
    expect(access.roles).toEqual(['Member', 'Clerk'])
    expect(access.hasRole('Clerk')).toBe(false)
    expect(rules.knows({ kind: 'role', name: 'Owner' })).toBe(true)
    expect(rules.knows({ kind: 'role', name: 'Clerk' })).toBe(false)
  })

  test('Before the rule set is first read, no role counts', () => {
    const rules = createAccessRules({ readRuleSet: async () => ruleSetOf([]) })
    const access = rules.compile({ roles: ['Owner'], permissionIds: [], changesAtMs: null })
    expect(rules.guard({ kind: 'role', name: 'Owner' }).allows(access)).toBe(false)
  })

  test('A guard for a role that the application’s definition does not have is refused', async () => {
    const definition = parseAccessDefinition({ permissions: {}, roles: { Member: [] } })
    const rules = createAccessRules({ readRuleSet: async () => ruleSetOf([], { roles: ['Auditor'] }) }, definition)
    await rules.refresh()
    for (const name of ['Owner', 'Member']) expect(rules.guard({ kind: 'role', name })).toBeDefined()
    for (const name of ['Auditor', 'member', '', 'toString']) {
      expect(() => rules.guard({ kind: 'role', name })).toThrow(
        expect.objectContaining({
          code: 'TENANCY_ACCESS_DEFINITION_INVALID',
          message: expect.stringContaining('Owner, Member'),
        }),
      )
    }
  })

  test('permissionsOf lists what a member holds', async () => {
    const rules = await rulesOf(ruleSetOf([]))
    const access = rules.compile(grantsOf('reports:read', 'reports:create'))
    expect(rules.permissionsOf(access)).toEqual(['reports:create', 'reports:read'])
  })

  test('Permission ids that no catalog gives out are not held', async () => {
    const rules = await rulesOf(ruleSetOf([]))
    const ids = [0, -1, 1.5, Number.NaN, Infinity, 2 ** 20, 2 ** 31, 2 ** 33 + 1]
    const access = rules.compile({ roles: [], permissionIds: [...ids, 33], changesAtMs: null })
    expect(ids.filter((id) => access.hasPermissionId(id))).toEqual([])
    expect([1, 32, 33, 34, 65].filter((id) => access.hasPermissionId(id))).toEqual([33])
  })
})

test('Names in the application’s definition count as defined even if a newer release has retired them in the catalog', async () => {
  const reader = { readRuleSet: async () => ({ epoch: 1, permissions: [], routes: [], roles: [] }) }
  const rules = createAccessRules(reader, devAccess)
  await rules.refresh()
  for (const requirement of [
    { kind: 'permission', name: 'reports:read' },
    { kind: 'route', method: 'GET', path: '/reports' },
    { kind: 'role', name: 'Member' },
  ] as const) {
    expect([requirement, rules.knows(requirement)]).toEqual([requirement, true])
    expect(createAccessRules(reader).knows(requirement)).toBe(false)
  }
  expect(rules.knows({ kind: 'permission', name: 'reports:raed' })).toBe(false)
})
