import type { MemberGrants, Requirement, RuleSet } from '../../src/core/access/access.js'

/**
 * Implements the rules literally (DESIGN section 6 and the docstring of `createAccessRules`), for reading and not for speed:
 * lists, filters and a sort. The compiled evaluator must agree with it. What a member is granted (active
 * roles, overrides, their expiry, deny before allow) the catalog works out: test/catalog/members/member-directory.test.ts.
 */
export function mayMember(ruleSet: RuleSet, grants: MemberGrants, requirement: Requirement): boolean {
  if (requirement.kind === 'role') {
    return ruleSet.roles.includes(requirement.name) && grants.roles.includes(requirement.name)
  }
  const isActive = (id: number) => ruleSet.permissions.some((permission) => permission.id === id && permission.isActive)
  const holds = (id: number) => isActive(id) && grants.permissionIds.includes(id)
  if (requirement.kind === 'permission') {
    return ruleSet.permissions.some((permission) => permission.name === requirement.name && holds(permission.id))
  }
  return decidingRules(ruleSet, requirement.method, templateSegments(requirement.path)).some(
    (rule) => rule.isActive && holds(rule.permissionId),
  )
}

/** The same for a concrete path. */
export function mayMemberSend(ruleSet: RuleSet, grants: MemberGrants, method: string, path: string): boolean {
  const segments = pathSegments(path)?.map((text) => ({ text, isParameter: false }))
  return decidingRules(ruleSet, method, segments).some(
    (rule) =>
      rule.isActive &&
      grants.permissionIds.includes(rule.permissionId) &&
      ruleSet.permissions.some((permission) => permission.id === rule.permissionId && permission.isActive),
  )
}

/** Names of the active permissions that a member holds. */
export function heldNames(ruleSet: RuleSet, grants: MemberGrants): string[] {
  return ruleSet.permissions
    .filter(({ id, isActive }) => isActive && grants.permissionIds.includes(id))
    .map(({ name }) => name)
    .toSorted()
}

type Route = RuleSet['routes'][number]
interface Segment {
  readonly text: string
  readonly isParameter: boolean
}

/** All rules that are as specific as the most specific one that matches. */
function decidingRules(ruleSet: RuleSet, method: string, asked: readonly Segment[] | undefined): Route[] {
  if (asked === undefined || !isMethod(method)) return []
  const matching = ruleSet.routes.filter((rule) => {
    const segments = templateSegments(rule.path)
    return (
      segments !== undefined &&
      methodRank(rule.method, method) < 3 &&
      segments.length === asked.length &&
      segments.every((segment, position) => {
        const other = asked[position] as Segment
        return segment.isParameter || (!other.isParameter && segment.text === other.text)
      })
    )
  })
  const rank = (rule: Route) =>
    [
      ...(templateSegments(rule.path) ?? []).map((segment) => (segment.isParameter ? 1 : 0)),
      methodRank(rule.method, method),
    ].join('')
  const best = matching.map(rank).toSorted()[0]
  return matching.filter((rule) => rank(rule) === best)
}

function methodRank(ruleMethod: string, asked: string): number {
  if (ruleMethod === asked) return 0
  if (asked === 'HEAD' && ruleMethod === 'GET') return 1
  return ruleMethod === '*' ? 2 : 3
}

const upperCase = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const allowed = `${upperCase}${upperCase.toLowerCase()}0123456789-._~!$&'()+,;=:@`

function isMethod(text: string): boolean {
  return text !== '' && text.split('').every((letter) => upperCase.includes(letter))
}

function isLiteral(text: string): boolean {
  return text !== '' && text !== '.' && text !== '..' && text.split('').every((letter) => allowed.includes(letter))
}

function isParameter(text: string): boolean {
  return text.startsWith('{') && text.endsWith('}') && /^[A-Za-z_][A-Za-z0-9_-]*$/.test(text.slice(1, -1))
}

function pathSegments(path: string): string[] | undefined {
  if (path === '/') return []
  if (path.length > 2048 || path[0] !== '/') return undefined
  const segments = path.split('/').slice(1)
  return segments.every(isLiteral) ? segments : undefined
}

function templateSegments(path: string): Segment[] | undefined {
  if (path === '/') return []
  if (path.length > 2048 || path[0] !== '/') return undefined
  const segments = path.split('/').slice(1)
  if (!segments.every((text) => isLiteral(text) || isParameter(text))) return undefined
  return segments.map((text) => ({ text, isParameter: isParameter(text) }))
}
