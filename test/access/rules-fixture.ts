import { createAccessRules } from '../../src/access/access-rules.js'
import type { AccessRules, MemberGrants, Requirement, RuleSet } from '../../src/core/access/access.js'

export const permissions = ['reports:read', 'reports:create', 'reports:export', 'admin:all'].map((name, index) => ({
  id: index + 1,
  name,
  isActive: true,
}))
const idOf = (name: string) => permissions.findIndex((permission) => permission.name === name) + 1
export const route = (method: string, path: string, permission: string, isActive = true) => ({
  method,
  path,
  permissionId: idOf(permission),
  isActive,
})
export const ruleSetOf = (routes: RuleSet['routes'], change: Partial<RuleSet> = {}): RuleSet => ({
  epoch: 1,
  permissions,
  routes,
  roles: ['Owner', 'Member'],
  ...change,
})
export const grantsOf = (...names: string[]): MemberGrants => ({
  roles: ['Member'],
  permissionIds: names.map(idOf),
  changesAtMs: null,
})

export async function rulesOf(ruleSet: RuleSet): Promise<AccessRules> {
  const rules = createAccessRules({ readRuleSet: async () => ruleSet })
  await rules.refresh()
  return rules
}

export const get = (path: string): Requirement => ({ kind: 'route', method: 'GET', path })

/** Tells whether a guard for `requirement` lets a member with the named permissions pass. */
export async function opens(routes: RuleSet['routes'], requirement: Requirement, ...names: string[]): Promise<boolean> {
  const rules = await rulesOf(ruleSetOf(routes))
  return rules.guard(requirement).allows(rules.compile(grantsOf(...names)))
}
