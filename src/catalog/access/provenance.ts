import type { RuleSet } from '../../core/access/access.js'
import type { HeldRole, MemberFacts } from '../members/member-facts.js'

/** A path from a member to a permission: a role that the member holds, and the included roles down to the one with the permission. */
export interface RoleChain {
  /** Names: the first is held directly, each includes the next, the last holds the permission. */
  readonly roles: readonly string[]
  /** Names of the inactive roles. While there is one, the chain grants nothing. */
  readonly inactive: readonly string[]
}

/** Where a member's permission comes from, or why the member lacks it. */
export interface PermissionProvenance {
  readonly permission: string
  readonly state: 'granted' | 'denied' | 'not-granted' | 'permission-inactive' | 'no-permission'
  /** The shortest chain to each role with the permission. A chain that grants it is preferred. */
  readonly through: readonly RoleChain[]
  /** The direct override. An expired one has no effect. */
  readonly override:
    | { readonly effect: 'allow' | 'deny'; readonly expiresAt: Date | null; readonly isExpired: boolean }
    | undefined
}

/** Explains one permission from the facts that the catalog has about the member. */
export function provenanceOf(permission: string, ruleSet: RuleSet, facts: MemberFacts): PermissionProvenance {
  const known = ruleSet.permissions.find((candidate) => candidate.name === permission)
  const found = facts.overrides.find((override) => override.permission === permission)
  const override = found && { effect: found.effect, expiresAt: found.expiresAt, isExpired: found.isExpired }
  const through = chainsTo(permission, facts.roles)
  const state = (): PermissionProvenance['state'] => {
    if (known === undefined) return 'no-permission'
    if (!known.isActive) return 'permission-inactive'
    const counting = override?.isExpired === false ? override.effect : undefined
    if (counting === 'deny') return 'denied'
    return counting === 'allow' || through.some((chain) => chain.inactive.length === 0) ? 'granted' : 'not-granted'
  }
  return { permission, state: state(), through, override }
}

function chainsTo(permission: string, roles: readonly HeldRole[]): RoleChain[] {
  const alive = shortestChains(roles, (role) => role.isActive)
  const any = shortestChains(roles, () => true)
  return roles
    .filter((role) => role.permissions.includes(permission))
    .map((role) => alive.get(role.id) ?? any.get(role.id) ?? [])
    .map((chain) => ({
      roles: chain.map((role) => role.name),
      inactive: chain.filter((role) => !role.isActive).map((role) => role.name),
    }))
}

/** Finds the chain to each role that can be reached, breadth first from the roles that are held directly. */
function shortestChains(
  roles: readonly HeldRole[],
  passes: (role: HeldRole) => boolean,
): ReadonlyMap<string, readonly HeldRole[]> {
  const byId = new Map(roles.map((role) => [role.id, role]))
  const chains = new Map<string, readonly HeldRole[]>()
  const queue: HeldRole[][] = roles.filter((role) => role.isDirect).map((role) => [role])
  for (const chain of queue) {
    const role = chain.at(-1) as HeldRole
    if (chains.has(role.id) || !passes(role)) continue
    chains.set(role.id, chain)
    for (const id of role.includes) {
      const included = byId.get(id)
      if (included !== undefined && !chains.has(id)) queue.push([...chain, included])
    }
  }
  return chains
}
